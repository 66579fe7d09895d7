import asyncio
import os
import resource
from contextlib import contextmanager

import pytest

from stack_spans import batch, of_service, span, trace_id
from zerostate.errors import (
    StoreCorruptError,
    StoreLockedError,
    StoreUnavailableError,
)
from zerostate.stack.otlp import TraceBatch
from zerostate.stack.store import DurableStore, StoreBounds, TraceQuery
from zerostate.stack.store.durable import MAX_WAITING_BYTES

_SMALL = StoreBounds(
    max_spans=10, max_bytes=10_000, generation_spans=4, generation_bytes=4_000
)


def _one(number):
    return batch(of_service("a", span(number, number, start_ms=number)))


def _with_store(path, work, bounds=None):
    async def run():
        store = DurableStore.open(path, bounds)
        try:
            return await work(store)
        finally:
            await store.aclose()

    return asyncio.run(run())


async def _numbers(store):
    traces = await store.reader.find_traces(TraceQuery(limit=1000))
    return sorted(int.from_bytes(one.trace_id, "big") for one in traces)


def _write(*numbers):
    async def work(store):
        for number in numbers:
            await store.write(_one(number))
        return await _numbers(store)

    return work


def _logs(path):
    return sorted((path / "wal").iterdir())


def test_a_store_opened_again_holds_what_was_acknowledged(tmp_path):
    _with_store(tmp_path, _write(1, 2))
    assert _with_store(tmp_path, _write(3)) == [1, 2, 3]
    assert _with_store(tmp_path, _numbers) == [1, 2, 3]
    assert len(_logs(tmp_path)) == 1


def test_many_waiting_writers_share_their_syncs(tmp_path):
    async def work(store):
        await asyncio.gather(*(store.write(_one(n)) for n in range(1, 101)))
        return await _numbers(store)

    assert _with_store(tmp_path, work) == list(range(1, 101))
    assert _with_store(tmp_path, _numbers) == list(range(1, 101))


def test_a_torn_tail_is_cut_off_and_counted(tmp_path):
    _with_store(tmp_path, _write(1, 2))
    [log] = _logs(tmp_path)
    whole = log.stat().st_size
    with log.open("ab") as file:
        file.write(log.read_bytes()[16:40])

    async def work(store):
        assert store.counters.torn_bytes == 24
        assert log.stat().st_size == whole
        return await _write(3)(store)

    assert _with_store(tmp_path, work) == [1, 2, 3]
    assert _with_store(tmp_path, _numbers) == [1, 2, 3]


