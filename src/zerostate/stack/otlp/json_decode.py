"""OTLP/JSON to the model."""

import json
import sys
from dataclasses import dataclass
from typing import Final, NoReturn

from zerostate.errors import OtlpDecodeError
from zerostate.stack.otlp.json_fields import (
    INT64_MAX,
    INT64_MIN,
    UINT32_MAX,
    UINT64_MAX,
    JsonObject,
    as_enum,
    as_id,
    as_int,
    as_list,
    as_object,
    as_text,
    to_bytes,
    to_double,
    to_int,
    to_text,
)
from zerostate.stack.otlp.model import (
    MAX_VALUE_DEPTH,
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    AnyValue,
    Attributes,
    DecodedRequest,
    Event,
    Link,
    Resource,
    ResourceSpans,
    Scope,
    ScopeSpans,
    Span,
    SpanKind,
    Status,
    StatusCode,
    TraceBatch,
    ValueMap,
    id_problem,
    is_valid_id,
)
from zerostate.stack.otlp.protobuf_encode import encode_protobuf

_KINDS: Final = {f"SPAN_KIND_{kind.name}": int(kind) for kind in SpanKind}
_CODES: Final = {f"STATUS_CODE_{code.name}": int(code) for code in StatusCode}


@dataclass(slots=True)
class _Decoder:
    taken: int = 0
    rejected: int = 0
    because: str = ""

    def resource_spans(self, raw: object) -> ResourceSpans:
        owner = as_object(raw, "resourceSpans")
        resource = as_object(owner.get("resource"), "resource")
        return ResourceSpans(
            resource=Resource(_attributes(resource), _dropped(resource, "Attributes")),
            scope_spans=tuple(map(self.scope_spans, as_list(owner, "scopeSpans"))),
            schema_url=as_text(owner, "schemaUrl"),
        )

    def scope_spans(self, raw: object) -> ScopeSpans:
        owner = as_object(raw, "scopeSpans")
        scope = as_object(owner.get("scope"), "scope")
        spans = map(self.span, as_list(owner, "spans"))
        return ScopeSpans(
            scope=Scope(
                as_text(scope, "name"),
                as_text(scope, "version"),
                _attributes(scope),
                _dropped(scope, "Attributes"),
            ),
            spans=tuple(span for span in spans if span is not None),
            schema_url=as_text(owner, "schemaUrl"),
        )

    def span(self, raw: object) -> Span | None:
        owner = as_object(raw, "spans")
        trace_id, span_id = as_id(owner, "traceId"), as_id(owner, "spanId")
        parent = as_id(owner, "parentSpanId")
        if problem := id_problem(trace_id, span_id, parent):
            self.rejected += 1
            self.because = self.because or problem
            return None
        self.taken += 1
        status = as_object(owner.get("status"), "status")
        raw_links = as_list(owner, "links")
        links = tuple(link for one in raw_links if (link := _link(one)) is not None)
        return Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent if any(parent) else b"",
            trace_state=as_text(owner, "traceState"),
            flags=as_int(owner, "flags", 0, UINT32_MAX),
            name=sys.intern(as_text(owner, "name")),
            kind=as_enum(owner, "kind", _KINDS),
            start_ns=as_int(owner, "startTimeUnixNano", 0, UINT64_MAX),
            end_ns=as_int(owner, "endTimeUnixNano", 0, UINT64_MAX),
            attributes=_attributes(owner),
            dropped_attributes_count=_dropped(owner, "Attributes"),
            events=tuple(map(_event, as_list(owner, "events"))),
            dropped_events_count=_dropped(owner, "Events"),
            links=links,
            dropped_links_count=_dropped(owner, "Links") + len(raw_links) - len(links),
            status=Status(as_text(status, "message"), as_enum(status, "code", _CODES)),
        )


