"""Bodies of the messages between the two ends of a channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, TypeVar

from google.protobuf.message import DecodeError

from zerostate.errors import WireError
from zerostate.evidence.channel import MAX_STATE_BYTES
from zerostate.evidence.channel_update import MAX_AMOUNT, MAX_SHARED
from zerostate.ids import ChannelId
from zerostate.payment import messages_pb2 as pb
from zerostate.payment.lifecycle import (
    SignedFinal,
    SignedWithdrawal,
    final_message,
    final_of,
    withdrawal_message,
    withdrawal_of,
)
from zerostate.units import Minor

CHANNEL_OPEN: Final = "channel_open"
"""Message type: propose state 0."""

PAYMENT_UPDATE: Final = "payment_update"
"""Message type: propose a payment."""

CHANNEL_FUNDED: Final = "channel_funded"
"""Message type: the channel's deposit is on the chain."""

CHANNEL_CLOSE: Final = "channel_close"
"""Message type: propose a final state."""

CHANNEL_WITHDRAW: Final = "channel_withdraw"
"""Message type: propose a partial withdrawal."""

CHANNEL_REQUEST: Final = "channel_request"
"""Message type: ask the payer to propose one of these."""

CHANNEL_SYNC: Final = "channel_sync"
"""Message type: compare the newest states."""

CHANNEL_ID_BYTES: Final = 32
"""Length of a channel's id."""

MAX_BODY_BYTES: Final = MAX_STATE_BYTES + 64 * MAX_SHARED
"""Largest body looked at: one state, a channel's id or three numbers, and frames; with a
payment's state also the trace context of each of its tasks."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What ``channel_open`` proposes."""

    proposal: bytes
    """State 0, signed by the payer."""

    deposit_payee: Minor = Minor(0)  # noqa: RUF009  # a NewType of an int
    window_s: int = 0
    """0: a promise, on no chain."""

    expires_unix_s: int = 0