def test_a_damaged_record_is_skipped_and_counted_and_the_rest_is_served(tmp_path):
    _with_store(tmp_path, _write(1, 2, 3))
    [log] = _logs(tmp_path)
    contents = bytearray(log.read_bytes())
    contents[len(contents) // 2] ^= 0xFF
    log.write_bytes(contents)

    async def work(store):
        assert store.counters.corrupt_regions == 1
        assert store.counters.corrupt_bytes > 0
        return await _numbers(store)

    assert _with_store(tmp_path, work) == [1, 3]
    assert log.read_bytes() == bytes(contents)


def test_a_new_file_that_never_got_its_header_is_begun_again(tmp_path):
    _with_store(tmp_path, _write(1, 2, 3, 4), _SMALL)
    (tmp_path / "wal" / f"{1:012d}.wal").write_bytes(b"ZSW")

    assert _with_store(tmp_path, _write(5), _SMALL) == [1, 2, 3, 4, 5]
    assert _with_store(tmp_path, _numbers, _SMALL) == [1, 2, 3, 4, 5]


def test_the_oldest_generation_goes_whole_when_there_are_too_many_spans(tmp_path):
    async def work(store):
        await _write(*range(1, 14))(store)
        assert store.counters.retired_spans == 4
        assert store.counters.spans == 9
        return await _numbers(store)

    left = list(range(5, 14))
    assert _with_store(tmp_path, work, _SMALL) == left
    assert [log.name[:-4].lstrip("0") for log in _logs(tmp_path)] == ["1", "2", "3"]
    assert _with_store(tmp_path, _numbers, _SMALL) == left


def test_the_oldest_generation_goes_when_there_are_too_many_bytes(tmp_path):
    bounds = StoreBounds(
        max_spans=10**6, max_bytes=2_000, generation_spans=10**5, generation_bytes=400
    )

    async def work(store):
        await _write(*range(1, 60))(store)
        assert store.counters.log_bytes <= 2_000
        return await _numbers(store)

    left = _with_store(tmp_path, work, bounds)
    assert 1 < len(left) < 59
    assert left[-1] == 59
    assert sum(log.stat().st_size for log in _logs(tmp_path)) <= 2_000


def test_bounds_made_smaller_hold_from_the_next_start(tmp_path):
    roomy = StoreBounds(
        max_spans=20, max_bytes=10**6, generation_spans=10, generation_bytes=10**5
    )
    _with_store(tmp_path, _write(*range(1, 16)), roomy)

    async def work(store):
        assert store.counters.replayed_spans == 15
        assert store.counters.retired_spans == 10
        return await _numbers(store)

    assert _with_store(tmp_path, work, _SMALL) == list(range(11, 16))


def test_a_trace_over_two_generations_is_whole(tmp_path):
    async def work(store):
        for number in range(1, 7):
            await store.write(batch(of_service("a", span(1, number))))
        assert len(store.reader.generations) == 2
        return await store.reader.trace(trace_id(1))

    assert len(_with_store(tmp_path, work, _SMALL).spans) == 6


def test_a_second_store_on_the_same_directory_is_refused_with_advice(tmp_path):
    async def work(_store):
        with pytest.raises(StoreLockedError) as caught:
            DurableStore.open(tmp_path)
        return str(caught.value)

    message = _with_store(tmp_path, work)
    assert str(tmp_path) in message
    assert f"process {os.getpid()}" in message
    assert "--data" in message


def test_a_closed_store_refuses_writes_and_closes_again(tmp_path):
    async def work(store):
        await store.write(_one(1))
        await store.aclose()
        with pytest.raises(StoreUnavailableError, match="closed"):
            await store.write(_one(2))
        return await _numbers(store)

    assert _with_store(tmp_path, work) == [1]


def test_a_directory_that_cannot_be_made_is_refused_with_advice(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="choose another with --data"):
        DurableStore.open(tmp_path / "file" / "data")


def test_when_the_disk_refuses_nothing_is_acknowledged_and_later_writes_work(tmp_path):
    # As a full disk or a limit would: a name that cannot be created is refused.
    blocker = tmp_path / "wal" / f"{0:012d}.wal"

    async def work(store):
        blocker.mkdir(parents=True)
        with pytest.raises(StoreUnavailableError, match="cannot write the log"):
            await store.write(_one(1))
        assert await _numbers(store) == []
        await store.write(_one(2))
        blocker.rmdir()
        return await _numbers(store)

    assert _with_store(tmp_path, work) == [2]
    assert _with_store(tmp_path, _numbers) == [2]


@contextmanager
def _files_at_most(size_bytes):
    # What a full disk does, without filling one: writes beyond fail, perhaps half way.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_cut_off_by_a_full_disk_leaves_no_trace(tmp_path):
    async def work(store):
        await store.write(_one(1))
        [log] = _logs(tmp_path)
        before = log.stat().st_size
        with _files_at_most(before + 30):
            with pytest.raises(StoreUnavailableError, match="cannot write the log"):
                await store.write(_one(2))
        assert log.stat().st_size == before
        assert store.counters.failed_writes == 1
        await store.write(_one(3))
        return await _numbers(store)

    assert _with_store(tmp_path, work) == [1, 3]

    async def again(store):
        assert store.counters.torn_bytes == store.counters.corrupt_regions == 0
        return await _numbers(store)

    assert _with_store(tmp_path, again) == [1, 3]


def test_failed_writes_leave_no_files_behind(tmp_path):
    async def work(store):
        for fits_bytes in (0, 8, 40):
            with _files_at_most(fits_bytes):
                with pytest.raises(StoreUnavailableError, match="cannot write the log"):
                    await store.write(_one(1))
            assert _logs(tmp_path) == []
        assert store.counters.log_bytes == 0
        await store.write(_one(2))
        assert len(_logs(tmp_path)) == 1
        return await _numbers(store)

    assert _with_store(tmp_path, work) == [2]
    assert _with_store(tmp_path, _numbers) == [2]


def test_a_disk_full_at_start_is_told_with_advice_and_the_lock_given_back(tmp_path):
    with _files_at_most(0):
        with pytest.raises(StoreUnavailableError, match="make room on its disk"):
            DurableStore.open(tmp_path)
    assert _with_store(tmp_path, _write(1)) == [1]


def test_writes_beyond_what_may_wait_are_refused(tmp_path):
    big = TraceBatch((), bytes(MAX_WAITING_BYTES // 2 + 1), 1)

    async def work(store):
        first = asyncio.create_task(store.write(big))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailableError, match="does not keep up"):
            await store.write(big)
        await first

    _with_store(tmp_path, work)


def test_a_log_of_another_version_is_refused_and_the_lock_given_back(tmp_path):
    _with_store(tmp_path, _write(1))
    [log] = _logs(tmp_path)
    log.write_bytes(b"something else that is long enough")
    for _ in range(2):
        with pytest.raises(StoreCorruptError, match="move it out of the way"):
            DurableStore.open(tmp_path)


def test_a_cancelled_writer_harms_no_other(tmp_path):
    async def work(store):
        tasks = [asyncio.create_task(store.write(_one(n))) for n in (1, 2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await tasks[1]
        assert tasks[0].cancelled()
        return await _numbers(store)

    assert 2 in _with_store(tmp_path, work)


def test_only_the_owner_may_read_the_data(tmp_path):
    _with_store(tmp_path / "data", _write(1))
    [log] = _logs(tmp_path / "data")

    assert log.stat().st_mode & 0o077 == 0
    assert log.parent.stat().st_mode & 0o077 == 0
