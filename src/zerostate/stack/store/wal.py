"""The write-ahead log: files in generations, of which the last is written to."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from zerostate.errors import StoreUnavailableError
from zerostate.stack.bounds import StoreBounds
from zerostate.stack.store.directory import DataDirectory
from zerostate.stack.store.wal_file import (
    HEADER_BYTES,
    RECORD_OVERHEAD_BYTES,
    encode_record,
    new_header,
    read_log,
)

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class ReplayReport:
    """What a replay met; all zero for a log that was closed in order.

    Attributes:
        torn_bytes: Bytes of unfinished writes at the end of the last file, cut off.
        corrupt_regions: Damaged stretches that were skipped.
        corrupt_bytes: Bytes in these.
    """

    torn_bytes: int = 0
    corrupt_regions: int = 0
    corrupt_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A payload to be logged and the spans in it."""

    payload: bytes
    span_count: int


@final
class WriteAheadLog:
    """Appends payloads durably. For one thread at a time.

    A damaged record with intact ones after it is skipped at replay and counted, and
    the rest is served: for traces, most of the story today is worth more than all of
    it after somebody has repaired a file. The damaged file is left as it is.
    """

    def __init__(
        self,
        directory: DataDirectory,
        bounds: StoreBounds,
        *,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        """Wire a log; `replay` reads what is there.

        Args:
            directory: Where its files are.
            bounds: When a new file is begun.
            sync: Puts what was written to a descriptor on disk, or raises OSError.
        """
        self.report = ReplayReport()
        self.sizes: dict[int, int] = {}
        """Bytes of each generation's file."""
        self._directory = directory
        self._bounds = bounds
        self._sync = sync
        self._descriptor = -1
        self._current = -1
        self._header = b""
        self._spans = 0
        self._synced_bytes = 0

    def replay(self) -> Iterator[tuple[int, bytes]]:
        """Yield each logged payload with its generation, oldest first.

        Call once, before `append`, and to the end; afterwards the log can be
        appended to.

        Raises:
            StoreCorruptError: A file is not a log of this version.
            StoreUnavailableError: A file cannot be read.
        """
        try:
            generations = self._directory.generations()
            for number in generations:
                for payload in self._replay_one(number, last=number == generations[-1]):
                    yield number, payload
        except OSError as error:
            raise StoreUnavailableError(f"cannot read the log: {error}") from error

    def _replay_one(self, number: int, *, last: bool) -> list[bytes]:
        path = self._directory.generation_path(number)
        contents = path.read_bytes()
        found = read_log(contents, str(path))
        self.sizes[number] = len(contents)
        self.report.corrupt_regions += found.corrupt_regions
        self.report.corrupt_bytes += found.corrupt_bytes
        if found.torn_bytes and last:
            self.report.torn_bytes += found.torn_bytes
        elif found.torn_bytes:
            # A file that was followed by another had been synced to its end.
            self.report.corrupt_regions += 1
            self.report.corrupt_bytes += found.torn_bytes
        if last:
            self._resume(number, contents[:HEADER_BYTES], found.end)
        return found.payloads

    def _resume(self, number: int, header: bytes, end: int) -> None:
        self._current = number
        self._descriptor = self._directory.open_generation(number)
        os.ftruncate(self._descriptor, end)
        self.sizes[number] = end
        self._header = header
        if end == 0:
            self._write_header()
        self._sync(self._descriptor)
        self._synced_bytes = self.sizes[number]

    def count_replayed(self, span_count: int) -> None:
        """Tell how many spans the generation being appended to already holds."""
        self._spans = span_count

    def append(self, entries: Sequence[LogEntry]) -> list[int]:
        """Write the entries and return the generation of each, once all are on disk.

        Raises:
            StoreUnavailableError: The disk refused. None of the entries counts as
                written, though some may turn up at the next replay; the log can be
                appended to again, in a new file.
        """
        written: list[int] = []
        try:
            for group in self._groups(entries):
                records = [encode_record(self._header, one.payload) for one in group]
                _write_all(self._descriptor, b"".join(records))
                self.sizes[self._current] += sum(map(len, records))
                self._spans += sum(one.span_count for one in group)
                written += [self._current] * len(group)
            self._sync(self._descriptor)
            self._synced_bytes = self.sizes[self._current]
        except OSError as error:
            self._abandon()
            raise StoreUnavailableError(f"cannot write the log: {error}") from error
        return written

    def _groups(self, entries: Sequence[LogEntry]) -> Iterator[list[LogEntry]]:
        """Yield runs of entries, each after the file it belongs into was opened."""
        group: list[LogEntry] = []
        group_bytes = group_spans = 0
        for entry in entries:
            record_bytes = RECORD_OVERHEAD_BYTES + len(entry.payload)
            if self._is_full(group_bytes + record_bytes, group_spans):
                if group:
                    yield group
                    group, group_bytes, group_spans = [], 0, 0
                if self._is_full(record_bytes, 0):
                    self._rotate()
            group.append(entry)
            group_bytes += record_bytes
            group_spans += entry.span_count
        if group:
            yield group

    def _is_full(self, more_bytes: int, more_spans: int) -> bool:
        if self._descriptor < 0:
            return True
        held = self.sizes[self._current]
        return self._spans + more_spans >= self._bounds.generation_spans or (
            # One record longer than a whole generation still goes somewhere.
            held > HEADER_BYTES and held + more_bytes > self._bounds.generation_bytes
        )

    def _rotate(self) -> None:
        if self._descriptor >= 0:
            self._sync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        # Counted up first: after a failure the number may be taken on disk.
        self._current += 1
        number = self._current
        self._descriptor = self._directory.create_generation(number)
        self._spans = self._synced_bytes = 0
        self.sizes[number] = 0
        self._write_header()

    def _write_header(self) -> None:
        self._header = new_header()
        _write_all(self._descriptor, self._header)
        self.sizes[self._current] = HEADER_BYTES

    def _abandon(self) -> None:
        """Leave the current file: after a failed write or sync its end is unknown.

        One of which nothing was synced goes altogether, or each failed write would
        leave a file.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if self._synced_bytes:
                os.ftruncate(descriptor, self._synced_bytes)
                self.sizes[self._current] = self._synced_bytes
            else:
                self._directory.remove_generation(self._current)
                del self.sizes[self._current]
        except OSError:
            _log.warning(
                "cannot undo what was written to log generation %d",
                self._current,
                exc_info=True,
            )
        finally:
            os.close(descriptor)

    def remove_oldest(self) -> int:
        """Remove the oldest file and return its generation.

        Raises:
            StoreUnavailableError: The disk refused; the file may still be there.
        """
        number = min(self.sizes)
        try:
            self._directory.remove_generation(number)
        except OSError as error:
            raise StoreUnavailableError(f"cannot remove a log file: {error}") from error
        del self.sizes[number]
        return number

    def close(self) -> None:
        """Sync and close the current file; afterwards only `replay` anew can help."""
        if self._descriptor < 0:
            return
        try:
            self._sync(self._descriptor)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_all(descriptor: int, contents: bytes) -> None:
    view = memoryview(contents)
    while view:
        view = view[os.write(descriptor, view) :]
