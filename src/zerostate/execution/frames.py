"""Frames between a node and its worker process: a JSON header and raw bytes.

``header length, body length`` (little-endian, 32 bits each), header, body. No pickle:
neither side runs what the other sends.
"""

import json
import struct
from typing import Any, Final

MAX_HEADER_BYTES: Final = 64 << 10
"""Largest header: a manifest's arguments at their largest, escaped."""

MAX_DATA_BYTES: Final = 16 << 20
"""Largest module, input or output."""

MAX_BODY_BYTES: Final = 64 << 20
"""Largest body: what a module compiles to, 2.5 to 5 times its size."""

PREFIX_BYTES: Final = 8
"""Length of the two lengths."""

_PREFIX: Final = struct.Struct("<II")


class FrameError(Exception):
    """The other side does not speak frames, or sent one that is too large."""


def encode_frame(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return one frame.

    Raises:
        FrameError: It would be too large.
    """
    encoded = json.dumps(header, separators=(",", ":")).encode()
    _check(len(encoded), len(body))
    return _PREFIX.pack(len(encoded), len(body)) + encoded + body


def decode_prefix(prefix: bytes) -> tuple[int, int]:
    """Return the lengths of header and body.

    Raises:
        FrameError: Either is over its bound.
    """
    header_bytes, body_bytes = _PREFIX.unpack(prefix)
    _check(header_bytes, body_bytes)
    return header_bytes, body_bytes


def decode_header(data: bytes) -> dict[str, Any]:
    """Return the header.

    Raises:
        FrameError: It is not a JSON object.
    """
    try:
        header = json.loads(data)
    except (RecursionError, ValueError) as exc:
        raise FrameError("the header is not JSON") from exc
    if not isinstance(header, dict):
        raise FrameError("the header is not a JSON object")
    return header


def _check(header_bytes: int, body_bytes: int) -> None:
    if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise FrameError(f"frame of {header_bytes} + {body_bytes} bytes is too large")
