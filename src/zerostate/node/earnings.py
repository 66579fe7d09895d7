"""What this peer has earned by tasks: the payments that it accepts, also after a restart.

A receipt is a claim only as long as its executor takes the payment. So what is earned is
on disk before the receipt is sent. Whether it was paid, the channels know; it is noted
here too, so that nobody asks them again.
"""

import heapq
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import trio

from zerostate.clock import Clock
from zerostate.errors import StoreError, StoreUnavailableError
from zerostate.ids import PeerId, TaskId
from zerostate.node.debts import MAX_AGE_S
from zerostate.payment import ExpectedPayment
from zerostate.payment.database import (
    Schema,
    mapped_errors,
    open_database,
    transaction,
)
from zerostate.units import NS_PER_S, Minor

MAX_EARNINGS: Final = 10_000
"""Tasks whose payment is accepted, paid ones among them; some 5 MB in memory and 3 MB on
disk. The oldest is given up first."""

SCHEMA: Final = Schema(
    "store of earnings",
    (
        (
            """CREATE TABLE earnings (
                number INTEGER PRIMARY KEY,
                task_id TEXT NOT NULL UNIQUE,
                receipt_sha256 TEXT NOT NULL,
                price INTEGER NOT NULL CHECK (price > 0)
            ) STRICT""",
        ),
        (
            # Of what is older nobody knows whose it is: it counts against nobody.
            "ALTER TABLE earnings ADD COLUMN requester TEXT",
            "ALTER TABLE earnings ADD COLUMN ended_unix_ns INTEGER NOT NULL DEFAULT 0",
            """ALTER TABLE earnings ADD COLUMN paid INTEGER NOT NULL DEFAULT 0
                CHECK (paid IN (0, 1))""",
        ),
    ),
)
"""The store's layout."""

UNPAID_FOR_S: Final = MAX_AGE_S
"""How long a task that is not paid counts against its requester, in seconds: as long as
one tries to pay. A requester that never got its result could not."""

MAX_WORST: Final = 8
"""Requesters that `Earnings.all_unpaid` names: enough to see who it is, few enough to read."""

LOOK_S: Final = 10.0
"""Between two rounds that find out who has paid, in seconds."""

LOOK_PAUSE_S: Final = 0.1
"""Between two requesters in such a round, in seconds: peer ids cost nothing, and however
many have left tasks unpaid, asking the channels takes a small part of the disk's time."""

IsPaid = Callable[[TaskId, str], Awaitable[bool]]
"""Tells whether a task's receipt, by its hash in hex, was paid."""

_logger: Final = logging.getLogger("zerostate.node")


@final
@dataclass(frozen=True, slots=True)
class Earned:
    """What a task has earned."""

    payment: ExpectedPayment
    requester: PeerId | None
    """Who owes it; None if noted by a version that did not ask."""

    ended_unix_ns: int


@final
@dataclass(frozen=True, slots=True)
class Unpaid:
    """What is done, and not known to be paid."""

    tasks: int
    requesters: int
    worst: tuple[tuple[PeerId, int], ...]
    """Who owes for most tasks, and for how many: `MAX_WORST` at most, the worst first."""


