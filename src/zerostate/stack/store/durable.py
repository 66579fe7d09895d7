"""The store that keeps what it acknowledged: a write-ahead log and an index of it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from zerostate.errors import OtlpDecodeError, StoreError, StoreUnavailableError
from zerostate.stack.bounds import StoreBounds
from zerostate.stack.otlp import TraceBatch, decode_protobuf
from zerostate.stack.store.directory import DataDirectory
from zerostate.stack.store.index import GenerationIndex
from zerostate.stack.store.memory import MemoryReader
from zerostate.stack.store.wal import LogEntry, WriteAheadLog

MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
"""Payload bytes that wait for the disk before `DurableStore.write` refuses more."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class StoreCounters:
    """What happened in a store since it was opened, and what it holds.

    Attributes:
        spans: Spans held, duplicates included.
        log_bytes: Bytes of log on disk.
        replayed_spans: Spans found in the log at start.
        retired_spans: Spans dropped to stay within the bounds.
        torn_bytes: Bytes of unfinished writes found and cut off at start.
        corrupt_regions: Damaged stretches of log skipped at start.
        corrupt_bytes: Bytes in these.
        failed_writes: Groups of batches that the disk refused.
        failed_removals: Log files that could not be removed in time.
    """

    spans: int = 0
    log_bytes: int = 0
    replayed_spans: int = 0
    retired_spans: int = 0
    torn_bytes: int = 0
    corrupt_regions: int = 0
    corrupt_bytes: int = 0
    failed_writes: int = 0
    failed_removals: int = 0

    def to_json(self) -> dict[str, int]:
        """Return the counters as the API shows them."""
        return {
            "spans": self.spans,
            "logBytes": self.log_bytes,
            "replayedSpans": self.replayed_spans,
            "retiredSpans": self.retired_spans,
            "tornBytes": self.torn_bytes,
            "corruptRegions": self.corrupt_regions,
            "corruptBytes": self.corrupt_bytes,
            "failedWrites": self.failed_writes,
            "failedRemovals": self.failed_removals,
        }


@dataclass(slots=True)
class _Waiting:
    batch: TraceBatch
    done: asyncio.Future[None]


