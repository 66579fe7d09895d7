"""The format of one write-ahead log file, as pure functions over bytes.

A file is a header (magic and version, 8 bytes; the file's marker, 8 random bytes) and
records; a record is

    marker (8 bytes) | payload length (u32) | CRC-32 of length and payload (u32) | payload

little-endian. The payload is an OTLP ``ExportTraceServiceRequest`` in protobuf, never
empty. The marker lets a reader find the next record after a damaged one: losing one
record must not lose all that follow it. It is random, so that no sender can put
records of its own making into a payload.
"""

import secrets
import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

from zerostate.errors import StoreCorruptError

MAGIC: Final = b"ZSWAL\x00\x00\x01"
"""Name of the format (5 bytes), two zero bytes, format version 1."""

MARKER_BYTES: Final = 8
"""Length of a file's marker."""

HEADER_BYTES: Final = len(MAGIC) + MARKER_BYTES
"""Length of a file's header."""

MAX_PAYLOAD_BYTES: Final = 256 * 1024 * 1024
"""Longest payload believed in a length field; the collector takes far less."""

_PREFIX: Final = struct.Struct(f"<{MARKER_BYTES}sII")
_LENGTH: Final = struct.Struct("<I")

RECORD_OVERHEAD_BYTES: Final = _PREFIX.size
"""Bytes that a record adds to its payload."""


@dataclass(slots=True)
class LogContents:
    """What was found in one log file.

    Attributes:
        payloads: The intact records' payloads, in order.
        end: Offset just after the last intact record: where writing may go on.
        torn_bytes: Bytes after `end`: a write that never finished.
        corrupt_regions: Damaged stretches that have an intact record after them.
        corrupt_bytes: Bytes in these.
    """

    payloads: list[bytes] = field(default_factory=list)
    end: int = 0
    torn_bytes: int = 0
    corrupt_regions: int = 0
    corrupt_bytes: int = 0


def new_header() -> bytes:
    """Return the header of a new file, with a marker of its own."""
    return MAGIC + secrets.token_bytes(MARKER_BYTES)


def encode_record(header: bytes, payload: bytes) -> bytes:
    """Return `payload` as a record of the file that has `header`.

    Raises:
        ValueError: `payload` is empty or longer than `MAX_PAYLOAD_BYTES`.
    """
    if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
        raise ValueError(f"a record holds 1 to {MAX_PAYLOAD_BYTES} bytes")
    marker = header[len(MAGIC) :]
    return _PREFIX.pack(marker, len(payload), _checksum(payload)) + payload


def read_log(contents: bytes, name: str) -> LogContents:
    """Read a whole log file.

    What follows the last intact record counts as torn: it is either a write cut off
    by a crash, which was never acknowledged, or damage that cannot be told from one.

    Args:
        contents: The file's bytes.
        name: The file's path, for the error.

    Raises:
        StoreCorruptError: The file begins with something else than our header.
    """
    found = LogContents()
    if len(contents) < HEADER_BYTES and MAGIC.startswith(contents[: len(MAGIC)]):
        found.torn_bytes = len(contents)
        return found
    if not contents.startswith(MAGIC):
        raise StoreCorruptError(
            f"{name} is not a write-ahead log of this version; "
            "move it out of the way, or read it with the version that wrote it"
        )
    marker = contents[len(MAGIC) : HEADER_BYTES]
    found.end = HEADER_BYTES
    position = found.end
    while position < len(contents):
        payload = _payload_at(contents, position, marker)
        if payload is None:
            position = contents.find(marker, position + 1)
            if position < 0:
                break
            continue
        if position > found.end:
            found.corrupt_regions += 1
            found.corrupt_bytes += position - found.end
        found.payloads.append(payload)
        position += RECORD_OVERHEAD_BYTES + len(payload)
        found.end = position
    found.torn_bytes = len(contents) - found.end
    return found


def _payload_at(contents: bytes, position: int, marker: bytes) -> bytes | None:
    start = position + RECORD_OVERHEAD_BYTES
    if start > len(contents):
        return None
    found, length, checksum = _PREFIX.unpack_from(contents, position)
    if found != marker or not 0 < length <= min(
        MAX_PAYLOAD_BYTES, len(contents) - start
    ):
        return None
    payload = contents[start : start + length]
    return payload if _checksum(payload) == checksum else None


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))
