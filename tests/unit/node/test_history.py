"""node.history: how executors did, in memory and on disk."""

import json
import stat
import threading
from contextlib import ExitStack
from fractions import Fraction

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from zerostate.errors import StoreCorruptError, StoreUnavailableError
from zerostate.evidence.identity import Identity
from zerostate.node.history import (
    MAX_COUNTED_TASKS,
    MAX_EXECUTORS,
    MAX_FILE_BYTES,
    WRITE_PAUSE_S,
    ExecutorHistory,
    Record,
    open_history,
    replace_file,
)

ANN, BEN = (Identity(bytes([number]) * 32).peer_id for number in (1, 2))


def test_nobody_knows_who_was_never_asked():
    assert Record().reliability == Fraction(1, 2)


def test_reliability_is_by_laplaces_rule():
    record = Record(completed=3, failed=1, lost=1, late=1, declined=2)

    assert record.reliability == Fraction(4, 10)
    assert Record(lost=2).reliability == Fraction(1, 4)


def test_what_was_lately_says_more_than_what_was_long_ago():
    record = Record()
    for _ in range(10 * MAX_COUNTED_TASKS):
        record = record.plus("completed")
    assert MAX_COUNTED_TASKS // 2 < record.tasks <= MAX_COUNTED_TASKS
    for _ in range(MAX_COUNTED_TASKS):
        record = record.plus("failed")

    assert record.tasks <= MAX_COUNTED_TASKS
    assert record.reliability < Fraction(1, 2)


def test_who_was_heard_of_longest_ago_is_forgotten_first():
    history = ExecutorHistory()
    for number in range(MAX_EXECUTORS):
        history.note(f"peer-{number}", "completed")
    history.note("peer-0", "lost")
    history.note("new", "late")

    assert len(history) == MAX_EXECUTORS
    assert history.of("peer-0") == Record(completed=1, lost=1)
    assert history.of("peer-1") == Record()
    assert history.of("new") == Record(late=1)


def test_what_is_written_is_read_again_in_the_same_order():
    history = ExecutorHistory()
    for executor, ending in (
        (ANN, "completed"),
        (BEN, "declined"),
        (ANN, "late"),
    ):
        history.note(executor, ending)
    again = ExecutorHistory.from_bytes(history.as_bytes())

    assert again.of(ANN) == Record(completed=1, late=1)
    assert again.as_bytes() == history.as_bytes()
    assert list(json.loads(again.as_bytes())["executors"]) == [BEN, ANN]


GOOD = {"completed": 1, "failed": 0, "lost": 0, "late": 0}


def test_a_file_from_before_declined_tasks_counted_has_none():
    document = {"version": 1, "executors": {ANN: GOOD}}
    history = ExecutorHistory.from_bytes(json.dumps(document).encode())

    assert history.of(ANN) == Record(completed=1, declined=0)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"version": 2, "executors": {}}).encode(),
        json.dumps({"version": 1}).encode(),
        json.dumps({"version": 1, "executors": {"nobody": GOOD}}).encode(),
        json.dumps({"version": 1, "executors": {ANN: {**GOOD, "late": -1}}}).encode(),
        json.dumps({"version": 1, "executors": {ANN: {**GOOD, "late": 1.5}}}).encode(),
        json.dumps({"version": 1, "executors": {ANN: {**GOOD, "late": True}}}).encode(),
        json.dumps({"version": 1, "executors": {ANN: {"completed": 1}}}).encode(),
        json.dumps({"version": 1, "executors": {ANN: 1}}).encode(),
    ],
)
def test_what_is_no_history_is_refused(document):
    with pytest.raises(StoreCorruptError):
        ExecutorHistory.from_bytes(document)


async def test_a_history_outlives_a_restart(tmp_path):
    path = tmp_path / "executors.json"
    async with open_history(path) as history:
        history.note(ANN, "completed")
    async with open_history(path) as history:
        assert history.of(ANN) == Record(completed=1)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["executors.json"]


async def test_a_history_is_written_while_the_node_runs(tmp_path):
    path = tmp_path / "executors.json"
    async with open_history(path) as history:
        history.note(ANN, "lost")
        with trio.fail_after(WRITE_PAUSE_S + 10):
            while not path.exists():  # noqa: ASYNC110  # a file has no event
                await trio.sleep(0.01)
        assert ExecutorHistory.from_bytes(path.read_bytes()).of(ANN) == Record(lost=1)


async def test_at_the_end_nothing_is_written_while_a_write_is_under_way(
    tmp_path, nursery
):
    path = tmp_path / "executors.json"
    begun, may_end, busy = threading.Event(), threading.Event(), threading.Lock()
    at_once = []

    def write(to, data):
        if not busy.acquire(blocking=False):
            at_once.append(data)
            return
        with ExitStack() as stack:
            stack.callback(busy.release)
            begun.set()
            may_end.wait(10)
            replace_file(to, data)

    async def end_write():
        await wait_all_tasks_blocked(0.05)
        may_end.set()

    async with open_history(path, write=write) as history:
        history.note(ANN, "lost")
        await trio.to_thread.run_sync(begun.wait, 10)
        history.note(BEN, "late")
        nursery.start_soon(end_write)

    assert at_once == []
    kept = ExecutorHistory.from_bytes(path.read_bytes())
    assert (kept.of(ANN), kept.of(BEN)) == (Record(lost=1), Record(late=1))


async def test_where_nothing_was_noted_nothing_is_written(tmp_path):
    path = tmp_path / "executors.json"
    async with open_history(path):
        pass

    assert not path.exists()


@pytest.mark.parametrize("content", [b"{", b" " * (MAX_FILE_BYTES + 1)])
async def test_a_file_that_cannot_be_read_begins_anew_and_says_so(
    tmp_path, caplog, content
):
    path = tmp_path / "executors.json"
    path.write_bytes(content)
    async with open_history(path) as history:
        history.note(ANN, "completed")

    assert "begins anew" in caplog.text
    assert ExecutorHistory.from_bytes(path.read_bytes()).of(ANN).completed == 1


async def test_a_disk_that_takes_nothing_costs_only_the_memory_of_it(tmp_path, caplog):
    async with open_history(tmp_path / "missing" / "executors.json") as history:
        history.note(ANN, "completed")

    assert "is not kept" in caplog.text


def test_a_file_has_all_or_what_it_had(tmp_path):
    path = tmp_path / "file"
    replace_file(path, b"first")
    (tmp_path / "file.new").mkdir()

    with pytest.raises(StoreUnavailableError, match="file: Is a directory"):
        replace_file(path, b"second")
    assert path.read_bytes() == b"first"
