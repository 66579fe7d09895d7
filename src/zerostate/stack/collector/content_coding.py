"""``Content-Encoding`` undone, within bounds."""

import zlib
from typing import Final

CODINGS: Final = ("identity", "gzip", "deflate")
"""Content codings understood (RFC 9110, section 8.4.1)."""

MAX_GZIP_MEMBERS: Final = 16
"""Members of a gzip body: senders write one; each costs a decompressor and a copy."""

_MAX_EXPANSION: Final = 1032
"""Bytes that one byte can become: deflate writes 258 equal ones in two bits."""

_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}


class TooLargeError(Exception):
    """The decoded body would be longer than allowed. Stays within the collector."""


class MalformedBodyError(Exception):
    """The body is not in the coding it claims. Stays within the collector."""


def longest_decoded_bytes(body: bytes, coding: str, max_bytes: int) -> int:
    """Return how long `decode_body`'s result can be, without looking into `body`."""
    expansion = 1 if coding == "identity" else _MAX_EXPANSION
    return min(max_bytes, len(body) * expansion)


def decode_body(body: bytes, coding: str, max_bytes: int) -> bytes:
    """Return `body` without its coding, never holding more than `max_bytes` of it.

    Args:
        body: The bytes received.
        coding: One of `CODINGS`.
        max_bytes: The most that the result may have.

    Raises:
        TooLargeError: The result would be longer.
        MalformedBodyError: `body` is not in `coding`, or cut off.
    """
    if coding == "identity":
        if len(body) > max_bytes:
            raise TooLargeError
        return body
    parts: list[bytes] = []
    left_bytes = max_bytes
    for _ in range(MAX_GZIP_MEMBERS):
        decompressor = zlib.decompressobj(_WINDOW_BITS[coding])
        try:
            # One byte more than allowed tells a full body from a longer one.
            part = decompressor.decompress(body, left_bytes + 1)
        except zlib.error as error:
            raise MalformedBodyError(f"body is not {coding}") from error
        left_bytes -= len(part)
        if left_bytes < 0:
            raise TooLargeError
        parts.append(part)
        if not decompressor.eof:
            raise MalformedBodyError(f"{coding} body is cut off")
        body = decompressor.unused_data
        if not body:
            return b"".join(parts)
    raise MalformedBodyError(f"{coding} body has more than {MAX_GZIP_MEMBERS} members")
