"""Group commit: all writes that wait for the disk share one transaction and one wait.

A disk makes some hundred transactions durable in a second, however small they are. So
a write never gets one of its own while others wait too: those that come while the disk
is busy are gathered, and go to it together.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, final

import trio

from zerostate.errors import InternalError, StoreUnavailableError
from zerostate.payment.database import mapped, transaction

MAX_GATHERED: Final = 4096
"""Writes that wait for the disk together; 4 MB of signed states. More are refused: a
disk that is so far behind does not catch up by being given more."""

MAX_ROWS_TOGETHER: Final = 256
"""Rows that become durable together, about. What waits behind so many would gain nothing
by being written with them, and they would wait for it: then all that goes on at the same
time waits for the disk at the same time, and for the other end."""

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]
"""Writes something. Called in another thread, in a transaction that it neither begins
nor ends; called again if another one of its batch failed the first time."""

Weigh = Callable[[Change[Any]], int]
"""Returns about how many rows a change writes."""

MakeAll = Callable[[sqlite3.Connection, Sequence[Change[Any]]], Sequence[Any]]
"""Makes changes in order and returns what each returns, or raises what one raises."""


def _one_row(_change: Change[Any]) -> int:
    return 1


def make_each(
    connection: sqlite3.Connection, changes: Sequence[Change[Any]]
) -> Sequence[Any]:
    """Make `changes` one by one."""
    return [change(connection) for change in changes]


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


@dataclass(slots=True)
class _Batch:
    changes: list[Change[Any]] = field(default_factory=list)
    rows: int = 0
    outcomes: Sequence[Any] = ()
    """What each change returned, or that it failed."""

    waiting: list[trio.lowlevel.Task] = field(default_factory=list)
    """The callers, but the first; a scope and an event for each would cost more."""


def _not_before_it_is_done(_raise_cancel: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED


@final
class Committer:
    """Makes changes durable, many at a time.

    The first caller of a batch takes it to the disk, in one worker thread, as soon as
    the batch before is done; the others wait for it. Batches and the changes in them
    are made in the order of asking.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: threading.Lock,
        name: str,
        make_all: MakeAll = make_each,
        weigh: Weigh = _one_row,
    ) -> None:
        """Write to `connection`, under `lock`.

        Args:
            connection: In autocommit mode.
            lock: Held while a batch is written.
            name: What the file is called in errors.
            make_all: How a batch is written; may be quicker than one by one.
            weigh: How large a change is.
        """
        self._connection = connection
        self._make_all = make_all
        self._weigh = weigh
        self._waiting = 0
        self._lock = lock
        self._name = name
        self._turn = trio.Lock()
        self._gathered = _Batch()

    async def write(self, change: Change[T]) -> T:
        """Let `change` write; durable when this returns.

        What it raises is raised here, and nothing that it wrote is kept; the others of
        its batch stand. When the disk refuses, all of the batch fail.

        Cancellation: a write that waits already is finished, and its effect stands.

        Raises:
            StoreUnavailableError: `MAX_GATHERED` writes wait already, or the disk
                refused; nothing was written.
            StoreError: Nothing was written.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._waiting >= MAX_GATHERED:
            raise StoreUnavailableError(
                f"{self._waiting} writes wait for the disk already"
            )
        batch, place = self._gathered, len(self._gathered.changes)
        self._waiting += 1
        batch.changes.append(change)
        batch.rows += self._weigh(change)
        if batch.rows >= MAX_ROWS_TOGETHER:
            self._gathered = _Batch()
        if place == 0:
            with trio.CancelScope(shield=True):
                await self._take_to_disk(batch)
        else:
            batch.waiting.append(trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(_not_before_it_is_done)
        outcome = batch.outcomes[place]
        if not isinstance(outcome, _Failed):
            value: T = outcome
            return value
        if isinstance(outcome.error, sqlite3.Error):
            raise mapped(outcome.error, self._name) from outcome.error
        raise outcome.error

    async def _take_to_disk(self, batch: _Batch) -> None:
        async with self._turn:
            if self._gathered is batch:
                self._gathered = _Batch()
            self._waiting -= len(batch.changes)
            broken = InternalError(f"{self._name}: a batch of writes was not finished")
            batch.outcomes = [_Failed(broken)] * len(batch.changes)
            try:
                batch.outcomes = await trio.to_thread.run_sync(
                    self._commit, batch.changes
                )
            finally:
                for task in batch.waiting:
                    trio.lowlevel.reschedule(task)

    def _commit(self, changes: Sequence[Change[Any]]) -> Sequence[Any]:
        with self._lock:
            try:
                with transaction(self._connection):
                    return self._make_all(self._connection, changes)
            except Exception as exc:  # noqa: BLE001  # raised where it belongs, by `write`
                if len(changes) == 1:
                    return [_Failed(exc)]
            return self._commit_apart(changes)

    def _commit_apart(self, changes: Sequence[Change[Any]]) -> Sequence[Any]:
        """Commit those that do not fail; found out by making each in a savepoint."""
        try:
            with transaction(self._connection):
                return [self._make_one(change) for change in changes]
        except sqlite3.Error as exc:
            return [_Failed(exc)] * len(changes)

    def _make_one(self, change: Change[Any]) -> object:
        self._connection.execute("SAVEPOINT one")
        made: object
        try:
            made = change(self._connection)
        except Exception as exc:  # noqa: BLE001  # raised where it belongs, by `write`
            # This fails in turn if the disk has ended the whole transaction.
            self._connection.execute("ROLLBACK TO one")
            made = _Failed(exc)
        self._connection.execute("RELEASE one")
        return made
