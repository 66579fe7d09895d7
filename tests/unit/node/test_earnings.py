"""node.earnings: what tasks have earned, kept through a restart and bounded."""

import sqlite3
from contextlib import closing

import pytest
import trio

from zerostate.errors import (
    ConfigError,
    StoreCorruptError,
    StoreLockedError,
    StoreUnavailableError,
)
from zerostate.ids import PeerId, new_task_id
from zerostate.node.earnings import (
    MAX_WORST,
    SCHEMA,
    UNPAID_FOR_S,
    Earned,
    Earnings,
    Unpaid,
    open_earnings,
)
from zerostate.payment import ExpectedPayment
from zerostate.payment.database import Schema, open_database
from zerostate.testing import FakeClock
from zerostate.units import Minor

ANN, BEN = PeerId("ann"), PeerId("ben")


def payment(price=7, receipt="a" * 64):
    return ExpectedPayment(receipt, Minor(price))


def earned(price=7, requester=ANN, **fields):
    ended_unix_ns = fields.pop("ended_unix_ns", FakeClock().wall_ns())
    return Earned(payment(price, **fields), requester, ended_unix_ns)


class Paid:
    """Tells the receipts that were paid, and counts who asks."""

    def __init__(self, *receipts):
        self.receipts = set(receipts)
        self.asked = 0

    async def __call__(self, task_id, receipt_sha256):
        self.asked += 1
        return receipt_sha256 in self.receipts


def open_at(path, *, is_paid=None, clock=None):
    return open_earnings(path, is_paid=is_paid or Paid(), clock=clock or FakeClock())


def made(connection, **settings):
    return Earnings(connection, is_paid=Paid(), clock=FakeClock(), **settings)


async def test_what_was_earned_is_known_after_a_restart(tmp_path):
    task_id, path = new_task_id(), tmp_path / "earnings.db"
    async with open_at(path) as earnings:
        assert earnings.of(task_id) is None
        await earnings.note(task_id, earned(2**63 - 1))
        assert earnings.of(task_id) == payment(2**63 - 1)
    async with open_at(path) as earnings:
        assert earnings.of(task_id) == payment(2**63 - 1)
        assert len(earnings) == 1


async def test_it_is_on_disk_as_soon_as_it_is_noted(tmp_path):
    task_id, path = new_task_id(), tmp_path / "earnings.db"
    async with open_at(path) as earnings:
        await earnings.note(task_id, earned())
        # Copied while it is open: what a process that is killed leaves behind.
        copy = tmp_path / "copy.db"
        for suffix in ("", "-wal"):
            data = path.with_name(path.name + suffix).read_bytes()
            copy.with_name(copy.name + suffix).write_bytes(data)
    async with open_at(copy) as earnings:
        assert earnings.of(task_id) == payment()


async def test_a_task_that_is_free_earns_nothing(tmp_path):
    async with open_at(tmp_path / "earnings.db") as earnings:
        await earnings.note(new_task_id(), earned(0))
        assert len(earnings) == 0


async def test_a_task_earns_once_by_the_first_receipt(tmp_path):
    task_id = new_task_id()
    async with open_at(tmp_path / "earnings.db") as earnings:
        await earnings.note(task_id, earned(7))
        await earnings.note(task_id, earned(8))
        assert earnings.of(task_id) == payment(7)


async def test_the_oldest_is_given_up_first_on_disk_too(tmp_path):
    path, tasks = tmp_path / "earnings.db", [new_task_id() for _ in range(4)]
    connection = open_database(path, SCHEMA)
    earnings = made(connection, max_earnings=2)
    for task_id in tasks:
        await earnings.note(task_id, earned())
    connection.close()
    async with open_at(path) as again:
        assert len(earnings) == len(again) == 2
        for one in (earnings, again):
            kept = [one.of(task_id) for task_id in tasks]
            assert kept == [None, None, payment(), payment()]


async def test_a_disk_that_refuses_is_logged_and_the_payment_still_accepted(
    tmp_path, caplog
):
    task_id, path = new_task_id(), tmp_path / "earnings.db"
    open_database(path, SCHEMA).close()
    connection = sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    earnings = made(connection)
    await earnings.note(task_id, earned())
    connection.close()

    assert earnings.of(task_id) == payment()
    assert f"a restart will forget what {task_id} earned" in caplog.text
    assert earnings.stats() == {"earnings.not_kept": 1, "earnings.not_looked": 0}


async def test_one_process_at_a_time_has_it(tmp_path):
    path = tmp_path / "earnings.db"
    async with open_at(path):
        with pytest.raises(StoreLockedError, match="another process has it open"):
            async with open_at(path):
                pass


async def test_a_file_that_is_none_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "earnings.db"
    path.write_bytes(b"no database" * 100)

    with pytest.raises(StoreCorruptError):
        async with open_at(path):
            pass
    assert path.read_bytes() == b"no database" * 100


async def test_a_file_of_a_newer_program_is_refused(tmp_path):
    path = tmp_path / "earnings.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA user_version = 99")

    with pytest.raises(ConfigError, match="written by a newer ZeroState"):
        async with open_at(path):
            pass


