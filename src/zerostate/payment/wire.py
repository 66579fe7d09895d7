"""Bodies of the messages between the two ends of a channel."""

from typing import Final, Protocol, TypeVar

from google.protobuf.message import DecodeError

from zerostate.errors import WireError
from zerostate.evidence.channel import MAX_STATE_BYTES
from zerostate.payment import messages_pb2 as pb

CHANNEL_OPEN: Final = "channel_open"
"""Message type: propose state 0."""

PAYMENT_UPDATE: Final = "payment_update"
"""Message type: propose a payment."""

MAX_BODY_BYTES: Final = MAX_STATE_BYTES + 16
"""Largest body looked at: one state and its frame."""


class _Message(Protocol):
    @classmethod
    def FromString(cls, s: bytes, /) -> "_Message": ...  # noqa: N802  # protobuf's name


M = TypeVar("M", bound=_Message)


def encode_channel_open(proposal: bytes) -> bytes:
    """Return the body of ``channel_open``."""
    return pb.ChannelOpen(proposal=proposal).SerializeToString()


def decode_channel_open(body: bytes) -> bytes:
    """Return the proposal in it, or raise `WireError`."""
    return _parse(pb.ChannelOpen, body).proposal


def encode_channel_opened(state: bytes) -> bytes:
    """Return the body of the reply to ``channel_open``."""
    return pb.ChannelOpened(state=state).SerializeToString()


def decode_channel_opened(body: bytes) -> bytes:
    """Return the state in it, or raise `WireError`."""
    return _parse(pb.ChannelOpened, body).state


def encode_payment_update(proposal: bytes) -> bytes:
    """Return the body of ``payment_update``."""
    return pb.PaymentUpdate(proposal=proposal).SerializeToString()


def decode_payment_update(body: bytes) -> bytes:
    """Return the proposal in it, or raise `WireError`."""
    return _parse(pb.PaymentUpdate, body).proposal


def encode_payment_accepted(state: bytes) -> bytes:
    """Return the body of the reply to ``payment_update``."""
    return pb.PaymentAccepted(state=state).SerializeToString()


def decode_payment_accepted(body: bytes) -> bytes:
    """Return the state in it, or raise `WireError`."""
    return _parse(pb.PaymentAccepted, body).state


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