@final
class Earnings:
    """The payments that are accepted for `MAX_EARNINGS` tasks; see `open_earnings`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        is_paid: IsPaid,
        clock: Clock,
        max_earnings: int = MAX_EARNINGS,
    ) -> None:
        """Read what `connection` has, which must be of `SCHEMA`."""
        self._connection = connection
        self._is_paid = is_paid
        self._clock = clock
        self._max = max_earnings
        self._one_at_a_time = trio.CapacityLimiter(1)
        self._earned: OrderedDict[TaskId, Earned] = OrderedDict()
        self._unpaid: dict[PeerId, dict[TaskId, Earned]] = {}
        for task_id, earned, is_known_paid in _stored(connection):
            self._earned[task_id] = earned
            if not is_known_paid:
                self._count(task_id, earned)
        self._not_kept = 0
        self._not_looked = 0

    def __len__(self) -> int:
        """Return for how many tasks a payment is accepted."""
        return len(self._earned)

    def stats(self) -> Mapping[str, int]:
        """Return what the disk has refused.

        What was not kept a restart will forget; where it could not be looked who has
        paid, the next look tries again.
        """
        return {
            "earnings.not_kept": self._not_kept,
            "earnings.not_looked": self._not_looked,
        }

    def of(self, task_id: TaskId) -> ExpectedPayment | None:
        """Return what a task has earned; None if nothing, or it was given up."""
        earned = self._earned.get(task_id)
        return None if earned is None else earned.payment

    def unpaid(self, requester: PeerId) -> AbstractSet[TaskId]:
        """Return the tasks of the last `UNPAID_FOR_S` of which no payment is known.

        Some may have been paid since `note_payments` looked last.
        """
        tasks = self._unpaid.get(requester, {})
        since_ns = self._clock.wall_ns() - round(UNPAID_FOR_S * NS_PER_S)
        for task_id in [one for one in tasks if tasks[one].ended_unix_ns < since_ns]:
            self._uncount(task_id, tasks[task_id])
        return tasks.keys()

    def all_unpaid(self) -> Unpaid:
        """Return what all requesters together owe for; see `unpaid` and `run`."""
        counts = [(len(self.unpaid(one)), one) for one in tuple(self._unpaid)]
        owing = [(tasks, one) for tasks, one in counts if tasks]
        worst = heapq.nsmallest(MAX_WORST, owing, key=lambda each: (-each[0], each[1]))
        return Unpaid(
            tasks=sum(tasks for tasks, _ in owing),
            requesters=len(owing),
            worst=tuple((one, tasks) for tasks, one in worst),
        )

    async def run(self) -> None:
        """Find out who has paid, again and again, until cancelled.

        Without it that is known only of who has come to the bound; see `Credit.look`.
        """
        while True:
            for requester in tuple(self._unpaid):
                try:
                    await self.note_payments(requester)
                except StoreError as exc:
                    self._not_looked += 1
                    _logger.warning("not known whether %s has paid: %s", requester, exc)
                await trio.sleep(LOOK_PAUSE_S)
            await trio.sleep(LOOK_S)

    async def note_payments(self, requester: PeerId) -> None:
        """Find out which of a requester's tasks have been paid.

        If the disk does not take it, the next start finds it out again.

        Raises:
            StoreError: The channels cannot be read.
        """
        paid = [
            (task_id, earned)
            for task_id, earned in tuple(self._unpaid.get(requester, {}).items())
            if await self._is_paid(task_id, earned.payment.receipt_sha256)
        ]
        for task_id, earned in paid:
            self._uncount(task_id, earned)
        if not paid:
            return
        try:
            await trio.to_thread.run_sync(
                self._write_paid,
                [task_id for task_id, _ in paid],
                limiter=self._one_at_a_time,
            )
        except StoreUnavailableError as exc:
            _logger.warning("not noted that %d tasks are paid: %s", len(paid), exc)

    async def note(self, task_id: TaskId, earned: Earned) -> None:
        """Accept a payment for a task from now on; durable when this returns.

        Nothing is noted of a task that costs nothing, nor a second time of the same. If
        the disk refuses, it is logged and counted, and holds until the next restart.
        """
        if earned.payment.price <= 0 or task_id in self._earned:
            return
        self._earned[task_id] = earned
        self._count(task_id, earned)
        given_up = []
        while len(self._earned) > self._max:
            oldest = self._earned.popitem(last=False)
            self._uncount(*oldest)
            given_up.append(oldest[0])
            _logger.info("a payment for %s is accepted no longer", given_up[-1])
        try:
            await trio.to_thread.run_sync(
                self._write, task_id, earned, given_up, limiter=self._one_at_a_time
            )
        except StoreUnavailableError as exc:
            self._not_kept += 1
            _logger.warning("a restart will forget what %s earned: %s", task_id, exc)

    async def aclose(self) -> None:
        """Close the file, once what is being written is there."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(
                self._connection.close, limiter=self._one_at_a_time
            )

    def _count(self, task_id: TaskId, earned: Earned) -> None:
        if earned.requester is not None:
            self._unpaid.setdefault(earned.requester, {})[task_id] = earned

    def _uncount(self, task_id: TaskId, earned: Earned) -> None:
        if earned.requester is None or earned.requester not in self._unpaid:
            return
        tasks = self._unpaid[earned.requester]
        tasks.pop(task_id, None)
        if not tasks:
            del self._unpaid[earned.requester]

    def _write_paid(self, task_ids: Iterable[TaskId]) -> None:
        with mapped_errors(SCHEMA.name), transaction(self._connection):
            self._connection.executemany(
                "UPDATE earnings SET paid = 1 WHERE task_id = ?",
                [(each,) for each in task_ids],
            )

    def _write(
        self, task_id: TaskId, earned: Earned, given_up: Iterable[TaskId]
    ) -> None:
        with mapped_errors(SCHEMA.name), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO earnings "
                "(task_id, receipt_sha256, price, requester, ended_unix_ns) "
                "VALUES (?, ?, ?, ?, ?)",
                (
                    task_id,
                    earned.payment.receipt_sha256,
                    earned.payment.price,
                    earned.requester,
                    earned.ended_unix_ns,
                ),
            )
            self._connection.executemany(
                "DELETE FROM earnings WHERE task_id = ?",
                [(each,) for each in given_up],
            )


@asynccontextmanager
async def open_earnings(
    path: Path, *, is_paid: IsPaid, clock: Clock
) -> AsyncIterator[Earnings]:
    """Give the earnings in the file `path`, which is made if missing and then locked.

    A file of an older version is copied beside itself and migrated.

    Args:
        path: The file.
        is_paid: Asked when it is not known whether a task was paid.
        clock: Tells how long ago a task ended.

    Raises:
        ConfigError: Written by a newer version of this program.
        StoreLockedError: Another process has it open.
        StoreCorruptError: Not such a file.
        StoreUnavailableError: The disk refused.
    """
    earnings = await trio.to_thread.run_sync(_open, path, is_paid, clock)
    try:
        yield earnings
    finally:
        await earnings.aclose()


def _open(path: Path, is_paid: IsPaid, clock: Clock) -> Earnings:
    connection = open_database(path, SCHEMA)
    try:
        with mapped_errors(SCHEMA.name, path):
            return Earnings(connection, is_paid=is_paid, clock=clock)
    except BaseException:
        connection.close()
        raise


def _stored(connection: sqlite3.Connection) -> Iterator[tuple[TaskId, Earned, bool]]:
    """Yield each task, what it earned, and whether that is known to be paid."""
    rows = connection.execute(
        "SELECT task_id, receipt_sha256, price, requester, ended_unix_ns, paid "
        "FROM earnings ORDER BY number"
    )
    for task_id, digest, price, requester, ended_unix_ns, paid in rows:
        payment = ExpectedPayment(digest, Minor(price))
        yield TaskId(task_id), Earned(payment, requester, ended_unix_ns), bool(paid)
