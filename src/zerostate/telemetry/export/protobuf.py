"""Just enough of protobuf's wire format to read replies and our own requests."""

from collections.abc import Iterator
from struct import Struct
from typing import Final

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_MAX_VARINT_BYTES: Final = 10
_UINT64: Final = (1 << 64) - 1
_SIGN: Final = 1 << 63

_U64: Final = Struct("<Q")
_U32: Final = Struct("<I")

Value = int | bytes
"""Varints and fixed-size values unsigned; strings and messages as bytes."""


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field, in the order of the bytes.

    Raises:
        ValueError: The bytes are not a message.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        value: Value
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind == _BYTES:
            size, start = _varint(message, at)
            at = start + size
            value = message[start:at]
        elif kind == _FIXED64:
            at += 8
            value = _U64.unpack(message[at - 8 : at])[0] if at <= end else 0
        elif kind == _FIXED32:
            at += 4
            value = _U32.unpack(message[at - 4 : at])[0] if at <= end else 0
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at > end:
            raise ValueError(f"field {number} reaches beyond the message")
        yield number, value


def signed(value: Value) -> int:
    """Return a varint as the int64 or int32 it stands for.

    Raises:
        ValueError: The field holds bytes.
    """
    if isinstance(value, bytes):
        raise ValueError("bytes where a number belongs")  # noqa: TRY004  # bad input
    return value - (1 << 64) if value >= _SIGN else value


def raw(value: Value) -> bytes:
    """Return a field's bytes.

    Raises:
        ValueError: The field holds a number.
    """
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")  # noqa: TRY004  # bad input
    return value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004  # the bit that says: one more byte follows
            return value & _UINT64, at
    raise ValueError(f"no varint at byte {at}")
