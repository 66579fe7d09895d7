"""Payments that only the payer has signed: their channel's row tells all of them.

A row of their own would be written for each, and written again when the payee has signed
too, which is most of what a payment costs the disk. What the channel's row does not tell
has one: that a payment was refused, that its task goes on, or what was paid before.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, final

from zerostate.errors import EvidenceError, StoreCorruptError
from zerostate.evidence.channel import decode_state
from zerostate.ids import ChannelId, TaskId
from zerostate.payment.rows import (
    CHANNELS,
    ChannelRow,
    PaymentRow,
    PaymentStatus,
    channel_row,
)

_SEPARATOR: Final = "\n"


@final
class InFlight:
    """What is in flight, by task; at most one state of each channel is."""

    def __init__(self) -> None:
        self._rows: Final[dict[TaskId, PaymentRow]] = {}
        self._tasks_on: Final[dict[ChannelId, tuple[TaskId, ...]]] = {}

    def get(self, task_id: TaskId) -> PaymentRow | None:
        """Return the payment in flight for a task, if its channel's row tells it."""
        return self._rows.get(task_id)

    def load(self, connection: sqlite3.Connection) -> tuple[TaskId, ...]:
        """Take in what is on the disk; return the tasks.

        Raises:
            StoreCorruptError: A row is not what was written.
        """
        with_rows = "SELECT 1 FROM payments WHERE task_id = ?"
        contexts = dict(
            connection.execute("SELECT channel_id, traceparents FROM channels")
        )
        for row in connection.execute(f"{CHANNELS} WHERE proposed IS NOT NULL"):
            channel = channel_row(row)
            self.note(
                channel,
                [
                    one
                    for one in _payments(channel, contexts[channel.channel_id])
                    if connection.execute(with_rows, (one.task_id,)).fetchone() is None
                ],
                (),
            )
        return tuple(self._rows)

    def has(self, payment: PaymentRow) -> bool:
        """Whether `payment` is the one in flight, signed by no one else yet."""
        known = self._rows.get(payment.task_id)
        return known is not None and is_told(payment) and known.state == payment.state

    def note(
        self,
        channel: ChannelRow,
        payments: Sequence[PaymentRow],
        written: Sequence[PaymentRow],
    ) -> None:
        """Take in what was saved of a channel.

        Args:
            channel: The channel.
            payments: What was paid on it.
            written: Those of them that have rows of their own now.
        """
        if channel.proposed is not None and not payments:
            return  # saved for something else
        for task_id in self._tasks_on.pop(channel.channel_id, ()):
            known = self._rows.get(task_id)
            if known is not None and known.channel_id == channel.channel_id:
                del self._rows[task_id]
        with_rows = {one.task_id for one in written}
        told = [one for one in payments if one.task_id not in with_rows]
        if told:
            self._tasks_on[channel.channel_id] = tuple(one.task_id for one in told)
            self._rows.update((one.task_id, one) for one in told)


def is_told(payment: PaymentRow) -> bool:
    """Whether the row of its channel tells all of a payment."""
    return (
        payment.status is PaymentStatus.PROPOSED
        and not payment.interim
        and payment.paid == 0
    )


def traceparents(payments: Sequence[PaymentRow]) -> str | None:
    """Return the trace contexts of `payments` as they stand in their channel's row."""
    contexts = [one.trace_context or "" for one in payments]
    return _SEPARATOR.join(contexts) if any(contexts) else None


def _payments(channel: ChannelRow, contexts: str | None) -> list[PaymentRow]:
    if channel.proposed is None:
        return []
    try:
        update = decode_state(channel.proposed).update
    except EvidenceError as exc:
        raise StoreCorruptError(f"channel {channel.channel_id}: {exc}") from exc
    named = (contexts or "").split(_SEPARATOR)
    named += [""] * (len(update.payments) - len(named))
    return [
        PaymentRow(
            one.task_id,
            channel.channel_id,
            update.nonce,
            channel.proposed,
            PaymentStatus.PROPOSED,
            context or None,
        )
        for one, context in zip(update.payments, named, strict=False)
    ]
