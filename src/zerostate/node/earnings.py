"""What this peer has earned by tasks: the payments that it accepts, also after a restart.

A receipt is a claim only as long as its executor takes the payment. So what is earned is
on disk before the receipt is sent.
"""

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, final

import trio

from zerostate.errors import StoreUnavailableError
from zerostate.ids import TaskId
from zerostate.payment import ExpectedPayment
from zerostate.payment.database import (
    Schema,
    mapped_errors,
    open_database,
    transaction,
)
from zerostate.units import Minor

MAX_EARNINGS: Final = 10_000
"""Tasks whose payment is accepted, paid ones among them; some 3 MB in memory and 2 MB on
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
    ),
)
"""The store's layout."""

_logger: Final = logging.getLogger("zerostate.node")


@final
class Earnings:
    """The payments that are accepted for `MAX_EARNINGS` tasks; see `open_earnings`."""

    def __init__(
        self, connection: sqlite3.Connection, *, max_earnings: int = MAX_EARNINGS
    ) -> None:
        """Read what `connection` has, which must be of `SCHEMA`."""
        self._connection = connection
        self._max = max_earnings
        self._one_at_a_time = trio.CapacityLimiter(1)
        self._earned = OrderedDict(_stored(connection))
        self._not_kept = 0

    def __len__(self) -> int:
        """Return for how many tasks a payment is accepted."""
        return len(self._earned)

    def stats(self) -> Mapping[str, int]:
        """Return what the disk has refused: a restart will forget it."""
        return {"earnings.not_kept": self._not_kept}

    def of(self, task_id: TaskId) -> ExpectedPayment | None:
        """Return what a task has earned; None if nothing, or it was given up."""
        return self._earned.get(task_id)

    async def note(self, task_id: TaskId, earned: ExpectedPayment) -> None:
        """Accept a payment for a task from now on; durable when this returns.

        Nothing is noted of a task that costs nothing, nor a second time of the same. If
        the disk refuses, it is logged and counted, and holds until the next restart.
        """
        if earned.price <= 0 or task_id in self._earned:
            return
        self._earned[task_id] = earned
        given_up = []
        while len(self._earned) > self._max:
            given_up.append(self._earned.popitem(last=False)[0])
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

    def _write(
        self, task_id: TaskId, earned: ExpectedPayment, given_up: Iterable[TaskId]
    ) -> None:
        with mapped_errors(SCHEMA.name), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO earnings (task_id, receipt_sha256, price) "
                "VALUES (?, ?, ?)",
                (task_id, earned.receipt_sha256, earned.price),
            )
            self._connection.executemany(
                "DELETE FROM earnings WHERE task_id = ?",
                [(each,) for each in given_up],
            )


@asynccontextmanager
async def open_earnings(path: Path) -> AsyncIterator[Earnings]:
    """Give the earnings in the file `path`, which is made if missing and then locked.

    Raises:
        ConfigError: Written by a newer version of this program.
        StoreLockedError: Another process has it open.
        StoreCorruptError: Not such a file.
        StoreUnavailableError: The disk refused.
    """
    earnings = await trio.to_thread.run_sync(_open, path)
    try:
        yield earnings
    finally:
        await earnings.aclose()


def _open(path: Path) -> Earnings:
    connection = open_database(path, SCHEMA)
    try:
        with mapped_errors(SCHEMA.name, path):
            return Earnings(connection)
    except BaseException:
        connection.close()
        raise


def _stored(connection: sqlite3.Connection) -> list[tuple[TaskId, ExpectedPayment]]:
    rows = connection.execute(
        "SELECT task_id, receipt_sha256, price FROM earnings ORDER BY number"
    )
    return [
        (TaskId(task_id), ExpectedPayment(digest, Minor(price)))
        for task_id, digest, price in rows
    ]
