"""One batch on disk: its bytes, and how to know that they are still the same."""

import os
import re
from pathlib import Path
from struct import Struct
from typing import Final, final
from zlib import crc32

SUFFIX: Final = ".otlp"
_PARTIAL: Final = ".partial"
_CORRUPT: Final = ".corrupt"
_NAME: Final = re.compile(r"([0-9]{16})-([0-9]{1,9})\.otlp")
_PRIVATE_FILE: Final = 0o600

_MAGIC: Final = b"ZSP1"
_HEADER: Final = Struct(">4sIII")
"""Magic, spans, bytes of payload, CRC-32 of payload."""

HEADER_BYTES: Final = _HEADER.size
"""What a file is longer than its payload, in bytes."""


@final
class SpoolEntry:
    """One batch on disk."""

    __slots__ = ("is_in_use", "is_recovered", "path", "size_bytes", "spans")

    def __init__(
        self, path: Path, spans: int, size_bytes: int, *, is_recovered: bool
    ) -> None:
        self.path = path
        self.spans = spans
        self.size_bytes = size_bytes
        self.is_recovered = is_recovered
        """Written by an earlier process."""
        self.is_in_use = False
        """Being delivered: not the one to make room."""


def file_name(number: int, spans: int) -> str:
    """Return a file's name: sorted by `number`, and telling even a corrupt one's spans."""
    return f"{number:016d}-{spans}{SUFFIX}"


def parse_name(name: str) -> tuple[int, int] | None:
    """Return number and spans of a file; None for the name of something else."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def write(path: Path, payload: bytes, spans: int) -> None:
    """Write a batch durably: once this returns, it outlives a crash of the machine.

    Raises:
        OSError: The disk refused; nothing of that name is there.
    """
    partial = path.with_name(path.name + _PARTIAL)
    header = _HEADER.pack(_MAGIC, spans, len(payload), crc32(payload))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(partial, flags, _PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(header)
            file.write(payload)
            file.flush()
            os.fdatasync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable.

    Raises:
        OSError: The disk refused.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> bytes | None:
    """Return a batch's payload; None if the file is not what was written.

    Raises:
        OSError: The disk refused.
    """
    data = path.read_bytes()
    if len(data) < HEADER_BYTES:
        return None
    magic, _, size, checksum = _HEADER.unpack_from(data)
    payload = data[HEADER_BYTES:]
    if magic != _MAGIC or len(payload) != size or crc32(payload) != checksum:
        return None
    return payload


def set_aside(path: Path, max_files: int) -> None:
    """Keep a corrupt file for whoever wants to look, at most `max_files` of them.

    Raises:
        OSError: The disk refused.
    """
    path.replace(path.with_name(path.name + _CORRUPT))
    kept = sorted(path.parent.glob("*" + _CORRUPT))
    for oldest in kept[: max(len(kept) - max_files, 0)]:
        oldest.unlink(missing_ok=True)


def remove_partial(directory: Path) -> None:
    """Delete what a crash left half written.

    Raises:
        OSError: The disk refused.
    """
    for path in directory.glob("*" + _PARTIAL):
        path.unlink(missing_ok=True)
