"""What is acknowledged was synced before: told by recording each sync."""

import asyncio
import os
import threading
from contextlib import contextmanager

import pytest

from stack_spans import batch, of_service, span
from zerostate.errors import StoreUnavailableError
from zerostate.stack.store import DurableStore, StoreBounds
from zerostate.stack.store.directory import DataDirectory
from zerostate.stack.store.wal import LogEntry, WriteAheadLog

_TWO_A_FILE = StoreBounds(generation_spans=2)


class _Disk:
    """Remembers how much of each file would survive a power cut."""

    def __init__(self):
        self.durable_bytes = {}
        self.refuses = False

    def sync(self, descriptor):
        if self.refuses:
            raise OSError("input/output error")
        status = os.fstat(descriptor)
        self.durable_bytes[status.st_ino] = status.st_size

    def holds(self, path):
        status = path.stat()
        return self.durable_bytes.get(status.st_ino) == status.st_size


@contextmanager
def _log_on(path, disk, bounds=None):
    directory = DataDirectory(path)
    log = WriteAheadLog(directory, bounds or StoreBounds(), sync=disk.sync)
    try:
        assert list(log.replay()) == []
        yield log
    finally:
        disk.refuses = False
        log.close()
        directory.close()


def _files(path):
    return sorted((path / "wal").iterdir())


def test_when_append_returns_every_byte_is_synced(tmp_path):
    disk = _Disk()
    with _log_on(tmp_path, disk) as log:
        for payload in (b"first", b"second"):
            log.append([LogEntry(payload, 1)])
            [file] = _files(tmp_path)
            assert payload in file.read_bytes()
            assert disk.holds(file)


def test_when_append_fills_several_files_each_is_synced(tmp_path):
    disk = _Disk()
    with _log_on(tmp_path, disk, _TWO_A_FILE) as log:
        written = log.append([LogEntry(b"payload", 1)] * 5)
        files = _files(tmp_path)
        assert len(files) == len(set(written)) > 1
        assert all(map(disk.holds, files))


def test_what_could_not_be_synced_is_not_acknowledged_and_taken_back(tmp_path):
    disk = _Disk()
    with _log_on(tmp_path, disk) as log:
        log.append([LogEntry(b"kept", 1)])
        disk.refuses = True
        with pytest.raises(StoreUnavailableError, match="input/output error"):
            log.append([LogEntry(b"gone", 1)])
        with pytest.raises(StoreUnavailableError, match="input/output error"):
            log.append([LogEntry(b"gone", 1)])
        [file] = _files(tmp_path)
        assert disk.holds(file)
        assert b"gone" not in file.read_bytes()


def test_a_writer_is_answered_only_after_the_sync(tmp_path):
    async def run():
        loop = asyncio.get_running_loop()
        syncing, synced = asyncio.Event(), threading.Event()

        def sync(descriptor):
            loop.call_soon_threadsafe(syncing.set)
            assert synced.wait(timeout=30)
            os.fdatasync(descriptor)

        bounds = StoreBounds()
        directory = DataDirectory(tmp_path)
        log = WriteAheadLog(directory, bounds, sync=sync)
        store = DurableStore(directory, log, bounds)
        write = asyncio.create_task(store.write(batch(of_service("a", span(1, 1)))))
        answered = asyncio.create_task(asyncio.wait([write]))
        reached = asyncio.create_task(syncing.wait())
        await asyncio.wait([answered, reached], return_when=asyncio.FIRST_COMPLETED)
        assert reached.done()
        assert not write.done()
        synced.set()
        await write
        await answered
        await store.aclose()

    asyncio.run(run())
