"""Export requests from protobuf to OTLP/JSON, without protobuf's library.

The mapping is protobuf's JSON, but trace and span ids are hexadecimal and enums are
numbers (OTLP specification, "JSON Protobuf Encoding"). Fields unknown here are left
out, as protobuf does.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, isnan
from struct import Struct
from typing import Final

from zerostate.telemetry.export import protobuf
from zerostate.telemetry.export.protobuf import Value

MAX_DEPTH: Final = 100
"""Deepest nesting read: protobuf's own limit."""

_DOUBLE: Final = Struct("<d")
_U64: Final = Struct("<Q")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: "Callable[[Value], object] | Mapping[int, _Field]"
    """How to read one value; or the fields of a message."""
    is_repeated: bool = False


def _text(value: Value) -> object:
    return protobuf.raw(value).decode("utf-8", "replace")


def _hex(value: Value) -> object:
    return protobuf.raw(value).hex()


def _base64(value: Value) -> object:
    return b64encode(protobuf.raw(value)).decode("ascii")


def _number(value: Value) -> object:
    return protobuf.signed(value)


def _unsigned(value: Value) -> object:
    return str(_whole(value))


def _int64(value: Value) -> object:
    return str(protobuf.signed(value))


def _bool(value: Value) -> object:
    return bool(protobuf.signed(value))


def _double(value: Value) -> object:
    number: float = _DOUBLE.unpack(_U64.pack(_whole(value)))[0]
    if isfinite(number):
        return number
    if isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _whole(value: Value) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes where a number belongs")  # noqa: TRY004  # bad input
    return value


_ANY: Final[dict[int, _Field]] = {
    1: _Field("stringValue", _text),
    2: _Field("boolValue", _bool),
    3: _Field("intValue", _int64),
    4: _Field("doubleValue", _double),
    7: _Field("bytesValue", _base64),
}
_KEY_VALUE: Final = {1: _Field("key", _text), 2: _Field("value", _ANY)}
_ANY[5] = _Field("arrayValue", {1: _Field("values", _ANY, is_repeated=True)})
_ANY[6] = _Field("kvlistValue", {1: _Field("values", _KEY_VALUE, is_repeated=True)})


def _attributes(is_called: str = "attributes") -> _Field:
    return _Field(is_called, _KEY_VALUE, is_repeated=True)


_DROPPED: Final = "droppedAttributesCount"
_EVENT: Final = {
    1: _Field("timeUnixNano", _unsigned),
    2: _Field("name", _text),
    3: _attributes(),
    4: _Field(_DROPPED, _number),
}
_LINK: Final = {
    1: _Field("traceId", _hex),
    2: _Field("spanId", _hex),
    3: _Field("traceState", _text),
    4: _attributes(),
    5: _Field(_DROPPED, _number),
    6: _Field("flags", _number),
}
_SPAN: Final = {
    1: _Field("traceId", _hex),
    2: _Field("spanId", _hex),
    3: _Field("traceState", _text),
    4: _Field("parentSpanId", _hex),
    5: _Field("name", _text),
    6: _Field("kind", _number),
    7: _Field("startTimeUnixNano", _unsigned),
    8: _Field("endTimeUnixNano", _unsigned),
    9: _attributes(),
    10: _Field(_DROPPED, _number),
    11: _Field("events", _EVENT, is_repeated=True),
    12: _Field("droppedEventsCount", _number),
    13: _Field("links", _LINK, is_repeated=True),
    14: _Field("droppedLinksCount", _number),
    15: _Field("status", {2: _Field("message", _text), 3: _Field("code", _number)}),
    16: _Field("flags", _number),
}
_SCOPE: Final = {
    1: _Field("name", _text),
    2: _Field("version", _text),
    3: _attributes(),
    4: _Field(_DROPPED, _number),
}
_SCOPE_SPANS: Final = {
    1: _Field("scope", _SCOPE),
    2: _Field("spans", _SPAN, is_repeated=True),
    3: _Field("schemaUrl", _text),
}
_RESOURCE_SPANS: Final = {
    1: _Field("resource", {1: _attributes(), 2: _Field(_DROPPED, _number)}),
    2: _Field("scopeSpans", _SCOPE_SPANS, is_repeated=True),
    3: _Field("schemaUrl", _text),
}
_REQUEST: Final = {1: _Field("resourceSpans", _RESOURCE_SPANS, is_repeated=True)}


def json_line(request: bytes) -> bytes:
    """Return an ``ExportTraceServiceRequest`` as one line of OTLP/JSON.

    Raises:
        ValueError: The bytes are not one.
    """
    document = _message(request, _REQUEST, MAX_DEPTH)
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8") + b"\n"


def _message(
    message: bytes, known: Mapping[int, _Field], depth: int
) -> dict[str, object]:
    if depth <= 0:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    found: dict[str, object] = {}
    for number, value in protobuf.fields(message):
        field = known.get(number)
        if field is None:
            continue
        if isinstance(field.kind, Mapping):
            read: object = _message(protobuf.raw(value), field.kind, depth - 1)
        else:
            read = field.kind(value)
        if not field.is_repeated:
            found[field.name] = read
            continue
        items = found.setdefault(field.name, [])
        if isinstance(items, list):
            items.append(read)
    return found
