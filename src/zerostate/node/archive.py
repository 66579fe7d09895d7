"""Keeps what proves the tasks that this peer has asked for, and what came of them."""

import logging
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, final

import trio

from zerostate.errors import ConfigError, StoreCorruptError, StoreUnavailableError
from zerostate.ids import TaskId, parse_task_id
from zerostate.node.spare_files import SPARE_NAMES, SpareFiles, write_new

MAX_TASKS: Final = 1_000
"""Tasks that are kept; the oldest goes first, of those that are not still to be paid."""

MAX_BYTES: Final = 1 << 30
"""Most that all of them take, in bytes: an output has up to 16 MiB."""

MAX_SPARE_BYTES: Final = 256 << 20
"""Most of it that modules and inputs take, in bytes: a task has up to 15 MiB of them, so
that the last seventeen can be run again at least. The oldest go first, and always before
any task's proof does."""

RECEIPT_NAME: Final = "receipt"
"""File with the executor's sealed receipt, as it came."""

MANIFEST_NAME: Final = "manifest"
"""File with the sealed manifest, as the executor was sent it."""

OUTPUT_NAME: Final = "output"
"""File with the output, as it came."""

WITNESS_NAME: Final = "witness"
"""File with what a witness has signed about the receipt, as it came."""

DEBT_NAME: Final = "debt"
"""File that is there while a task's receipt has not been paid. Such a task makes room for
others only when all have one: without its proof it cannot be paid."""

SHARED_NAME: Final = "shared"
"""Directory with each module and input once, beside those of the tasks."""

RECORD_NAME: Final = "record"
"""File with what the node tells of a task that was submitted to it."""

MAX_FILE_BYTES: Final = 1 << 20
"""Largest file that is read, in bytes: a record with a hundred stages takes some 20 KB,
a manifest or a receipt at most as much."""

_DRAFT: Final = ".new"
_DIRECTORY_MODE: Final = 0o700

_logger: Final = logging.getLogger("zerostate.node")


