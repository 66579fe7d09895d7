"""Keeps what a task can be run again from; bytes that several tasks have in common, once."""

import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, final

MODULE_NAME: Final = "module"
"""File with the module that a task ran."""

INPUT_NAME: Final = "input"
"""File with the input that a task was given."""

SPARE_NAMES: Final = (MODULE_NAME, INPUT_NAME)
"""Files that a task's proof holds without."""

_DRAFT: Final = ".new"
_DIRECTORY_MODE: Final = 0o700
_PROOF_MODE: Final = 0o600
# Whoever changed one task's file would change it for all others.
_SHARED_MODE: Final = 0o400


@final
class SpareFiles:
    """The modules and inputs of tasks, each once by its hash.

    A task's directory has hard links to them, so that a crash leaves at most a file that
    no task uses. In a copy of the directory that has broken the links, each task's file
    counts by itself. Not for several threads at once.

    Args:
        directory: Where they are; made with the first one, mode 0700.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._inodes: dict[str, int] = {}
        self._sizes: dict[int, int] = {}
        self._users: Counter[int] = Counter()
        self._tasks: OrderedDict[Path, list[tuple[Path, int]]] = OrderedDict()

    @property
    def total_bytes(self) -> int:
        """What all of them take; a file that several tasks use counts once."""
        return sum(self._sizes.values())

    def restore(self, places: Iterable[Path]) -> None:
        """Take up what earlier tasks have, the oldest first; delete what none has.

        Raises:
            OSError: The directory cannot be used.
        """
        for place in places:
            self.adopt(place)
        if not self._directory.exists():
            return
        for path in self._directory.iterdir():
            self._inodes[path.name] = path.stat().st_ino
        self.drop_unused()

    def drop_unused(self) -> None:
        """Delete what no task has."""
        for name, inode in tuple(self._inodes.items()):
            if inode not in self._users:
                del self._inodes[name]
                _unlink(self._directory / name)

    def make_room(self, files: Mapping[str, bytes], limit_bytes: int) -> bool:
        """Take them from the oldest tasks until all, with `files`, fit the limit.

        Returns:
            Whether they fit. If they never could, they take nothing from others.
        """
        sizes = {_sha256(data): len(data) for data in files.values()}
        is_hopeless = sum(sizes.values()) > limit_bytes
        if is_hopeless:
            sizes = {}

        def needed_bytes() -> int:
            added = (size for name, size in sizes.items() if name not in self._inodes)
            return self.total_bytes + sum(added)

        while self._tasks and needed_bytes() > limit_bytes:
            self.release(next(iter(self._tasks)))
        return not is_hopeless and needed_bytes() <= limit_bytes

    def link(self, place: Path, files: Mapping[str, bytes]) -> None:
        """Put `files` into a task's directory; `adopt` then counts them.

        Raises:
            OSError: Not all of them could be put there. `drop_unused` then has to be
                called, and also if the directory goes.
        """
        if not files:
            return
        self._directory.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        for name, data in files.items():
            shared = self._directory / _sha256(data)
            if not shared.exists():
                draft = shared.with_suffix(_DRAFT)
                draft.unlink(missing_ok=True)
                write_new(draft, data, mode=_SHARED_MODE)
                draft.replace(shared)
            self._inodes[shared.name] = shared.stat().st_ino
            (place / name).hardlink_to(shared)

    def adopt(self, place: Path) -> None:
        """Count those in a task's directory; the task is the youngest now."""
        for name in SPARE_NAMES:
            path = place / name
            with suppress(FileNotFoundError):
                found = path.stat()
                self._tasks.setdefault(place, []).append((path, found.st_ino))
                self._sizes[found.st_ino] = found.st_size
                self._users[found.st_ino] += 1

    def release(self, place: Path) -> None:
        """Take them out of a task's directory; who is the last to have one, deletes it."""
        for path, inode in self._tasks.pop(place, ()):
            _unlink(path)
            self._users[inode] -= 1
            if self._users[inode]:
                continue
            del self._users[inode], self._sizes[inode]
        self.drop_unused()


def write_new(path: Path, data: bytes, *, mode: int = _PROOF_MODE) -> None:
    """Write a file that is not there yet, and have it on the disk.

    Raises:
        OSError: It is there, or cannot be written.
    """
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode
    )
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _unlink(path: Path) -> None:
    # One that stays is counted again, or deleted, by the next start.
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