class Wish(IntEnum):
    """What a payee asks its payer for."""

    CLOSE = 1
    WITHDRAW = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``channel_request`` asks for."""

    channel_id: ChannelId
    wish: Wish
    to_payer: Minor = Minor(0)  # noqa: RUF009  # a NewType of an int
    to_payee: Minor = Minor(0)  # noqa: RUF009  # a NewType of an int


_WISHES: Final = {
    Wish.CLOSE: pb.ChannelRequest.WISH_CLOSE,
    Wish.WITHDRAW: pb.ChannelRequest.WISH_WITHDRAW,
}


class _Message(Protocol):
    @classmethod
    def FromString(cls, s: bytes, /) -> "_Message": ...  # noqa: N802  # protobuf's name


M = TypeVar("M", bound=_Message)


def encode_channel_open(opening: Opening) -> bytes:
    """Return the body of ``channel_open``."""
    return pb.ChannelOpen(
        proposal=opening.proposal,
        deposit_payee=opening.deposit_payee,
        window_s=opening.window_s,
        expires_unix_s=opening.expires_unix_s,
    ).SerializeToString()


def decode_channel_open(body: bytes) -> Opening:
    """Return what it proposes, or raise `WireError`."""
    message = _parse(pb.ChannelOpen, body)
    return Opening(
        message.proposal,
        Minor(message.deposit_payee),
        message.window_s,
        message.expires_unix_s,
    )


def encode_channel_opened(state: bytes) -> bytes:
    """Return the body of the reply to ``channel_open``."""
    return pb.ChannelOpened(state=state).SerializeToString()


def decode_channel_opened(body: bytes) -> bytes:
    """Return the state in it, or raise `WireError`."""
    return _parse(pb.ChannelOpened, body).state


def encode_payment_update(proposal: bytes, traceparents: Sequence[str] = ()) -> bytes:
    """Return the body of ``payment_update``.

    `traceparents` are those of the tasks that it pays for, if they are several; one that
    is empty says that its task is not traced.
    """
    return pb.PaymentUpdate(
        proposal=proposal, traceparents=traceparents
    ).SerializeToString()


def decode_payment_update(body: bytes) -> bytes:
    """Return the proposal in it, or raise `WireError`."""
    return _parse(pb.PaymentUpdate, body).proposal


def traceparents_of(body: bytes) -> tuple[str, ...]:
    """Return the ``traceparent`` of each of the tasks that a ``payment_update`` pays for.

    As they came: nothing about them is checked, but the body's size.
    """
    return tuple(_parse(pb.PaymentUpdate, body).traceparents)


def encode_payment_accepted(state: bytes) -> bytes:
    """Return the body of the reply to ``payment_update``."""
    return pb.PaymentAccepted(state=state).SerializeToString()


def decode_payment_accepted(body: bytes) -> bytes:
    """Return the state in it, or raise `WireError`."""
    return _parse(pb.PaymentAccepted, body).state


def encode_channel_funded(channel_id: ChannelId) -> bytes:
    """Return the body of ``channel_funded``."""
    return pb.ChannelFunded(channel_id=_raw(channel_id)).SerializeToString()


def decode_channel_funded(body: bytes) -> ChannelId:
    """Return the channel that it names, or raise `WireError`."""
    return _channel_id(_parse(pb.ChannelFunded, body).channel_id)


def encode_funded_seen(channel_id: ChannelId) -> bytes:
    """Return the body of the reply to ``channel_funded``."""
    return pb.ChannelFundedSeen(channel_id=_raw(channel_id)).SerializeToString()


def decode_funded_seen(body: bytes) -> ChannelId:
    """Return the channel that it names, or raise `WireError`."""
    return _channel_id(_parse(pb.ChannelFundedSeen, body).channel_id)


def encode_channel_close(channel_id: ChannelId, proposal: SignedFinal) -> bytes:
    """Return the body of ``channel_close``."""
    return pb.ChannelClose(
        channel_id=_raw(channel_id), proposal=final_message(proposal)
    ).SerializeToString()


def decode_channel_close(body: bytes) -> tuple[ChannelId, SignedFinal]:
    """Return what it proposes, or raise `WireError`."""
    message = _parse(pb.ChannelClose, body)
    proposal = final_of(message.proposal)
    _check_nonce(proposal.final.nonce)
    return _channel_id(message.channel_id), proposal


def encode_channel_closed(final: SignedFinal) -> bytes:
    """Return the body of the reply to ``channel_close``."""
    return pb.ChannelClosed(final=final_message(final)).SerializeToString()


def decode_channel_closed(body: bytes) -> SignedFinal:
    """Return the final state in it, or raise `WireError`."""
    return final_of(_parse(pb.ChannelClosed, body).final)


def encode_channel_withdraw(channel_id: ChannelId, part: SignedWithdrawal) -> bytes:
    """Return the body of ``channel_withdraw``."""
    return pb.ChannelWithdraw(
        channel_id=_raw(channel_id), proposal=withdrawal_message(part)
    ).SerializeToString()


def decode_channel_withdraw(body: bytes) -> tuple[ChannelId, SignedWithdrawal]:
    """Return what it proposes, or raise `WireError`."""
    message = _parse(pb.ChannelWithdraw, body)
    proposal = withdrawal_of(message.proposal)
    _check_nonce(proposal.withdrawal.nonce)
    return _channel_id(message.channel_id), proposal


def encode_channel_withdrawn(part: SignedWithdrawal) -> bytes:
    """Return the body of the reply to ``channel_withdraw``."""
    message = withdrawal_message(part)
    return pb.ChannelWithdrawn(withdrawal=message).SerializeToString()


def decode_channel_withdrawn(body: bytes) -> SignedWithdrawal:
    """Return the withdrawal in it, or raise `WireError`."""
    return withdrawal_of(_parse(pb.ChannelWithdrawn, body).withdrawal)


def encode_channel_request(wanted: Wanted) -> bytes:
    """Return the body of ``channel_request``."""
    return pb.ChannelRequest(
        channel_id=_raw(wanted.channel_id),
        wish=_WISHES[wanted.wish],
        to_payer=wanted.to_payer,
        to_payee=wanted.to_payee,
    ).SerializeToString()


def decode_channel_request(body: bytes) -> Wanted:
    """Return what it asks for, or raise `WireError`."""
    message = _parse(pb.ChannelRequest, body)
    try:
        wish = Wish(message.wish)
    except ValueError as exc:
        raise WireError(f"asks for {message.wish}, which is nothing we know") from exc
    return Wanted(
        _channel_id(message.channel_id),
        wish,
        Minor(message.to_payer),
        Minor(message.to_payee),
    )


def encode_channel_requested(channel_id: ChannelId) -> bytes:
    """Return the body of the reply to ``channel_request``."""
    return pb.ChannelRequested(channel_id=_raw(channel_id)).SerializeToString()


def encode_channel_sync(channel_id: ChannelId, state: bytes) -> bytes:
    """Return the body of ``channel_sync``."""
    return pb.ChannelSync(channel_id=_raw(channel_id), state=state).SerializeToString()


def decode_channel_sync(body: bytes) -> tuple[ChannelId, bytes]:
    """Return the channel and the payer's newest state, or raise `WireError`."""
    message = _parse(pb.ChannelSync, body)
    return _channel_id(message.channel_id), message.state


def encode_channel_synced(state: bytes, *, ending: bool) -> bytes:
    """Return the body of the reply to ``channel_sync``."""
    return pb.ChannelSynced(state=state, ending=ending).SerializeToString()


def decode_channel_synced(body: bytes) -> tuple[bytes, bool]:
    """Return the payee's newest state and whether it ends the channel."""
    message = _parse(pb.ChannelSynced, body)
    return message.state, message.ending


def _check_nonce(nonce: int) -> None:
    # The contract takes 64 bits; the store and spans have one less, and a sign.
    if nonce > MAX_AMOUNT:
        raise WireError(f"nonce {nonce}; the highest is {MAX_AMOUNT}")


def _raw(channel_id: ChannelId) -> bytes:
    return bytes.fromhex(channel_id[2:])


def _channel_id(raw: bytes) -> ChannelId:
    if len(raw) != CHANNEL_ID_BYTES:
        raise WireError(f"a channel id of {len(raw)} bytes, not {CHANNEL_ID_BYTES}")
    return ChannelId("0x" + raw.hex())


def _parse(kind: type[M], body: bytes) -> M:
    name = kind.__name__
    if len(body) > MAX_BODY_BYTES:
        raise WireError(f"{name} of {len(body)} bytes; the limit is {MAX_BODY_BYTES}")
    try:
        message = kind.FromString(body)
    except DecodeError as exc:
        raise WireError(f"not a {name}") from exc
    if not isinstance(message, kind):
        raise TypeError(f"{kind} made a {type(message)}")
    return message