@final
class TaskArchive:
    """A directory for each task, of this user alone; bounded in tasks and bytes.

    Made in a trio task. A task's directory is there with all of its files or not at all,
    also after a crash.

    Args:
        directory: Made if missing, mode 0700.
        max_tasks: Most tasks.
        max_bytes: Most bytes of all tasks together.
        max_spare_bytes: Most bytes of those that are modules and inputs; each counts
            once, however many tasks have it.

    Raises:
        ConfigError: `directory` cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_tasks: int = MAX_TASKS,
        max_bytes: int = MAX_BYTES,
        max_spare_bytes: int = MAX_SPARE_BYTES,
    ) -> None:
        self._directory = directory.absolute()
        self._max_tasks = max_tasks
        self._max_bytes = max_bytes
        self._max_spare_bytes = max_spare_bytes
        self._spare = SpareFiles(self._directory / SHARED_NAME)
        self._one_at_a_time = trio.CapacityLimiter(1)
        try:
            self._directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            _remove_drafts(self._directory)
            self._sizes = OrderedDict(_found(self._directory))
            self._spare.restore(self._directory / one for one in self._sizes)
        except OSError as exc:
            raise ConfigError(f"data_dir: {directory}: {exc.strerror}") from exc
        self._make_room(0)

    async def keep(
        self,
        task_id: TaskId,
        files: Mapping[str, bytes],
        spare: Mapping[str, bytes] | None = None,
    ) -> Path | None:
        """Write `files` for a task and return the directory that they are in.

        Args:
            task_id: The task.
            files: What proves it.
            spare: What it can be run again from, by its name in `SPARE_NAMES`. It is
                left out if there is no room, and goes before any proof does.

        Returns:
            None if `files` cannot be kept; the log says why.
        """
        return await trio.to_thread.run_sync(
            self._keep, task_id, files, spare or {}, limiter=self._one_at_a_time
        )

    async def add(self, task_id: TaskId, name: str, data: bytes) -> None:
        """Write one more file of a task, in the place of one with that name.

        If it cannot be kept, the log says why.
        """
        await trio.to_thread.run_sync(
            self._add, task_id, name, data, limiter=self._one_at_a_time
        )

    async def read(self, task_id: TaskId, name: str) -> bytes | None:
        """Return a file of a task; None if it is not there.

        Raises:
            StoreUnavailableError: It cannot be read.
            StoreCorruptError: It is larger than `MAX_FILE_BYTES`.
        """
        path = self._directory / task_id / name
        return await trio.to_thread.run_sync(_read, path, limiter=self._one_at_a_time)

    async def remove(self, task_id: TaskId, name: str) -> None:
        """Delete a file of a task, if it is there.

        If it cannot be deleted, the log says why.
        """
        await trio.to_thread.run_sync(
            self._remove, task_id, name, limiter=self._one_at_a_time
        )

    async def having(self, name: str) -> tuple[TaskId, ...]:
        """Return the tasks that have a file of that name, the oldest first."""
        return await trio.to_thread.run_sync(
            self._having, name, limiter=self._one_at_a_time
        )

    def _having(self, name: str) -> tuple[TaskId, ...]:
        return tuple(one for one in self._sizes if self._has(one, name))

    def _remove(self, task_id: TaskId, name: str) -> None:
        path = self._directory / task_id / name
        size = _size(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            _logger.warning("%s of %s is still kept: %s", name, task_id, exc)
        else:
            if task_id in self._sizes:
                self._sizes[task_id] -= size

    def _add(self, task_id: TaskId, name: str, data: bytes) -> None:
        if task_id not in self._sizes:
            self._keep(task_id, {name: data}, {})
            return
        place = self._directory / task_id
        # The youngest now, so that it does not make room for itself.
        held = self._sizes.pop(task_id)
        size = held - _size(place / name) + len(data)
        self._make_room(size)
        draft = place / (name + _DRAFT)
        try:
            write_new(draft, data)
            draft.replace(place / name)
        except OSError as exc:
            _logger.warning("%s of %s is not kept: %s", name, task_id, exc)
            size = held
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        self._sizes[task_id] = size

    def _keep(
        self, task_id: TaskId, files: Mapping[str, bytes], spare: Mapping[str, bytes]
    ) -> Path | None:
        size = sum(map(len, files.values()))
        place = self._directory / task_id
        draft = self._directory / (task_id + _DRAFT)
        has_room = self._make_room(size, spare)
        try:
            draft.mkdir(mode=_DIRECTORY_MODE)
            for name, data in files.items():
                write_new(draft / name, data)
            if has_room:
                self._link(draft, spare, task_id)
            draft.rename(place)
        except OSError as exc:
            _logger.warning("what proves %s is not kept: %s", task_id, exc)
            shutil.rmtree(draft, ignore_errors=True)
            return None
        else:
            self._sizes[task_id] = size
            self._spare.adopt(place)
            return place
        finally:
            self._spare.drop_unused()

    def _link(self, draft: Path, spare: Mapping[str, bytes], task_id: TaskId) -> None:
        """Keep what a task can be run again from; its proof is worth more than that."""
        try:
            self._spare.link(draft, spare)
        except OSError as exc:
            _logger.warning("module and input of %s are not kept: %s", task_id, exc)

    def _make_room(self, size: int, spare: Mapping[str, bytes] | None = None) -> bool:
        """Return whether there is room for `spare`, too."""
        while self._sizes and (
            len(self._sizes) >= self._max_tasks
            or sum(self._sizes.values()) + size > self._max_bytes
        ):
            self._evict_one()
        left = self._max_bytes - sum(self._sizes.values()) - size
        return self._spare.make_room(spare or {}, min(left, self._max_spare_bytes))

    def _evict_one(self) -> None:
        paid = (one for one in self._sizes if not self._has(one, DEBT_NAME))
        task_id = next(paid, None)
        if task_id is None:
            task_id = next(iter(self._sizes))
            _logger.warning(
                "%s, which is not paid, makes room for newer tasks", task_id
            )
        del self._sizes[task_id]
        self._spare.release(self._directory / task_id)
        shutil.rmtree(self._directory / task_id, ignore_errors=True)

    def _has(self, task_id: TaskId, name: str) -> bool:
        return (self._directory / task_id / name).exists()


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 if it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StoreUnavailableError(f"{path}: {exc.strerror}") from exc
    if len(data) > MAX_FILE_BYTES:
        raise StoreCorruptError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    return data


def _remove_drafts(directory: Path) -> None:
    for draft in directory.glob(f"*{_DRAFT}"):
        shutil.rmtree(draft, ignore_errors=True)


def _found(directory: Path) -> Iterator[tuple[TaskId, int]]:
    """Yield each task that is there and its bytes, the oldest first."""
    entries = []
    for place in directory.iterdir():
        # Whatever else somebody has put there is left alone.
        with suppress(ValueError, OSError):
            task_id = parse_task_id(place.name)
            size = sum(
                file.stat().st_size
                for file in place.iterdir()
                if file.name not in SPARE_NAMES
            )
            entries.append((place.stat().st_mtime_ns, task_id, size))
    for _, task_id, size in sorted(entries):
        yield task_id, size
