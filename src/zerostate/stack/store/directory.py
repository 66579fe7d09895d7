"""The data directory on disk: who may use it, and which files are in it."""

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from zerostate.errors import StoreLockedError, StoreUnavailableError

_LOCK_NAME: Final = "LOCK"
_WAL_NAME: Final = "wal"
_GENERATION: Final = re.compile(r"([0-9]{12})\.wal")
_PRIVATE_DIRECTORY: Final = 0o700
_PRIVATE_FILE: Final = 0o600


@final
class DataDirectory:
    """A data directory that this process alone uses, until `close`.

    Only its owner may read what is in it: traces tell about people.
    """

    def __init__(self, path: Path) -> None:
        """Create the directory where needed, and take its lock.

        Raises:
            StoreLockedError: Another process holds it.
            StoreUnavailableError: It cannot be created or written to.
        """
        self.path = path
        self._wal = path / _WAL_NAME
        try:
            path.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            self._wal.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
            self._lock = os.open(
                path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE
            )
        except OSError as error:
            raise StoreUnavailableError(
                f"data directory {path} cannot be used: {error.strerror}; "
                "choose another with --data"
            ) from error
        self._take_lock()

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise StoreLockedError(
                f"data directory {self.path} is in use by process {holder or '?'}; "
                "stop that one, or choose another directory with --data"
            ) from error
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._lock)
            raise StoreUnavailableError(
                f"data directory {self.path} cannot be written to: {error.strerror}; "
                "make room on its disk, or choose another directory with --data"
            ) from error

    def generations(self) -> list[int]:
        """Return the numbers of the log files present, oldest first."""
        names = (_GENERATION.fullmatch(entry.name) for entry in self._wal.iterdir())
        return sorted(int(name[1]) for name in names if name is not None)

    def generation_path(self, number: int) -> Path:
        """Return where the log file of a generation is or will be."""
        return self._wal / f"{number:012d}.wal"

    def create_generation(self, number: int) -> int:
        """Create a generation's empty log file, durably, and return its descriptor.

        Raises:
            OSError: The disk refused; as far as it lets us, no file is left.
        """
        path = self.generation_path(number)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, _PRIVATE_FILE)
        try:
            self._sync()
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise
        return descriptor

    def open_generation(self, number: int) -> int:
        """Open an existing log file for appending and return its descriptor.

        Raises:
            OSError: The disk refused.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        return os.open(self.generation_path(number), flags)

    def remove_generation(self, number: int) -> None:
        """Remove a log file; none there is no error.

        Raises:
            OSError: The disk refused.
        """
        self.generation_path(number).unlink(missing_ok=True)
        self._sync()

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._lock)

    def _sync(self) -> None:
        # A new or removed name is durable only once its directory is.
        descriptor = os.open(self._wal, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
