"""node.archive: what a task can be run again from is there while there is room for it."""

import os
import shutil

import pytest

from zerostate.ids import new_task_id
from zerostate.node.archive import SHARED_NAME, TaskArchive

PROOF = {"receipt": b"12", "manifest": b"3456", "output": b""}
MODULE = b"a module"


def spare(number, module=MODULE):
    return {"module": module, "input": b"input %d" % number}


def tasks_with_a_module(directory, tasks):
    return [one for one in tasks if (directory / one / "module").exists()]


def shared(directory):
    return [path.read_bytes() for path in (directory / SHARED_NAME).iterdir()]


async def keep_some(archive, count, spares=spare):
    tasks = [new_task_id() for _ in range(count)]
    for number, task_id in enumerate(tasks):
        assert await archive.keep(task_id, PROOF, spares(number)) is not None
    return tasks


async def test_module_and_input_lie_beside_the_proof_and_cannot_be_changed(tmp_path):
    (task_id,) = await keep_some(TaskArchive(tmp_path), 1)

    kept = {path.name: path for path in (tmp_path / task_id).iterdir()}
    assert {n: p.read_bytes() for n, p in kept.items()} == PROOF | spare(0)
    assert {kept[name].stat().st_mode & 0o777 for name in spare(0)} == {0o400}
    assert (tmp_path / SHARED_NAME).stat().st_mode & 0o777 == 0o700


async def test_a_module_that_many_tasks_ran_takes_its_bytes_once(tmp_path):
    archive = TaskArchive(tmp_path, max_spare_bytes=len(MODULE) + 10 * len(b"input 0"))
    tasks = await keep_some(archive, 10)

    assert tasks_with_a_module(tmp_path, tasks) == tasks
    assert sorted(shared(tmp_path)) == [MODULE, *(spare(n)["input"] for n in range(10))]
    inodes = {(tmp_path / one / "module").stat().st_ino for one in tasks}
    assert len(inodes) == 1


async def test_the_oldest_modules_and_inputs_go_and_their_proofs_stay(tmp_path):
    archive = TaskArchive(tmp_path, max_spare_bytes=3 * 15)
    tasks = await keep_some(archive, 5, lambda n: spare(n, b"module %d" % n))

    assert tasks_with_a_module(tmp_path, tasks) == tasks[2:]
    assert [p for p in tasks if (tmp_path / p / "input").exists()] == tasks[2:]
    for task_id in tasks:
        assert (tmp_path / task_id / "receipt").read_bytes() == b"12"
    assert len(shared(tmp_path)) == 6


async def test_modules_and_inputs_count_towards_all_bytes_and_go_before_any_task(
    tmp_path,
):
    archive = TaskArchive(tmp_path, max_bytes=4 * 6 + len(MODULE) + len(b"input 0"))
    tasks = await keep_some(archive, 4)

    assert tasks_with_a_module(tmp_path, tasks) == tasks[3:]
    assert {path.name for path in tmp_path.iterdir()} == {SHARED_NAME, *tasks}
    # Proofs take the room of modules first, and then that of older proofs.
    more = await keep_some(archive, 2)
    assert tasks_with_a_module(tmp_path, [*tasks, *more]) == []
    assert (tmp_path / tasks[0] / "receipt").exists()
    await keep_some(archive, 1)
    assert not (tmp_path / tasks[0]).exists()
    assert (tmp_path / tasks[1] / "receipt").exists()


async def test_what_never_fits_is_left_out_and_takes_nothing_from_others(tmp_path):
    archive = TaskArchive(tmp_path, max_spare_bytes=20)
    (small,) = await keep_some(archive, 1)
    (large,) = await keep_some(archive, 1, lambda n: spare(n, b" " * 21))

    assert tasks_with_a_module(tmp_path, [large]) == []
    assert (tmp_path / large / "receipt").exists()
    assert tasks_with_a_module(tmp_path, [small]) == [small]


async def test_a_forgotten_task_leaves_nothing_that_nobody_else_has(tmp_path):
    archive = TaskArchive(tmp_path, max_tasks=2)
    tasks = await keep_some(archive, 4)

    assert sorted(shared(tmp_path)) == [MODULE, b"input 2", b"input 3"]
    assert tasks_with_a_module(tmp_path, tasks) == tasks[2:]


async def test_the_next_start_counts_what_is_there(tmp_path):
    tasks = await keep_some(TaskArchive(tmp_path), 3)
    for age_s, task_id in enumerate(tasks):
        os.utime(tmp_path / task_id, (1000 + age_s, 1000 + age_s))

    archive = TaskArchive(tmp_path, max_spare_bytes=len(MODULE) + 2 * 7)

    assert tasks_with_a_module(tmp_path, tasks) == tasks[1:]
    (more,) = await keep_some(archive, 1, lambda _: spare(7))
    assert tasks_with_a_module(tmp_path, [*tasks, more]) == [tasks[2], more]
    assert sorted(shared(tmp_path)) == [MODULE, b"input 2", b"input 7"]


async def test_a_copy_that_has_broken_the_links_is_counted_as_what_it_takes(tmp_path):
    tasks = await keep_some(TaskArchive(tmp_path / "tasks"), 3)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "tasks", copy)
    for age_s, task_id in enumerate(tasks):
        os.utime(copy / task_id, (1000 + age_s, 1000 + age_s))

    TaskArchive(copy, max_spare_bytes=2 * (len(MODULE) + 7))

    assert tasks_with_a_module(copy, tasks) == tasks[1:]
    assert shared(copy) == []


async def test_what_a_crash_left_that_no_task_has_is_deleted(tmp_path):
    (task_id,) = await keep_some(TaskArchive(tmp_path), 1)
    draft = tmp_path / f"{new_task_id()}.new"
    draft.mkdir()
    (draft / "module").hardlink_to(tmp_path / task_id / "module")
    (tmp_path / SHARED_NAME / "half.new").write_bytes(b"half a mod")
    (tmp_path / SHARED_NAME / ("0" * 64)).write_bytes(b"a module of nobody")

    archive = TaskArchive(tmp_path)

    assert sorted(shared(tmp_path)) == [MODULE, b"input 0"]
    assert await archive.keep(new_task_id(), PROOF, spare(0)) is not None
    assert len(shared(tmp_path)) == 2


async def test_a_task_that_cannot_be_kept_leaves_no_module(tmp_path):
    archive = TaskArchive(tmp_path)
    (task_id,) = await keep_some(archive, 1)

    assert await archive.keep(task_id, PROOF, spare(1, b"another")) is None
    assert sorted(shared(tmp_path)) == [MODULE, b"input 0"]


@pytest.mark.parametrize("is_a_file", [True, False])
async def test_a_proof_is_kept_where_its_module_cannot_be(tmp_path, caplog, is_a_file):
    archive, task_id = TaskArchive(tmp_path), new_task_id()
    if is_a_file:
        (tmp_path / SHARED_NAME).touch()
    else:
        await archive.keep(new_task_id(), PROOF, spare(0))
        (name,) = [
            p for p in (tmp_path / SHARED_NAME).iterdir() if p.stat().st_size == 8
        ]
        name.unlink()
        name.mkdir()  # a link to a directory is refused

    place = await archive.keep(task_id, PROOF, spare(1))

    assert place is not None
    assert (place / "receipt").read_bytes() == b"12"
    assert f"module and input of {task_id} are not kept" in caplog.text
    assert await archive.keep(new_task_id(), PROOF) is not None
