"""Group commit: what waits together goes to the disk together, and fails apart."""

import sqlite3
import threading
from contextlib import closing, suppress

import pytest
import trio
import trio.testing

from zerostate.errors import InternalError, StoreUnavailableError, ZeroStateError
from zerostate.payment.committing import MAX_GATHERED, Committer
from zerostate.payment.database import Schema, open_database
from zerostate.payment.known import Seen

NUMBERS = Schema(
    "numbers", (("CREATE TABLE numbers (n INTEGER PRIMARY KEY CHECK (n >= 0))",),)
)


class Disk:
    """A store whose first commit waits until it is let go."""

    def __init__(self, connection):
        self.connection = connection
        self.lock = threading.Lock()
        self.committer = Committer(connection, self.lock, "numbers")
        self.commits = 0
        connection.set_trace_callback(self._note)

    def _note(self, statement):
        self.commits += statement == "COMMIT"

    def numbers(self):
        return [n for (n,) in self.connection.execute("SELECT n FROM numbers")]

    async def put(self, number, answers=None):
        def insert(connection):
            connection.execute("INSERT INTO numbers VALUES (?)", (number,))
            return number * 10

        try:
            answer = await self.committer.write(insert)
        except ZeroStateError as exc:
            answer = exc
        if answers is not None:
            answers[number] = answer
        return answer

    async def put_together(self, numbers):
        """Put all in one batch: they are gathered while the disk is held busy."""
        answers = {}
        async with trio.open_nursery() as nursery:
            with self.lock:
                nursery.start_soon(self.put, 999)
                await trio.testing.wait_all_tasks_blocked()
                for number in numbers:
                    nursery.start_soon(self.put, number, answers)
                    await trio.testing.wait_all_tasks_blocked()
                self.commits = 0
        return answers


@pytest.fixture
def disk(tmp_path):
    with closing(open_database(tmp_path / "numbers.db", NUMBERS)) as connection:
        yield Disk(connection)


async def test_one_write_is_made_at_once(disk):
    assert await disk.put(7) == 70
    assert (disk.numbers(), disk.commits) == ([7], 1)
    assert not disk.connection.in_transaction


async def test_what_waits_while_the_disk_is_busy_shares_one_commit(disk):
    answers = await disk.put_together(range(20))
    assert answers == {n: n * 10 for n in range(20)}
    assert disk.commits == 2, "the one that kept the disk busy, and the twenty"
    assert disk.numbers() == [*range(20), 999]


async def test_a_write_that_fails_fails_alone(disk):
    answers = await disk.put_together([1, -5, 2, 999, 3])
    assert [answers[n] for n in (1, 2, 3)] == [10, 20, 30]
    for number in (-5, 999):
        assert isinstance(answers[number], InternalError)
        assert isinstance(answers[number].__cause__, sqlite3.IntegrityError)
    assert disk.numbers() == [1, 2, 3, 999]


async def test_an_error_of_the_change_itself_is_raised_as_it_is(disk):
    def broken(connection):
        connection.execute("INSERT INTO numbers VALUES (1)")
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await disk.committer.write(broken)
    assert disk.numbers() == []
    assert await disk.put(1) == 10


async def test_when_the_disk_refuses_all_of_the_batch_fail(disk):
    ((pages,),) = disk.connection.execute("PRAGMA page_count")
    disk.connection.execute("CREATE TABLE blobs (b BLOB)")
    disk.connection.execute(f"PRAGMA max_page_count = {pages + 3}")

    def too_much(connection):
        connection.execute("INSERT INTO blobs VALUES (zeroblob(100000))")

    failed = []

    async def write_too_much():
        with suppress(StoreUnavailableError):
            await disk.committer.write(too_much)
            return
        failed.append("full")

    answers = {}
    async with trio.open_nursery() as nursery:
        with disk.lock:
            nursery.start_soon(disk.put, 999)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(disk.put, 1, answers)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(write_too_much)
            await trio.testing.wait_all_tasks_blocked()
    assert failed == ["full"]
    assert isinstance(answers[1], StoreUnavailableError) == (1 not in disk.numbers())
    assert not disk.connection.in_transaction
    assert await disk.put(2) == 20


async def test_a_write_that_waits_already_is_finished_though_it_is_cancelled(disk):
    finished = []

    async def put(number):
        finished.append(await disk.put(number))

    async with trio.open_nursery() as nursery:
        with disk.lock:
            for number in (1, 2, 3):
                nursery.start_soon(put, number)
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert disk.numbers() == [1, 2, 3]
    assert sorted(finished) == [10, 20, 30]


async def test_a_write_of_a_cancelled_task_is_not_begun(disk):
    with trio.CancelScope() as scope:
        scope.cancel()
        await disk.committer.write(lambda conn: conn.execute("DELETE FROM numbers"))
    assert scope.cancelled_caught
    assert disk.commits == 0


async def test_the_writes_that_wait_are_bounded(disk):
    def nothing(_connection):
        return None

    refused = []

    async def write():
        try:
            await disk.committer.write(nothing)
        except StoreUnavailableError as exc:
            refused.append(str(exc))

    async with trio.open_nursery() as nursery:
        with disk.lock:
            nursery.start_soon(disk.put, 1)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(MAX_GATHERED + 2):
                nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
    assert refused == [f"{MAX_GATHERED} writes wait for the disk already"] * 2


async def test_a_closed_store_refuses_writes(disk):
    disk.connection.close()
    assert isinstance(await disk.put(1), StoreUnavailableError)


def test_what_was_added_is_never_forgotten_and_little_else_is_known():
    seen = Seen()
    for number in range(1000):
        seen.add(f"task-{number}")
    assert all(seen.maybe(f"task-{number}") for number in range(1000))
    false = sum(seen.maybe(f"other-{number}") for number in range(10_000))
    assert false < 10
