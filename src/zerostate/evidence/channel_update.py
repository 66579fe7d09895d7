"""What one state of a payment channel says, and what of it is signed.

A state pays for one task, or for several that were to be paid at the same time: then one
pair of signatures serves all of them. What is signed of its payments is always one
EIP-712 struct, so the contract does not know the difference::

    Payment(string taskId,bytes32 receiptHash,uint256 amount)

For one task these are its id, the SHA-256 of its receipt, and what it was paid so far.
For several, `taskId` says how many there are (``"3 tasks"``, which is no task's id),
`amount` is the sum, and `receiptHash` is the SHA-256 over all payments in order: of each
the length of the task's id (two bytes), the id, the receipt's SHA-256 and the amount
(eight bytes), numbers big-endian.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from zerostate.errors import EvidenceError
from zerostate.evidence.ethereum import keccak256
from zerostate.ids import TaskId
from zerostate.units import Minor

MAX_AMOUNT: Final = (1 << 63) - 1
"""Largest deposit, total and nonce: the largest integer of SQLite and of an OTLP
attribute. The signed type is wider (int256), so raising it breaks no signature."""

MAX_SHARED: Final = 16
"""Most tasks that one state pays for; each takes 85 bytes of it, and every task keeps
a copy."""

RECEIPT_HASH_BYTES: Final = 32
"""Length of a SHA-256."""

PAYMENT_FIELDS: Final = b"Payment(string taskId,bytes32 receiptHash,uint256 amount)"
"""The struct's EIP-712 type."""

_PAYMENT_TYPE: Final = keccak256(PAYMENT_FIELDS)
_WORD_BYTES: Final = 32
_NOTHING: Final = Minor(0)


@dataclass(frozen=True, slots=True)
class TaskPayment:
    """What a state pays for one task."""

    task_id: TaskId
    receipt_sha256: str
    """SHA-256 of the task's signed receipt, hex."""

    amount: Minor
    """What was paid for the task so far, this state included."""


@dataclass(frozen=True, slots=True)
class ChannelUpdate:
    """What one state of a channel says; the part that is signed."""

    nonce: int
    """0 opens the channel; each payment is one more."""

    net: Minor
    """Paid in total, this state's payments included."""

    task_id: TaskId | None = None
    """The task that this state pays for, of several the first; None in state 0."""

    receipt_sha256: str = ""
    """SHA-256 of the task's signed receipt, hex; empty in state 0."""

    amount: Minor = _NOTHING
    """What was paid for its task so far, this state included; 0 in state 0."""

    others: tuple[TaskPayment, ...] = ()
    """What else it pays for: none of these tasks was paid before."""

    @property
    def payments(self) -> tuple[TaskPayment, ...]:
        """What it pays for; empty in state 0."""
        if self.task_id is None:
            return ()
        first = TaskPayment(self.task_id, self.receipt_sha256, self.amount)
        return (first, *self.others)

    @property
    def total(self) -> Minor:
        """What its tasks were paid so far, together."""
        if not self.others:
            return self.amount
        return Minor(self.amount + sum(one.amount for one in self.others))

    def payment_of(self, task_id: TaskId) -> TaskPayment | None:
        """Return what it pays for a task, if it does."""
        return next((one for one in self.payments if one.task_id == task_id), None)


OPENING: Final = ChannelUpdate(nonce=0, net=_NOTHING)
"""The state that opens every channel."""


def payment_hash(update: ChannelUpdate) -> bytes:
    """Return the hash of an update's Payment struct, 32 bytes."""
    name = str(update.task_id or "")
    receipt = bytes.fromhex(update.receipt_sha256) or bytes(_WORD_BYTES)
    if update.others:
        name = f"{len(update.payments)} tasks"
        receipt = _shared_sha256(update.payments)
    return keccak256(
        _PAYMENT_TYPE
        + keccak256(name.encode())
        + receipt
        + update.total.to_bytes(_WORD_BYTES)
    )


def check_update(update: ChannelUpdate) -> None:
    """Check that a state can say this.

    Raises:
        EvidenceError: It cannot.
    """
    # Each amount is above 0, as is checked below, so the sum is not below any of them.
    if max(update.nonce, update.net, update.total) > MAX_AMOUNT:
        raise EvidenceError("a number in the channel state is above 2^63 - 1")
    if update.nonce == 0:
        if update != OPENING:
            raise EvidenceError("state 0 opens a channel and cannot pay")
        return
    payments = update.payments
    if not payments or update.total > update.net:
        raise EvidenceError("a state after state 0 pays an amount for a task")
    if len(payments) > MAX_SHARED:
        raise EvidenceError(f"pays for {len(payments)} tasks; at most {MAX_SHARED}")
    if len({one.task_id for one in payments}) < len(payments):
        raise EvidenceError("a state pays twice for one task")
    for one in payments:
        if one.amount <= 0:
            raise EvidenceError("a state after state 0 pays an amount for a task")
        if len(one.receipt_sha256) != 2 * RECEIPT_HASH_BYTES:
            raise EvidenceError("the state names no receipt (a SHA-256)")


def _shared_sha256(payments: tuple[TaskPayment, ...]) -> bytes:
    parts: list[bytes] = []
    for one in payments:
        name = one.task_id.encode()
        parts += (len(name).to_bytes(2), name, bytes.fromhex(one.receipt_sha256))
        parts.append(one.amount.to_bytes(8))
    return hashlib.sha256(b"".join(parts)).digest()
