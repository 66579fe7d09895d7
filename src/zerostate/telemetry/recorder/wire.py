"""The few pieces of protobuf's wire format that OTLP spans need.

Written by hand: building the generated messages and serialising them costs ten times as
much as all the rest of a span. Field numbers are those of ``opentelemetry/proto``
1.9 (``common.proto``, ``resource.proto``, ``trace.proto``).
"""

from collections.abc import Mapping
from struct import Struct
from typing import Final

from opentelemetry.util.types import AnyValue

_SMALL: Final = 2048
"""Varints kept ready; longer than most spans. About 70 KB."""

_LOW_BITS: Final = 0x7F
_INT64_MIN: Final = -(1 << 63)
_UINT64: Final = 1 << 64
_UINT32_MAX: Final = (1 << 32) - 1
_MAX_DECIMAL_BITS: Final = 8192
"""Widest integer written out in decimal, in bits: Python itself refuses beyond 4,300
digits."""

pack_double: Final = Struct("<d").pack
"""A double as protobuf has it (fixed64)."""


def _long_varint(number: int) -> bytes:
    out = bytearray()
    while number > _LOW_BITS:
        out.append(number & _LOW_BITS | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


SMALL_VARINTS: Final = tuple(_long_varint(number) for number in range(_SMALL))
"""Varints of the numbers below its length."""


def varint(number: int) -> bytes:
    """Return the varint of `number`, which is from 0 to 2**64 - 1."""
    return SMALL_VARINTS[number] if number < _SMALL else _long_varint(number)


def count_varint(count: int) -> bytes:
    """Return the varint of `count` as a uint32, at most its largest number."""
    return varint(min(count, _UINT32_MAX))


def delimited(tag: bytes, body: bytes) -> bytes:
    """Return the length-delimited field `tag` with `body`."""
    return tag + varint(len(body)) + body


def text_bytes(text: str) -> bytes:
    """Return `text` as UTF-8; a lone surrogate, which UTF-8 has not, as its escape.

    Protobuf parsers refuse a whole request for one string that is not UTF-8.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def any_value(value: AnyValue) -> bytes:
    """Return the body of an ``AnyValue`` message; `value` is cleaned.

    An integer wider than 64 bits, which OTLP has not, becomes its decimal text.
    """
    match value:
        case str():
            body = delimited(b"\x0a", text_bytes(value))
        case bool():
            body = b"\x10\x01" if value else b"\x10\x00"
        case int():
            body = _int_value(value)
        case float():
            body = b"\x21" + pack_double(value)
        case None:
            body = b""
        case bytes():
            body = delimited(b"\x3a", value)
        case Mapping():
            body = delimited(b"\x32", key_values(b"\x0a", value))
        case _:
            items = [delimited(b"\x0a", any_value(item)) for item in value]
            body = delimited(b"\x2a", b"".join(items))
    return body


def key_values(tag: bytes, attributes: Mapping[str, AnyValue]) -> bytes:
    """Return `attributes` as repeated ``KeyValue`` fields `tag`."""
    return b"".join(key_value(tag, key, value) for key, value in attributes.items())


def key_value(tag: bytes, key: str, value: AnyValue) -> bytes:
    """Return one ``KeyValue`` field `tag`."""
    body = delimited(b"\x0a", text_bytes(key)) + delimited(b"\x12", any_value(value))
    return delimited(tag, body)


def _int_value(value: int) -> bytes:
    if _INT64_MIN <= value < -_INT64_MIN:
        return b"\x18" + varint(value if value >= 0 else value + _UINT64)
    if value.bit_length() > _MAX_DECIMAL_BITS:
        return any_value(f"integer of {value.bit_length()} bits")
    return any_value(str(value))