@final
class DurableStore:
    """A `Writer` whose `reader` answers from memory.

    A batch is acknowledged after its payload is in the log and ``fdatasync`` has
    returned; one ``fdatasync`` serves all batches that came while the one before it
    ran. The log is cut into generations, each with an index of its own; to stay
    within its bounds the store drops the oldest generation whole.

    For one event loop, after `open`.
    """

    def __init__(
        self, directory: DataDirectory, log: WriteAheadLog, bounds: StoreBounds
    ) -> None:
        """Wire a store; use `open`."""
        self.reader = MemoryReader()
        self.counters = StoreCounters()
        self._directory = directory
        self._wal = log
        self._bounds = bounds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="zerostate-wal")
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def open(cls, path: Path, bounds: StoreBounds | None = None) -> "DurableStore":
        """Take the data directory at `path` and read back what it holds.

        Blocks; needs no event loop.

        Raises:
            StoreLockedError: Another process uses the directory.
            StoreCorruptError: A log file is not one of this version.
            StoreUnavailableError: The directory cannot be used.
        """
        bounds = bounds or StoreBounds()
        directory = DataDirectory(path)
        try:
            store = cls(directory, WriteAheadLog(directory, bounds), bounds)
            store._replay()
        except BaseException:
            directory.close()
            raise
        return store

    async def write(self, batch: TraceBatch) -> None:
        """See `Writer.write`."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        if not batch.span_count:
            return
        payload_bytes = len(batch.payload)
        if self._waiting_bytes + payload_bytes > MAX_WAITING_BYTES:
            raise StoreUnavailableError("the disk does not keep up; try again later")
        waiting = _Waiting(batch, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_bytes += payload_bytes
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await waiting.done

    async def aclose(self) -> None:
        """Finish the writes under way, close the log and give the directory back.

        May be called again. Later writes are refused; reading still works.
        """
        if self._closed:
            return
        self._closed = True
        if self._flusher is not None:
            await self._flusher
        try:
            await self._in_thread(self._wal.close)
        except OSError as error:
            # Every acknowledged batch was synced when it was acknowledged.
            _log.warning("cannot close the log: %s", error)
        finally:
            self._thread.shutdown()
            self._directory.close()

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await self._commit(group)
            except StoreError as error:
                self.counters.failed_writes += 1
                _log.warning("%d batches not stored: %s", len(group), error)
                _fail(group, error)
            except Exception as error:  # noqa: BLE001 - a task's top: who waits must hear of it
                self.counters.failed_writes += 1
                _log.exception("cannot store")
                _fail(group, StoreUnavailableError(f"cannot store: {error!r}"))
            finally:
                self._waiting_bytes -= sum(len(one.batch.payload) for one in group)
        self._flusher = None

    async def _commit(self, group: list[_Waiting]) -> None:
        entries = [LogEntry(one.batch.payload, one.batch.span_count) for one in group]
        generations = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._wal.append, entries
        )
        for one, generation in zip(group, generations, strict=True):
            self._index(generation, one.batch)
        await self._retire()
        self._measure()
        for one in group:
            # A caller who was cancelled no longer waits.
            if not one.done.done():
                one.done.set_result(None)

    def _index(self, generation: int, batch: TraceBatch) -> None:
        index = self.reader.generations.setdefault(generation, GenerationIndex())
        index.add(batch.resource_spans)

    async def _retire(self) -> None:
        while self._over_bounds():
            self._forget_oldest()
            try:
                await self._in_thread(self._wal.remove_oldest)
            except StoreUnavailableError as error:
                self._count_failed_removal(error)
                return

    async def _in_thread(self, work: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _replay(self) -> None:
        for generation, payload in self._wal.replay():
            try:
                batch = decode_protobuf(payload).batch
            except OtlpDecodeError:
                self.counters.corrupt_regions += 1
                self.counters.corrupt_bytes += len(payload)
                continue
            self._index(generation, batch)
        self._resume()
        while self._over_bounds():
            self._forget_oldest()
            try:
                self._wal.remove_oldest()
            except StoreUnavailableError as error:
                self._count_failed_removal(error)
                break
        self._measure()

    def _resume(self) -> None:
        counters, report = self.counters, self._wal.report
        generations = self.reader.generations
        counters.replayed_spans = sum(one.span_count for one in generations.values())
        counters.torn_bytes = report.torn_bytes
        counters.corrupt_regions += report.corrupt_regions
        counters.corrupt_bytes += report.corrupt_bytes
        if counters.corrupt_regions:
            _log.warning(
                "the log in %s is damaged: %d stretches (%d bytes) were skipped",
                self._directory.path,
                counters.corrupt_regions,
                counters.corrupt_bytes,
            )
        if self._wal.sizes:
            last = generations.get(max(self._wal.sizes))
            self._wal.count_replayed(0 if last is None else last.span_count)

    def _over_bounds(self) -> bool:
        sizes, bounds = self._wal.sizes, self._bounds
        spans = sum(one.span_count for one in self.reader.generations.values())
        over = spans > bounds.max_spans or sum(sizes.values()) > bounds.max_bytes
        return over and len(sizes) > 1

    def _forget_oldest(self) -> None:
        oldest = self.reader.generations.pop(min(self._wal.sizes), None)
        if oldest is not None:
            self.counters.retired_spans += oldest.span_count

    def _count_failed_removal(self, error: StoreUnavailableError) -> None:
        self.counters.failed_removals += 1
        _log.warning("%s", error)

    def _measure(self) -> None:
        generations = self.reader.generations.values()
        self.counters.spans = sum(one.span_count for one in generations)
        self.counters.log_bytes = sum(self._wal.sizes.values())


def _fail(group: list[_Waiting], error: StoreError) -> None:
    for one in group:
        if not one.done.done():
            one.done.set_exception(StoreUnavailableError(str(error)))
