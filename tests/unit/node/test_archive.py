"""node.archive: what proves a task is kept whole, for this user alone, and bounded."""

import os

import pytest

from zerostate.errors import ConfigError, StoreCorruptError
from zerostate.ids import new_task_id
from zerostate.node.archive import DEBT_NAME, MAX_FILE_BYTES, TaskArchive

FILES = {"receipt": b"12", "manifest": b"3456", "output": b""}


def names(directory):
    return {path.name for path in directory.iterdir()}


async def test_files_come_back_as_they_were_for_this_user_alone(tmp_path):
    task_id = new_task_id()
    place = await TaskArchive(tmp_path / "tasks").keep(task_id, FILES)

    assert place == tmp_path / "tasks" / task_id
    assert {path.name: path.read_bytes() for path in place.iterdir()} == FILES
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
    assert place.stat().st_mode & 0o777 == 0o700


async def test_the_oldest_task_makes_room_for_one_too_many(tmp_path):
    archive = TaskArchive(tmp_path, max_tasks=2)
    tasks = [new_task_id() for _ in range(3)]
    for task_id in tasks:
        await archive.keep(task_id, FILES)

    assert names(tmp_path) == set(tasks[1:])


async def test_the_oldest_tasks_make_room_for_too_many_bytes(tmp_path):
    archive = TaskArchive(tmp_path, max_bytes=13)
    tasks = [new_task_id() for _ in range(3)]
    for task_id in tasks:
        await archive.keep(task_id, FILES)

    assert names(tmp_path) == set(tasks[1:])


async def test_the_next_start_knows_which_is_the_oldest(tmp_path):
    archive = TaskArchive(tmp_path)
    tasks = [new_task_id() for _ in range(3)]
    for age_s, task_id in enumerate(reversed(tasks)):
        place = await archive.keep(task_id, FILES)
        os.utime(place, (1000 - age_s, 1000 - age_s))

    TaskArchive(tmp_path, max_tasks=3)

    # At the limit there is room for one more.
    assert names(tmp_path) == set(tasks[1:])


async def test_what_a_crash_left_unfinished_goes_and_what_is_not_ours_stays(tmp_path):
    (tmp_path / f"{new_task_id()}.new").mkdir()
    (tmp_path / "notes").write_text("mine")

    TaskArchive(tmp_path, max_tasks=1)

    assert names(tmp_path) == {"notes"}


async def test_a_task_that_is_there_already_is_not_replaced(tmp_path, caplog):
    archive = TaskArchive(tmp_path)
    task_id = new_task_id()
    place = await archive.keep(task_id, FILES)

    assert await archive.keep(task_id, {"receipt": b"another"}) is None
    assert names(tmp_path) == {task_id}
    assert (place / "receipt").read_bytes() == b"12"
    assert f"what proves {task_id} is not kept" in caplog.text


async def test_a_place_that_is_a_file_is_told(tmp_path):
    (tmp_path / "tasks").touch()

    with pytest.raises(ConfigError, match=r"data_dir: .*tasks: File exists"):
        TaskArchive(tmp_path / "tasks")


async def test_a_record_lies_beside_the_proof_and_comes_back_after_a_restart(tmp_path):
    archive, task_id = TaskArchive(tmp_path), new_task_id()
    await archive.keep(task_id, FILES)
    await archive.add(task_id, "record", b"what came of it")
    await archive.add(task_id, "record", b"and again")

    kept = {p.name: p.read_bytes() for p in (tmp_path / task_id).iterdir()}
    assert kept == FILES | {"record": b"and again"}
    assert await TaskArchive(tmp_path).read(task_id, "record") == b"and again"


async def test_a_task_without_proof_has_a_record_all_the_same(tmp_path):
    archive, task_id = TaskArchive(tmp_path), new_task_id()
    assert await archive.read(task_id, "record") is None
    await archive.add(task_id, "record", b"why it failed")

    assert await archive.read(task_id, "record") == b"why it failed"
    assert (tmp_path / task_id / "record").stat().st_mode & 0o777 == 0o600


async def test_records_count_towards_the_bounds_and_spare_their_own_task(tmp_path):
    archive = TaskArchive(tmp_path, max_bytes=13)
    first, second = new_task_id(), new_task_id()
    await archive.keep(first, FILES)
    await archive.keep(second, FILES)
    await archive.add(first, "record", b"!!")

    assert names(tmp_path) == {first}


async def test_what_is_not_paid_makes_room_only_when_nothing_else_can(tmp_path, caplog):
    archive = TaskArchive(tmp_path, max_tasks=3)
    owed, paid, owed_too, newer, newest = (new_task_id() for _ in range(5))
    await archive.keep(owed, FILES | {DEBT_NAME: b"1"})
    await archive.keep(paid, FILES)
    await archive.keep(owed_too, FILES | {DEBT_NAME: b"1"})

    await archive.keep(newer, FILES | {DEBT_NAME: b"1"})
    assert names(tmp_path) == {owed, owed_too, newer}
    assert not caplog.records

    await archive.keep(newest, FILES)
    assert names(tmp_path) == {owed_too, newer, newest}
    assert f"{owed}, which is not paid, makes room" in caplog.text


async def test_a_file_that_is_replaced_counts_once_and_one_that_goes_not_at_all(
    tmp_path,
):
    archive = TaskArchive(tmp_path, max_bytes=18)
    first, second = new_task_id(), new_task_id()
    await archive.keep(first, FILES)
    await archive.keep(second, FILES)
    for _ in range(3):
        await archive.add(first, "record", b"123456")
    await archive.remove(first, "record")
    await archive.add(second, "record", b"123456")

    assert names(tmp_path) == {first, second}


async def test_a_file_that_could_not_be_written_takes_no_room(tmp_path):
    archive = TaskArchive(tmp_path, max_bytes=5000)
    first, second = new_task_id(), new_task_id()
    await archive.keep(first, FILES)
    (tmp_path / first / "record").mkdir()
    await archive.add(first, "record", b" " * 4900)
    await archive.keep(second, {"receipt": b" " * 4900})

    assert names(tmp_path) == {first, second}


async def test_a_record_that_is_too_large_is_not_read(tmp_path):
    archive, task_id = TaskArchive(tmp_path), new_task_id()
    await archive.add(task_id, "record", b" " * (MAX_FILE_BYTES + 1))

    with pytest.raises(StoreCorruptError, match="larger than"):
        await archive.read(task_id, "record")


async def test_a_record_that_cannot_be_written_is_logged(tmp_path, caplog):
    archive, task_id = TaskArchive(tmp_path), new_task_id()
    await archive.keep(task_id, FILES)
    (tmp_path / task_id / "record").mkdir()
    await archive.add(task_id, "record", b"what came of it")

    assert f"record of {task_id} is not kept" in caplog.text
    assert names(tmp_path / task_id) == {*FILES, "record"}


async def test_tasks_are_found_by_a_file_that_they_have(tmp_path):
    archive = TaskArchive(tmp_path)
    first, second, third = (new_task_id() for _ in range(3))
    await archive.keep(first, {"receipt": b"1", "debt": b"1"})
    await archive.keep(second, {"receipt": b"2"})
    await archive.add(third, "debt", b"3")
    assert await archive.having("debt") == (first, third)
    assert set(await TaskArchive(tmp_path).having("debt")) == {first, third}
    for task_id in (first, second):
        await archive.remove(task_id, "debt")
    assert await archive.having("debt") == (third,)
    assert await archive.read(first, "receipt") == b"1"
