"""Channels and payments on disk: SQLite, write-ahead log, ``synchronous=FULL``.

Each `save` is whole and durable when it returns; a crash at any moment leaves the
state before it or the one after, never a mix. The database is locked for as
long as it is open: two processes that sign for one channel could sign two different
states with one nonce.

The signed bytes are what is kept; nothing is taken from a column that they say too. The
terms, which all states of a channel repeat, are kept once, in its row; files of version 1
have them in each state, and may keep them there.
"""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Self, TypeVar, final

import trio

from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment.committing import Change, Committer
from zerostate.payment.database import mapped_errors, open_database
from zerostate.payment.in_flight import InFlight, is_told, traceparents
from zerostate.payment.known import Seen
from zerostate.payment.lives import count_live
from zerostate.payment.rows import (
    CHANNELS,
    PAYMENTS,
    ChannelRow,
    PaymentRow,
    PaymentStatus,
    Role,
    channel_row,
    payment_row,
)
from zerostate.payment.saving import Save, make_all, rows_of
from zerostate.payment.schema import SCHEMA

__all__ = ["ChannelRow", "PaymentRow", "PaymentStatus", "PaymentStore", "Role"]

MAX_RECENT: Final = 2048
"""Payments kept in memory, about 1.5 KB each: those of a task that is paid while it
goes on are asked for with each of its payments."""

T = TypeVar("T")