def decode_json(body: bytes) -> DecodedRequest:
    """Decode an ``ExportTraceServiceRequest`` in OTLP/JSON (UTF-8).

    Rejections are those of `decode_protobuf`, and ids that are not hex.

    Raises:
        OtlpDecodeError: `body` is not such a message; the text names the field.
    """
    try:
        root = json.loads(body.decode(), parse_constant=_refuse_constant)
    # ValueError: not UTF-8, not JSON, or an integer of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise OtlpDecodeError(f"not JSON: {error}") from error
    decoder = _Decoder()
    if not isinstance(root, dict):
        raise OtlpDecodeError("request: not a JSON object")
    resource_spans = tuple(map(decoder.resource_spans, as_list(root, "resourceSpans")))
    return DecodedRequest(
        batch=TraceBatch(
            resource_spans=resource_spans,
            payload=encode_protobuf(resource_spans),
            span_count=decoder.taken,
        ),
        rejected_spans=decoder.rejected,
        rejected_because=decoder.because,
    )


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _dropped(owner: JsonObject, what: str) -> int:
    return as_int(owner, f"dropped{what}Count", 0, UINT32_MAX)


def _event(raw: object) -> Event:
    owner = as_object(raw, "events")
    return Event(
        as_int(owner, "timeUnixNano", 0, UINT64_MAX),
        as_text(owner, "name"),
        _attributes(owner),
        _dropped(owner, "Attributes"),
    )


def _link(raw: object) -> Link | None:
    owner = as_object(raw, "links")
    trace_id, span_id = as_id(owner, "traceId"), as_id(owner, "spanId")
    if not is_valid_id(trace_id, TRACE_ID_BYTES) or not is_valid_id(
        span_id, SPAN_ID_BYTES
    ):
        return None
    return Link(
        trace_id,
        span_id,
        as_text(owner, "traceState"),
        _attributes(owner),
        _dropped(owner, "Attributes"),
        as_int(owner, "flags", 0, UINT32_MAX),
    )


def _attributes(owner: JsonObject) -> Attributes:
    return _pairs(as_list(owner, "attributes"), 0)


def _pairs(raw: list[object], depth: int) -> Attributes:
    pairs = []
    for one in raw:
        owner = as_object(one, "attributes")
        key = sys.intern(as_text(owner, "key"))
        pairs.append((key, _value(owner.get("value"), depth)))
    return tuple(pairs)


def _value(raw: object, depth: int) -> AnyValue:
    owner = as_object(raw, "value")
    known = [key for key in _READERS if owner.get(key) is not None]
    if not known:
        return None
    if len(known) > 1:
        raise OtlpDecodeError(f"value: both {known[0]} and {known[1]} are set")
    return _READERS[known[0]](owner[known[0]], depth)


def _string(raw: object, _depth: int) -> AnyValue:
    return to_text(raw, "stringValue")


def _bool(raw: object, _depth: int) -> AnyValue:
    if not isinstance(raw, bool):
        raise OtlpDecodeError("boolValue: not true or false")
    return raw


def _int(raw: object, _depth: int) -> AnyValue:
    return to_int(raw, "intValue", INT64_MIN, INT64_MAX)


def _double(raw: object, _depth: int) -> AnyValue:
    return to_double(raw, "doubleValue")


def _bytes(raw: object, _depth: int) -> AnyValue:
    return to_bytes(raw, "bytesValue")


def _array(raw: object, depth: int) -> AnyValue:
    values = as_list(as_object(raw, "arrayValue"), "values")
    return tuple([_value(one, _deeper(depth)) for one in values])


def _map(raw: object, depth: int) -> AnyValue:
    values = as_list(as_object(raw, "kvlistValue"), "values")
    return ValueMap(_pairs(values, _deeper(depth)))


def _deeper(depth: int) -> int:
    if depth >= MAX_VALUE_DEPTH:
        raise OtlpDecodeError(
            f"attribute value nested deeper than {MAX_VALUE_DEPTH} levels"
        )
    return depth + 1


_READERS: Final = {
    "stringValue": _string,
    "boolValue": _bool,
    "intValue": _int,
    "doubleValue": _double,
    "arrayValue": _array,
    "kvlistValue": _map,
    "bytesValue": _bytes,
}
