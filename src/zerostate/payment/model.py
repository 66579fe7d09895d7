"""What the payment layer hands out and asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.units import Minor


class Counterparty(Protocol):
    """The way to the other end of a channel; the node gives its message layer."""

    async def request(self, peer_id: PeerId, message_type: str, body: bytes) -> bytes:
        """Send one request and return the reply's body.

        Raises:
            P2PError: No answer, or an error as the answer (`RemoteError`).
        """


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that both ends have signed."""

    channel_id: ChannelId
    amount: Minor
    nonce: int
    task_id: TaskId
    state: bytes
    """The co-signed state, which proves all of the above (`verify_cosigned`)."""


@dataclass(frozen=True, slots=True)
class PaymentVerdict:
    """What came of checking a payment and its receipt against each other."""

    receipt_verified: bool
    """The receipt is signed by its executor, for this task, for us, at this price."""

    payment_verified: bool
    """The state is signed by both ends and pays that executor for that receipt."""

    problems: tuple[str, ...]
    """Everything that was wrong; empty when both are verified."""


@dataclass(frozen=True, slots=True)
class ExpectedPayment:
    """What a payee has earned: the only payment that it accepts for a task."""

    receipt_sha256: str
    """Of the sealed receipt that the payee issued, hex."""

    price: Minor
    """The receipt's price."""


Expects = Callable[[TaskId], ExpectedPayment | None]
"""Tells what a payee has earned for a task; None when nothing is to be paid."""