@final
class PaymentStore:
    """Channels and payments on disk. What waits for the disk waits in a worker thread.

    Writes that wait at the same time become durable together (`Committer`), in the
    order of asking.

    Cancellation: a call that has begun is finished; its effect stands.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._committer = Committer(
            connection, self._lock, SCHEMA.name, make_all, rows_of
        )
        self._tasks = Seen()
        """All that payments are stored for, and perhaps more."""

        self._recent: OrderedDict[TaskId, PaymentRow] = OrderedDict()
        """Newest payments, as they are on the disk."""

        self._in_flight = InFlight()
        self._begun: dict[TaskId, Change[None]] = {}
        """The newest write about each task that is under way."""

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the store at `path`; make it when missing.

        Raises:
            ConfigError: Written by a newer version of this program (an older one is
                migrated, after a backup: see `open_database`).
            StoreLockedError: Another process has it open.
            StoreCorruptError: Not a database of ours, or not what was written.
            StoreUnavailableError: The disk refused.
        """
        store = cls(await trio.to_thread.run_sync(open_database, path, SCHEMA))
        try:
            await store.read(store._note_tasks)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Close the store; calling it again does nothing."""
        with trio.CancelScope(shield=True):
            await self._run(lambda connection: connection.close())

    async def channel(self, channel_id: ChannelId) -> ChannelRow | None:
        """Return the channel, or None."""
        query = f"{CHANNELS} WHERE channel_id = ?"
        rows = await self._rows(query, channel_id)
        return channel_row(rows[0]) if rows else None

    async def channels(
        self, *, peer_id: PeerId | None = None, role: Role | None = None
    ) -> tuple[ChannelRow, ...]:
        """Return the channels with `peer_id` in which we are `role`, oldest first."""
        query = (
            f"{CHANNELS} "
            "WHERE peer_id = ifnull(?, peer_id) AND role = ifnull(?, role) "
            "ORDER BY created_unix_ns, channel_id"
        )
        rows = await self._rows(query, peer_id, role)
        return tuple(channel_row(row) for row in rows)

    async def count_channels(self, peer_id: PeerId) -> tuple[int, int]:
        """Return how many are not settled: in all, and with `peer_id`."""
        return await self.read(lambda conn: count_live(conn, peer_id))

    async def payment(self, task_id: TaskId) -> PaymentRow | None:
        """Return the payment for `task_id`, or None.

        At once, without the disk, for a new task and for one of the `MAX_RECENT` that
        were paid last.
        """
        if not self._tasks.maybe(task_id):
            return None
        if (proposed := self._in_flight.get(task_id)) is not None:
            return proposed
        if (recent := self._recent.get(task_id)) is not None:
            return recent
        rows = await self._rows(f"{PAYMENTS} WHERE task_id = ?", task_id)
        return payment_row(rows[0]) if rows else None

    async def save(
        self,
        channel: ChannelRow,
        *payments: PaymentRow,
        now_unix_ns: int,
        with_life: bool = True,
    ) -> None:
        """Write all in one transaction; durable when this returns.

        Args:
            channel: The channel.
            payments: What was paid on it last, if that is new.
            now_unix_ns: When.
            with_life: Whether its life has changed too; it takes a statement more.

        Raises:
            ChannelFrozenError: The channel's signed states may not change any more.
            StoreError: Nothing was written.
        """
        rows: list[PaymentRow] = []
        known: set[TaskId] = set()
        for payment in payments:
            task_id = payment.task_id
            is_new = not self._tasks.maybe(task_id)
            before = self._in_flight.get(task_id) or self._recent.pop(task_id, None)
            if is_new or before is not None:
                known.add(task_id)
            self._tasks.add(task_id)
            if not (is_new and is_told(payment)) and not self._in_flight.has(payment):
                rows.append(_with_context(payment, before))
        contexts = traceparents(payments) if channel.proposed else None
        change = Save(channel, rows, now_unix_ns, with_life, contexts)
        alone = await self._write_payments(rows, change)
        self._in_flight.note(channel, payments, rows)
        for row in rows:
            if row.task_id in alone and row.task_id in known:
                self._remember(row)

    async def save_compared(
        self, channel: ChannelRow, *payments: PaymentRow, now_unix_ns: int
    ) -> None:
        """As `save`, for a channel whose ends have just compared their states."""

        def compared(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE channels SET unsynced = 0 WHERE channel_id = ?",
                (channel.channel_id,),
            )
            Save(channel, payments, now_unix_ns)(connection)

        for payment in payments:
            self._tasks.add(payment.task_id)
            self._recent.pop(payment.task_id, None)
        await self._write_payments(payments, compared)
        self._in_flight.note(channel, payments, payments)

    async def forget_opening(self, channel_id: ChannelId) -> None:
        """Delete a channel that was never agreed on; others are left alone."""
        query = "DELETE FROM channels WHERE channel_id = ? AND agreed IS NULL"
        await self._rows(query, channel_id)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `query` finds; it sees one state of the store and writes nothing.

        Raises:
            StoreError: It could not be read.
        """
        return await self._run(query)

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Let `change` write; durable when this returns.

        `change` runs in another thread, must not wait for anything, and neither begins
        nor ends a transaction. It shares one with other writes, and is called a second
        time when one of those failed. If it raises, nothing that it wrote is kept.
        Payments are added by `save` only.

        Raises:
            ChannelFrozenError: It would keep a new signed state of a channel on which
                nothing is signed any more.
            StoreError: Nothing was written.
            InternalError: It broke another rule of the tables; nothing was written.
        """
        return await self._committer.write(change)

    async def _write_payments(
        self, payments: Sequence[PaymentRow], change: Change[None]
    ) -> set[TaskId]:
        """Write; return the tasks about which no other write was begun since."""
        alone: set[TaskId] = set()
        for payment in payments:
            self._begun[payment.task_id] = change
        try:
            await self.write(change)
        finally:
            for payment in payments:
                if self._begun.get(payment.task_id) is change:
                    del self._begun[payment.task_id]
                    alone.add(payment.task_id)
        return alone

    def _remember(self, payment: PaymentRow) -> None:
        self._recent[payment.task_id] = payment
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)

    def _note_tasks(self, connection: sqlite3.Connection) -> None:
        for (task_id,) in connection.execute("SELECT task_id FROM payments"):
            self._tasks.add(str(task_id))
        for in_flight in self._in_flight.load(connection):
            self._tasks.add(in_flight)

    async def _rows(self, query: str, *values: str | None) -> list[tuple[object, ...]]:
        return await self._run(lambda conn: conn.execute(query, values).fetchall())

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def locked() -> T:
            with self._lock, mapped_errors(SCHEMA.name):
                return work(self._connection)

        return await trio.to_thread.run_sync(locked)


def _with_context(payment: PaymentRow, before: PaymentRow | None) -> PaymentRow:
    """Return `payment` as it is on the disk, where `before` was."""
    kept = before.trace_context if before else None
    if payment.trace_context is not None or kept is None:
        return payment
    return replace(payment, trace_context=kept)
