"""How far a channel that has money on a chain is, apart from what is paid on it.

Pure: what a channel's ends have agreed on beside its states, and what they know of it
from the chain. A channel without a `Life` is a promise, on no chain.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from google.protobuf.message import DecodeError

from zerostate.errors import StoreCorruptError
from zerostate.payment import messages_pb2 as pb
from zerostate.payment.contract import FinalState, Withdrawal
from zerostate.units import Minor


class Phase(StrEnum):
    """How far a channel is. Only an open one takes payments."""

    OPENING = "opening"
    """Proposed or agreed on, but its deposit is not seen deep enough in the chain."""

    OPEN = "open"

    CLOSING = "closing"
    """One of us signed a final state, or is about to: no other is signed after it."""

    DISPUTED = "disputed"
    """Somebody closes it on the chain without the other; the window runs."""

    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class SignedFinal:
    """A final state and who has signed it."""

    final: FinalState
    payer_signature: bytes
    payee_signature: bytes = b""
    """Empty in a proposal."""


@dataclass(frozen=True, slots=True)
class SignedWithdrawal:
    """A partial withdrawal and who has signed it."""

    withdrawal: Withdrawal
    payer_signature: bytes
    payee_signature: bytes = b""
    """Empty in a proposal."""


Pending = SignedFinal | SignedWithdrawal


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of a channel on a chain; all of it durable."""

    phase: Phase
    window_s: int
    """The challenge window."""

    expires_unix_s: int
    """After this no payment is made or taken."""

    deposit_payee: Minor = Minor(0)  # noqa: RUF009  # a NewType of an int
    """What the payee agreed to deposit."""

    withdrawn_payer: Minor = Minor(0)  # noqa: RUF009  # a NewType of an int
    """Gone to the payer already, counted from when both signed for it."""

    withdrawn_payee: Minor = Minor(0)  # noqa: RUF009  # a NewType of an int
    base_nonce: int = 0
    """The newest withdrawal's nonce: states up to it are worth nothing any more."""

    pending: Pending | None = None
    """What is being agreed on, or is agreed and not on the chain yet."""

    deadline_s: int | None = None
    """While disputed: until when, in the chain's time, a newer state may be brought.
    While something is pending: when, in ours, to send it to the chain ourselves; of a
    withdrawal that the other end has to send, the channel's end. None: at once."""

    tx_hash: str | None = None
    """The newest transaction about it, ours or not."""

    settlement: str | None = None
    """Once settled: the settlement, as `zerostate.payment.settling` writes it."""

    @property
    def takes_payments(self) -> bool:
        """Whether the next payment may be signed, its number apart."""
        pending = self.pending
        # What both signed counts as gone already, be it on the chain or not yet.
        is_clear = pending is None or (
            isinstance(pending, SignedWithdrawal) and bool(pending.payee_signature)
        )
        return self.phase is Phase.OPEN and is_clear

    @property
    def was_funded(self) -> bool:
        """Whether its deposit was seen deep enough in the chain, now or before."""
        # One that was given up unfunded is settled without a settlement.
        given_up = self.phase is Phase.SETTLED and self.settlement is None
        return self.phase is not Phase.OPENING and not given_up

    def frozen(self, phase: Phase) -> "Life":
        """Return it in a later phase; never goes back."""
        order = tuple(Phase)
        later = max(self.phase, phase, key=order.index)
        return replace(self, phase=later)

    def withdrawn(self, withdrawal: Withdrawal) -> "Life":
        """Return it with `withdrawal` counted as gone; an older one changes nothing."""
        if withdrawal.nonce <= self.base_nonce:
            return self
        return replace(
            self,
            base_nonce=withdrawal.nonce,
            withdrawn_payer=withdrawal.total_payer,
            withdrawn_payee=withdrawal.total_payee,
        )


def final_message(signed: SignedFinal) -> pb.FinalState:
    """Return `signed` as it travels."""
    return pb.FinalState(
        nonce=signed.final.nonce,
        net=signed.final.net,
        payer_signature=signed.payer_signature,
        payee_signature=signed.payee_signature,
    )


def final_of(message: pb.FinalState) -> SignedFinal:
    """Return what came; nothing about it is verified."""
    return SignedFinal(
        FinalState(message.nonce, Minor(message.net)),
        message.payer_signature,
        message.payee_signature,
    )


def withdrawal_message(signed: SignedWithdrawal) -> pb.PartialWithdrawal:
    """Return `signed` as it travels."""
    part = signed.withdrawal
    return pb.PartialWithdrawal(
        nonce=part.nonce,
        net=part.net,
        total_payer=part.total_payer,
        total_payee=part.total_payee,
        payer_signature=signed.payer_signature,
        payee_signature=signed.payee_signature,
    )


def withdrawal_of(message: pb.PartialWithdrawal) -> SignedWithdrawal:
    """Return what came; nothing about it is verified."""
    return SignedWithdrawal(
        Withdrawal(
            message.nonce,
            Minor(message.net),
            Minor(message.total_payer),
            Minor(message.total_payee),
        ),
        message.payer_signature,
        message.payee_signature,
    )


def encode_pending(pending: Pending | None) -> bytes | None:
    """Return `pending` as it is stored."""
    match pending:
        case SignedFinal():
            return pb.Pending(final=final_message(pending)).SerializeToString()
        case SignedWithdrawal():
            part = withdrawal_message(pending)
            return pb.Pending(withdrawal=part).SerializeToString()
    return None


def decode_pending(data: bytes | None) -> Pending | None:
    """Return what was stored.

    Raises:
        StoreCorruptError: It is not what `encode_pending` writes.
    """
    if data is None:
        return None
    try:
        message = pb.Pending.FromString(data)
    except DecodeError as exc:
        raise StoreCorruptError("a pending agreement does not decode") from exc
    if message.WhichOneof("kind") == "final":
        return final_of(message.final)
    return withdrawal_of(message.withdrawal)
