"""OTLP into a file: one JSON document a line (OTLP file exporter specification)."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from typing_extensions import override

from zerostate.errors import ConfigError
from zerostate.telemetry.export.batch import (
    Delivered,
    Outcome,
    Retryable,
    Target,
    Transport,
)
from zerostate.telemetry.export.otlp_json import json_line

COMPONENT_TYPE: Final = "otlp_file_span_exporter"
"""Not in the conventions, which list none for files; formed as theirs are."""

_PRIVATE_FILE: Final = 0o600
_MAX_FILES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTarget(Target):
    """A file that grows, and a bounded number of older ones beside it.

    One process a file: two would rotate it from under each other.
    """

    path: str
    """The newest lines; older ones are in ``path.1``, ``path.2`` and so on."""

    max_bytes: int = 64 * 1024 * 1024
    """A line that would make the file longer starts a new one (64 MiB)."""

    max_files: int = 4
    """Files kept in all; the oldest is deleted."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: With every problem at once.
        """
        problems = []
        if not self.path:
            problems.append("path: empty; name the file to write")
        if self.max_bytes < 1:
            problems.append(f"max_bytes: {self.max_bytes} is below 1")
        if not 1 <= self.max_files <= _MAX_FILES:
            problems.append(
                f"max_files: {self.max_files} is not between 1 and {_MAX_FILES}"
            )
        if problems:
            raise ConfigError(*problems)

    @property
    @override
    def component_type(self) -> str:
        """``otel.component.type``."""
        return COMPONENT_TYPE

    @property
    @override
    def server(self) -> tuple[str, int]:
        """None."""
        return "", 0

    @override
    def open(self) -> Transport:
        """Return a transport, which opens the file when it is first used."""
        parent = Path(self.path).parent
        if not parent.is_dir():
            raise ConfigError(f"path: {parent} is not a directory; create it first")
        return _FileTransport(self)


@final
class _FileTransport(Transport):
    def __init__(self, target: FileTarget) -> None:
        self._target = target
        self._path = Path(target.path)
        self._descriptor: int | None = None
        self._size_bytes = 0

    @override
    def prepare(self, payload: bytes) -> bytes:
        return json_line(payload)

    @override
    def send(self, body: bytes, timeout_s: float) -> Outcome:
        try:
            self._write(body)
        except OSError as error:
            self.close()
            return Retryable("file", f"{self._path}: {error.strerror}")
        return Delivered()

    def _write(self, line: bytes) -> None:
        descriptor = self._open()
        if self._size_bytes and self._size_bytes + len(line) > self._target.max_bytes:
            self._rotate()
            descriptor = self._open()
        written = os.write(descriptor, line)
        if written < len(line):
            # The disk is full: half a line would make the next one unreadable too.
            os.ftruncate(descriptor, self._size_bytes)
            raise OSError(28, os.strerror(28))
        self._size_bytes += written

    def _open(self) -> int:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, _PRIVATE_FILE)
            self._size_bytes = os.fstat(self._descriptor).st_size
        return self._descriptor

    def _rotate(self) -> None:
        self.close()
        names = [self._path]
        names += [
            self._path.with_name(f"{self._path.name}.{number}")
            for number in range(1, self._target.max_files)
        ]
        names[-1].unlink(missing_ok=True)
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if newer.exists():
                newer.replace(older)

    @override
    def abort(self) -> None:
        """Do nothing: a write to a file cannot be interrupted."""

    @override
    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @override
    def leave_to_parent(self) -> None:
        self.close()
