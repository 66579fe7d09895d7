"""Batches on disk, for a destination that does not take them now."""

import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from zerostate.errors import ConfigError
from zerostate.telemetry.export import spool_file
from zerostate.telemetry.export.destination import SpoolConfig
from zerostate.telemetry.export.spool_file import SpoolEntry

MAX_PLACES: Final = 256
"""Processes that may share one spool: each takes one numbered directory."""

MAX_CORRUPT_FILES: Final = 16
"""Corrupt files kept for inspection."""

_LOCK_NAME: Final = "LOCK"
_PRIVATE_DIRECTORY: Final = 0o700
_PRIVATE_FILE: Final = 0o600


@final
class Spool:
    """A directory that this process alone uses, until `close`.

    Files are delivered oldest first, at least once: a crash between the receiver's
    answer and the file's removal delivers it again. Safe to use from several threads.
    """

    def __init__(self, config: SpoolConfig, destination: str) -> None:
        """Take a free place, and what dead processes left in others.

        Raises:
            ConfigError: The directory cannot be used.
        """
        self._max_bytes = config.max_bytes
        self._lock = threading.Lock()
        self._entries: deque[SpoolEntry] = deque()
        self._bytes = 0
        self._next_number = 0
        self._base = base = Path(config.directory) / destination
        try:
            self._path, self._descriptor = _take_place(base)
            spool_file.remove_partial(self._path)
            self._find_own()
            self._adopt_orphans(base)
        except OSError as exc:
            raise ConfigError(
                f"spool.directory: {base}: {exc.strerror or exc};"
                " choose a directory on a local disk that this user may write to"
            ) from exc

    def _find_own(self) -> None:
        for path, number, spans in _batches(self._path):
            self._next_number = number + 1
            self._add(path, spans, is_recovered=True)

    def _adopt_orphans(self, base: Path) -> None:
        for place in sorted(base.iterdir()):
            if place == self._path or not place.is_dir():
                continue
            descriptor = _try_lock(place)
            if descriptor is None:
                continue
            try:
                for path, _, spans in _batches(place):
                    name = spool_file.file_name(self._take_number(), spans)
                    moved = path.replace(self._path / name)
                    self._add(moved, spans, is_recovered=True)
            finally:
                os.close(descriptor)

    def _add(self, path: Path, spans: int, *, is_recovered: bool) -> SpoolEntry:
        size = path.stat().st_size
        entry = SpoolEntry(path, spans, size, is_recovered=is_recovered)
        self._entries.append(entry)
        self._bytes += size
        return entry

    def _take_number(self) -> int:
        number = self._next_number
        self._next_number += 1
        return number

    def __len__(self) -> int:
        """Return how many batches are on disk."""
        return len(self._entries)

    @property
    def recovered_spans(self) -> int:
        """Spans of earlier processes on disk."""
        with self._lock:
            return sum(e.spans for e in self._entries if e.is_recovered)

    def write(
        self,
        payload: bytes,
        spans: int,
        evicted: Callable[[SpoolEntry], None],
        *,
        written: Callable[[], bool],
    ) -> None:
        """Put a batch on disk; the oldest ones make room where needed.

        A directory that was deleted is made again.

        Args:
            payload: The batch.
            spans: How many spans are in it.
            evicted: Told each batch that was deleted, also if an error follows.
            written: Told once the batch outlives a crash, and before another thread
                can deliver it. It answers whether the batch is still wanted: if not,
                it is deleted again.

        Raises:
            OSError: The disk refused, or there is no room; nothing was written.
        """
        needed = len(payload) + spool_file.HEADER_BYTES
        with self._lock:
            while self._bytes + needed > self._max_bytes:
                entry = next((e for e in self._entries if not e.is_in_use), None)
                if entry is None:
                    raise OSError(errno.ENOSPC, "the spool is full")
                entry.path.unlink(missing_ok=True)
                self._forget(entry)
                evicted(entry)
            self._return_to_place()
            name = spool_file.file_name(self._take_number(), spans)
            spool_file.write(self._path / name, payload, spans)
            if written():
                self._add(self._path / name, spans, is_recovered=False)
            else:
                (self._path / name).unlink(missing_ok=True)

    def _return_to_place(self) -> None:
        # Without its lock file the place may be another process's by now.
        if self._descriptor < 0 or os.fstat(self._descriptor).st_nlink:
            return
        self._path, descriptor = _take_place(self._base)
        os.close(self._descriptor)
        self._descriptor = descriptor
        for _, number, _ in _batches(self._path):
            self._next_number = max(self._next_number, number + 1)

    def forget_missing(self) -> list[SpoolEntry]:
        """Return the batches whose files are gone; they are not on disk any more.

        Those in use are left out: they are in memory too.
        """
        with self._lock:
            gone = [e for e in self._entries if not e.is_in_use and _is_gone(e.path)]
            for entry in gone:
                self._forget(entry)
        return gone

    def oldest(self) -> SpoolEntry | None:
        """Return the oldest batch and mark it as in use; None if there is none."""
        with self._lock:
            entry = self._entries[0] if self._entries else None
            if entry is not None:
                entry.is_in_use = True
            return entry

    def load(self, entry: SpoolEntry) -> bytes | None:
        """Return a batch's payload.

        Returns:
            None if it is corrupt or was deleted: what there is was set aside, and the
            entry is gone.

        Raises:
            OSError: The disk refused; the entry stays.
        """
        try:
            payload = spool_file.read(entry.path)
        except FileNotFoundError:
            payload = None
        if payload is None:
            # What cannot be set aside is found again by a later process.
            with self._lock, suppress(OSError):
                self._forget(entry)
                spool_file.set_aside(entry.path, MAX_CORRUPT_FILES)
        return payload

    def keep(self, entry: SpoolEntry) -> None:
        """Leave a batch for later."""
        with self._lock:
            entry.is_in_use = False

    def remove(self, entry: SpoolEntry) -> None:
        """Delete a batch that was delivered, or never will be.

        Raises:
            OSError: The disk refused; a later process delivers it again.
        """
        with self._lock:
            self._forget(entry)
            entry.path.unlink(missing_ok=True)

    def _forget(self, entry: SpoolEntry) -> None:
        with suppress(ValueError):
            self._entries.remove(entry)
            self._bytes -= entry.size_bytes

    def close(self) -> None:
        """Let others have the place; may be called twice.

        In a forked child this does not free the parent's.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _is_gone(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # the disk refuses: it may come back
    return False


def _batches(place: Path) -> list[tuple[Path, int, int]]:
    names = ((path, spool_file.parse_name(path.name)) for path in place.iterdir())
    found = [(path, *numbers) for path, numbers in names if numbers is not None]
    return sorted(found, key=lambda batch: batch[1])


def _take_place(base: Path) -> tuple[Path, int]:
    base.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    for number in range(MAX_PLACES):
        place = base / f"{number:03d}"
        place.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
        descriptor = _try_lock(place)
        if descriptor is not None:
            return place, descriptor
    raise OSError(f"all {MAX_PLACES} places are taken by running processes")


def _try_lock(place: Path) -> int | None:
    """Return the descriptor that holds the lock; None while another process does."""
    try:
        import fcntl  # noqa: PLC0415  # POSIX only, as is the spool
    except ImportError:
        raise OSError(
            "the spool needs file locks, which only POSIX systems have"
        ) from None
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(place / _LOCK_NAME, flags, _PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
