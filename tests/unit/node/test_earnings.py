"""node.earnings: what tasks have earned, kept through a restart and bounded."""

import sqlite3
from contextlib import closing

import pytest

from zerostate.errors import ConfigError, StoreCorruptError, StoreLockedError
from zerostate.ids import new_task_id
from zerostate.node.earnings import SCHEMA, Earnings, open_earnings
from zerostate.payment import ExpectedPayment
from zerostate.payment.database import open_database
from zerostate.units import Minor


def earned(price=7):
    return ExpectedPayment("a" * 64, Minor(price))


async def test_what_was_earned_is_known_after_a_restart(tmp_path):
    task_id, path = new_task_id(), tmp_path / "earnings.db"
    async with open_earnings(path) as earnings:
        assert earnings.of(task_id) is None
        await earnings.note(task_id, earned(2**63 - 1))
        assert earnings.of(task_id) == earned(2**63 - 1)
    async with open_earnings(path) as earnings:
        assert earnings.of(task_id) == earned(2**63 - 1)
        assert len(earnings) == 1


async def test_it_is_on_disk_as_soon_as_it_is_noted(tmp_path):
    task_id, path = new_task_id(), tmp_path / "earnings.db"
    async with open_earnings(path) as earnings:
        await earnings.note(task_id, earned())
        # Copied while it is open: what a process that is killed leaves behind.
        copy = tmp_path / "copy.db"
        for suffix in ("", "-wal"):
            data = path.with_name(path.name + suffix).read_bytes()
            copy.with_name(copy.name + suffix).write_bytes(data)
    async with open_earnings(copy) as earnings:
        assert earnings.of(task_id) == earned()


async def test_a_task_that_is_free_earns_nothing(tmp_path):
    async with open_earnings(tmp_path / "earnings.db") as earnings:
        await earnings.note(new_task_id(), earned(0))
        assert len(earnings) == 0


async def test_a_task_earns_once_by_the_first_receipt(tmp_path):
    task_id = new_task_id()
    async with open_earnings(tmp_path / "earnings.db") as earnings:
        await earnings.note(task_id, earned(7))
        await earnings.note(task_id, earned(8))
        assert earnings.of(task_id) == earned(7)


async def test_the_oldest_is_given_up_first_on_disk_too(tmp_path):
    path, tasks = tmp_path / "earnings.db", [new_task_id() for _ in range(4)]
    connection = open_database(path, SCHEMA)
    earnings = Earnings(connection, max_earnings=2)
    for task_id in tasks:
        await earnings.note(task_id, earned())
    connection.close()
    async with open_earnings(path) as again:
        assert len(earnings) == len(again) == 2
        for one in (earnings, again):
            kept = [one.of(task_id) for task_id in tasks]
            assert kept == [None, None, earned(), earned()]


async def test_a_disk_that_refuses_is_logged_and_the_payment_still_accepted(
    tmp_path, caplog
):
    task_id, path = new_task_id(), tmp_path / "earnings.db"
    open_database(path, SCHEMA).close()
    connection = sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    earnings = Earnings(connection)
    await earnings.note(task_id, earned())
    connection.close()

    assert earnings.of(task_id) == earned()
    assert f"a restart will forget what {task_id} earned" in caplog.text
    assert earnings.stats() == {"earnings.not_kept": 1}


async def test_one_process_at_a_time_has_it(tmp_path):
    path = tmp_path / "earnings.db"
    async with open_earnings(path):
        with pytest.raises(StoreLockedError, match="another process has it open"):
            async with open_earnings(path):
                pass


async def test_a_file_that_is_none_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "earnings.db"
    path.write_bytes(b"no database" * 100)

    with pytest.raises(StoreCorruptError):
        async with open_earnings(path):
            pass
    assert path.read_bytes() == b"no database" * 100


async def test_a_file_of_a_newer_program_is_refused(tmp_path):
    path = tmp_path / "earnings.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA user_version = 99")

    with pytest.raises(ConfigError, match="written by a newer ZeroState"):
        async with open_earnings(path):
            pass
