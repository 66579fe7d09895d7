"""How well the executors of this peer's tasks did: kept through a restart."""

import json
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, Self, final, get_args

import trio

from zerostate.errors import StoreCorruptError, StoreUnavailableError
from zerostate.evidence.identity import parse_peer_id
from zerostate.ids import PeerId
from zerostate.p2p.tasks import open_background, start_clean

MAX_EXECUTORS: Final = 1024
"""Executors that are remembered; who was heard of longest ago is forgotten first."""

MAX_COUNTED_TASKS: Final = 128
"""Tasks of one executor that count in full. With more, all its counts are halved, so
that what it did lately says more than what it did long ago."""

MAX_FILE_BYTES: Final = 1 << 20
"""Largest file that is read; `MAX_EXECUTORS` have some 140 KB."""

WRITE_PAUSE_S: Final = 1.0
"""What changes within this, in seconds, is written at once: a busy requester would wait
for the disk all the time. A peer that is killed forgets as much."""

Ending = Literal["completed", "failed", "lost", "late", "declined"]
"""How a task ended for which an executor was asked:

* ``completed``: a receipt proves what came of it, be it good or bad;
* ``failed``: it ended without proof, or because the executor's own machinery did;
* ``lost``: the executor did not answer, or went away;
* ``late``: there was no result in time;
* ``declined``: the executor had bid for the task, and did not want it when asked.
"""

ENDINGS: Final[tuple[Ending, ...]] = get_args(Ending)

_VERSION: Final = 1
_MODE: Final = 0o600

_logger: Final = logging.getLogger("zerostate.node")


@final
@dataclass(frozen=True, slots=True)
class Record:
    """How many tasks of one executor ended how."""

    completed: int = 0
    failed: int = 0
    lost: int = 0
    late: int = 0
    declined: int = 0

    @property
    def tasks(self) -> int:
        """How many there were."""
        return self.completed + self.failed + self.lost + self.late + self.declined

    @property
    def reliability(self) -> Fraction:
        """Share of tasks to be expected as completed, by Laplace's rule of succession.

        A half for who was never asked; never 0 and never 1.
        """
        return Fraction(self.completed + 1, self.tasks + 2)

    def plus(self, ending: Ending) -> Self:
        """Return the record with one task more."""
        counts = {name: getattr(self, name) for name in ENDINGS}
        if self.tasks >= MAX_COUNTED_TASKS:
            counts = {name: count // 2 for name, count in counts.items()}
        counts[ending] += 1
        return replace(self, **counts)


@final
class ExecutorHistory:
    """The records of `MAX_EXECUTORS` executors at most; see `open_history`."""

    def __init__(self, records: Mapping[PeerId, Record] | None = None) -> None:
        self._records = OrderedDict(records or {})
        self.changed = trio.Event()
        """Set, and replaced, when a task is noted."""

    def __len__(self) -> int:
        """Return how many executors are remembered."""
        return len(self._records)

    def of(self, executor: PeerId) -> Record:
        """Return an executor's record; an empty one if it is not remembered."""
        return self._records.get(executor, Record())

    def reliability(self, executor: PeerId) -> Fraction:
        """Return what to expect of an executor; see `Record.reliability`."""
        return self.of(executor).reliability

    def note(self, executor: PeerId, ending: Ending) -> None:
        """Remember how a task ended for which `executor` was asked."""
        self._records[executor] = self.of(executor).plus(ending)
        self._records.move_to_end(executor)
        if len(self._records) > MAX_EXECUTORS:
            self._records.popitem(last=False)
        self.changed.set()
        self.changed = trio.Event()

    def as_bytes(self) -> bytes:
        """Return all records as JSON, who was heard of longest ago first."""
        executors = {peer: asdict(record) for peer, record in self._records.items()}
        return json.dumps({"version": _VERSION, "executors": executors}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what `as_bytes` has written.

        Raises:
            StoreCorruptError: It has not.
        """
        try:
            document = json.loads(data)
            version = document["version"]
            records = {
                parse_peer_id(peer): _record(counts)
                for peer, counts in document["executors"].items()
            }
        except (
            AttributeError,
            KeyError,
            RecursionError,
            TypeError,
            ValueError,
        ) as exc:
            raise StoreCorruptError(f"not a history of executors: {exc}") from exc
        if version != _VERSION or len(records) > MAX_EXECUTORS:
            raise StoreCorruptError(
                f"version {version!r} with {len(records)} executors; it is {_VERSION},"
                f" with at most {MAX_EXECUTORS}"
            )
        return cls(records)


@asynccontextmanager
async def open_history(
    path: Path, *, write: Callable[[Path, bytes], None] | None = None
) -> AsyncIterator[ExecutorHistory]:
    """Give the history in the file `path`, and keep the file as the history changes.

    Where nothing can be read, it begins anew; where nothing can be written, it is kept
    in memory only. Both are logged: work goes on without it.

    Args:
        path: The file.
        write: Writes it, in a thread, and never twice at once; None takes `replace_file`.
    """
    history = await trio.to_thread.run_sync(_load, path)
    keeper = _Keeper(path, history, write or replace_file)
    try:
        async with open_background() as nursery:
            start_clean(nursery, keeper.run)
            yield history
    finally:
        # Not before the keeper is gone: both would write the same draft.
        keeper.finish()


class _Keeper:
    """Writes a history to its file."""

    def __init__(
        self,
        path: Path,
        history: ExecutorHistory,
        write: Callable[[Path, bytes], None],
    ) -> None:
        self._path = path
        self._history = history
        self._write_file = write
        self._tried = history.as_bytes()

    async def run(self) -> None:
        while True:
            changed, data = self._history.changed, self._history.as_bytes()
            if data != self._tried:
                await trio.to_thread.run_sync(self._write, data)
            await changed.wait()
            await trio.sleep(WRITE_PAUSE_S)

    def finish(self) -> None:
        """Write what is new, at once."""
        data = self._history.as_bytes()
        if data != self._tried:
            self._write(data)

    def _write(self, data: bytes) -> None:
        self._tried = data
        try:
            self._write_file(self._path, data)
        except StoreUnavailableError as exc:
            _logger.warning("how executors did is not kept: %s", exc)


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to the file `path`, which has either all of it or what it had.

    Raises:
        StoreUnavailableError: It cannot be written; it has what it had.
    """
    draft = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as exc:
        raise StoreUnavailableError(f"{path}: {exc.strerror}") from exc


def _load(path: Path) -> ExecutorHistory:
    try:
        return ExecutorHistory.from_bytes(_read(path))
    except FileNotFoundError:
        return ExecutorHistory()
    except (OSError, StoreCorruptError) as exc:
        _logger.warning("%s: %s; what is known of executors begins anew", path, exc)
        return ExecutorHistory()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise StoreCorruptError(f"larger than {MAX_FILE_BYTES} bytes")
    return data


def _record(counts: Mapping[str, object]) -> Record:
    # A file of a node that did not count declined tasks is one without any.
    known = {"declined": 0, **counts}
    return Record(**{ending: _count(known[ending]) for ending in ENDINGS})


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
