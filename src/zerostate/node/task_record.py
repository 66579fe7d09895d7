"""What a node tells of a task that was submitted to it; kept through a restart."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, Self, final

import trio

from zerostate.errors import StoreCorruptError

MAX_STAGES: Final = 100
"""Stages of one task that are remembered; there are about ten."""

_VERSION: Final = 1


@final
@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that has happened to a task."""

    stage: str
    text: str
    data: Mapping[str, object] | None
    at_unix_ns: int


@final
@dataclass(slots=True)
class TaskRecord:
    """A task that goes on, or has ended, and what is known of it."""

    stages: list[Stage] = field(default_factory=list)
    result: Mapping[str, object] | None = None
    """The whole report, once it has ended; without the output."""
    error: tuple[str, str] | None = None
    """Code and message, once it has failed."""
    changed: trio.Event = field(default_factory=trio.Event)
    """Set, and replaced, when anything changes."""

    @property
    def state(self) -> str:
        """``running``, ``done`` or ``failed``."""
        if self.result is None:
            return "running"
        return "done" if self.error is None else "failed"

    def wake(self) -> None:
        """Tell who waits for `changed`."""
        self.changed.set()
        self.changed = trio.Event()

    def reach(self, stage: Stage) -> None:
        """Note a stage, unless there are `MAX_STAGES` already."""
        if len(self.stages) < MAX_STAGES:
            self.stages.append(stage)
            self.wake()

    def end(self, result: Mapping[str, object], error: tuple[str, str] | None) -> None:
        """Note the end, well or badly."""
        self.result, self.error = result, error
        self.wake()

    def as_bytes(
        self, result: Mapping[str, object], error: tuple[str, str] | None
    ) -> bytes:
        """Return the record as it will be with that end, as JSON."""
        document = {
            "version": _VERSION,
            "stages": [asdict(stage) for stage in self.stages],
            "result": result,
            "error": error,
        }
        # A stage may tell anything; that must not cost the record.
        return json.dumps(document, default=str).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the record of a task that had ended.

        Raises:
            StoreCorruptError: `as_bytes` has not written that.
        """
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise StoreCorruptError(f"not a task's record: {exc}") from exc
        match document:
            case {
                "version": 1,
                "stages": list(stages),
                "result": dict(result),
                "error": None | [str(), str()] as error,
            }:
                known = [_stage(stage) for stage in stages[:MAX_STAGES]]
                return cls(known, result, None if error is None else tuple(error))
        raise StoreCorruptError("not a task's record, or not of version 1")


def _stage(document: object) -> Stage:
    match document:
        case {
            "stage": str(stage),
            "text": str(text),
            "data": None | dict() as data,
            "at_unix_ns": int(at_unix_ns),
        }:
            return Stage(stage, text, data, at_unix_ns)
    raise StoreCorruptError("not a stage in a task's record")