async def test_a_task_counts_against_its_requester_until_it_is_paid(tmp_path):
    path, is_paid = tmp_path / "earnings.db", Paid()
    first, second, other = (new_task_id() for _ in range(3))
    async with open_at(path, is_paid=is_paid) as earnings:
        await earnings.note(first, earned(receipt="1" * 64))
        await earnings.note(second, earned(receipt="2" * 64))
        await earnings.note(other, earned(requester=BEN))
        assert earnings.unpaid(ANN) == {first, second}
        is_paid.receipts.add("1" * 64)
        await earnings.note_payments(ANN)
        assert earnings.unpaid(ANN) == {second}
        assert earnings.unpaid(BEN) == {other}
        # Another payment for it is accepted no less: it is refused by the channel.
        assert earnings.of(first) == payment(receipt="1" * 64)

    again = Paid()
    async with open_at(path, is_paid=again) as earnings:
        await earnings.note_payments(ANN)
        assert earnings.unpaid(ANN) == {second}
        assert earnings.unpaid(BEN) == {other}
        assert again.asked == 1


async def test_who_owes_most_is_named_and_all_that_is_owed_counted(tmp_path):
    clock, many = FakeClock(), [PeerId(f"p{n}") for n in range(MAX_WORST)]
    async with open_at(tmp_path / "earnings.db", clock=clock) as earnings:
        assert earnings.all_unpaid() == Unpaid(0, 0, ())
        for requester in (BEN, *many, BEN, ANN, ANN, ANN):
            await earnings.note(new_task_id(), earned(requester=requester))

        found = earnings.all_unpaid()
        assert (found.tasks, found.requesters) == (MAX_WORST + 5, MAX_WORST + 2)
        assert found.worst[:3] == ((ANN, 3), (BEN, 2), ("p0", 1))
        assert len(found.worst) == MAX_WORST
        clock.advance(UNPAID_FOR_S + 1)
        assert earnings.all_unpaid() == Unpaid(0, 0, ())


async def test_who_has_paid_is_found_out_without_a_further_task(tmp_path, caplog):
    broken, paid, last = (new_task_id() for _ in range(3))
    looked = trio.Event()

    async def is_paid(task_id, _receipt):
        if task_id == broken:
            raise StoreUnavailableError("the disk is gone")
        if task_id == last:
            looked.set()
        return task_id == paid

    async with open_at(tmp_path / "earnings.db", is_paid=is_paid) as earnings:
        await earnings.note(broken, earned(requester=ANN))
        await earnings.note(paid, earned(requester=BEN))
        await earnings.note(last, earned(requester=BEN))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(earnings.run)
            with trio.fail_after(10):
                await looked.wait()
            nursery.cancel_scope.cancel()

        assert earnings.all_unpaid() == Unpaid(2, 2, ((ANN, 1), (BEN, 1)))
        assert earnings.stats()["earnings.not_looked"] == 1
        assert f"not known whether {ANN} has paid" in caplog.text


async def test_what_could_not_be_paid_for_a_week_counts_no_longer(tmp_path):
    clock, task_id = FakeClock(), new_task_id()
    async with open_at(tmp_path / "earnings.db", clock=clock) as earnings:
        await earnings.note(task_id, earned())
        clock.advance(UNPAID_FOR_S)
        assert earnings.unpaid(ANN) == {task_id}
        clock.advance(1)
        assert earnings.unpaid(ANN) == set()
        assert earnings.of(task_id) == payment()


async def test_what_is_given_up_counts_no_longer(tmp_path):
    connection = open_database(tmp_path / "earnings.db", SCHEMA)
    earnings = made(connection, max_earnings=1)
    for task_id in (first := new_task_id(), second := new_task_id()):
        await earnings.note(task_id, earned())
    connection.close()

    assert earnings.of(first) is None
    assert earnings.unpaid(ANN) == {second}


async def test_a_disk_that_does_not_take_a_payment_finds_it_again_after_a_restart(
    tmp_path, caplog
):
    task_id, path = new_task_id(), tmp_path / "earnings.db"
    async with open_at(path) as earnings:
        await earnings.note(task_id, earned())
    connection = sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    earnings = Earnings(connection, is_paid=Paid("a" * 64), clock=FakeClock())
    await earnings.note_payments(ANN)
    connection.close()

    assert earnings.unpaid(ANN) == set()
    assert "not noted that 1 tasks are paid" in caplog.text
    async with open_at(path) as earnings:
        assert earnings.unpaid(ANN) == {task_id}


async def test_a_file_of_the_first_version_is_migrated_after_a_backup(tmp_path):
    path, task_id = tmp_path / "earnings.db", new_task_id()
    first_version = Schema(SCHEMA.name, SCHEMA.migrations[:1])
    with closing(open_database(path, first_version)) as connection:
        connection.execute(
            "INSERT INTO earnings (task_id, receipt_sha256, price) VALUES (?, ?, ?)",
            (task_id, "a" * 64, 7),
        )

    async with open_at(path) as earnings:
        assert earnings.of(task_id) == payment()
        assert earnings.unpaid(ANN) == set()
        await earnings.note(second := new_task_id(), earned())
        assert earnings.unpaid(ANN) == {second}
    assert path.with_name("earnings.db.v1.bak").exists()
