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
class Settlement:
    """How a channel ended on the chain, and what of it is this peer's."""

    channel_id: ChannelId
    tx_hash: str
    """The transaction that settled the channel, whoever sent it."""

    block_number: int
    gas_used: int
    """By that transaction."""

    cooperative: bool
    """By a final state that both signed; False: by one end, after the window."""

    net: Minor
    """What was paid on the channel in all."""

    claimed: Minor
    """What this peer's account then had to its credit and took, in wei."""

    trace_id: str
    """Of the settlement's own trace; empty when it was not traced."""

    span_id: str


@dataclass(frozen=True, slots=True)
class ChannelView:
    """What can be told of a channel."""

    channel_id: ChannelId
    peer_id: PeerId
    """The other end."""

    role: str
    """Which end this peer is: ``payer`` or ``payee``."""

    phase: str
    """``opening``, ``open``, ``closing``, ``disputed`` or ``settled``."""

    funded: bool
    """Whether it has money on a chain; False: a promise."""

    deposit: Minor
    """The payer's."""

    deposit_payee: Minor
    paid: Minor
    """To the payee, by the newest state that both signed."""

    withdrawn_payer: Minor
    withdrawn_payee: Minor
    nonce: int
    """The newest that both signed; -1 before the channel is agreed on."""

    window_s: int
    """0 for a promise, as the following ones."""

    expires_unix_s: int
    deadline_s: int
    """While disputed: until when it can be challenged, in the chain's time."""

    tx_hash: str
    """The newest transaction about it that we know; empty when there is none."""

    settlement: Settlement | None
    in_flight: Minor
    """What the payer has offered last and the payee has not signed; 0: nothing. Until
    it is signed, or the channel is closed or paid out from, nothing else is paid."""

    is_compared: bool
    """False after its store was restored from a backup, until the other end has told its
    newest state: till then nothing is signed."""


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


@dataclass(frozen=True, slots=True)
class ExpectedStream:
    """A task that is being worked on and paid while it goes on."""

    manifest_sha256: str
    """Of the task's signed manifest, hex: what states name before there is a receipt."""

    max_total: Minor
    """The most that may be paid before the receipt tells the price."""


ExpectsStream = Callable[[TaskId], ExpectedStream | None]
"""Tells what a payee takes payments for before there is a receipt; None: of no task that
it works at. Of one that has ended it is to tell on for a while: what was signed before
the receipt came may still arrive, and refused it holds up its channel for good."""
