"""A trace in the JSON of Jaeger's legacy API.

Shape and tag names: Jaeger's ``internal/uimodel`` and its translation from OTLP
(``jaegertracing/jaeger``, v2.20.0). Times are in microseconds there.
"""

import base64
from collections.abc import Iterable
from typing import Final

from zerostate.stack.otlp import (
    AnyValue,
    Attributes,
    Event,
    Scope,
    Span,
    SpanKind,
    Status,
    StatusCode,
)
from zerostate.stack.otlp.json_encode import json_double
from zerostate.stack.store import StoredSpan, Trace
from zerostate.stack.store.tags import value_text
from zerostate.units import NS_PER_US

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Largest integer that JavaScript holds exactly; larger ones are sent as text."""

_KIND_TAGS: Final = {
    int(kind): kind.name.lower() for kind in SpanKind if kind != SpanKind.UNSPECIFIED
}
_TRACE_FLAGS: Final = 0xFF

JsonDict = dict[str, object]


def trace_to_jaeger(trace: Trace) -> JsonDict:
    """Return one element of the ``data`` of ``/api/traces``."""
    processes: dict[tuple[str, Attributes], str] = {}
    spans = [_span(stored, _process_id(stored, processes)) for stored in trace.spans]
    return {
        "traceID": trace.trace_id.hex(),
        "spans": spans,
        "processes": {
            process_id: {"serviceName": service, "tags": _tags(attributes)}
            for (service, attributes), process_id in processes.items()
        },
        "warnings": None,
    }


def _process_id(
    stored: StoredSpan, processes: dict[tuple[str, Attributes], str]
) -> str:
    origin = stored.origin
    attributes = tuple(
        one for one in origin.resource.attributes if one[0] != "service.name"
    )
    key = (origin.service_name, attributes)
    return processes.setdefault(key, f"p{len(processes) + 1}")


def _span(stored: StoredSpan, process_id: str) -> JsonDict:
    span = stored.span
    found: JsonDict = {
        "traceID": span.trace_id.hex(),
        "spanID": span.span_id.hex(),
        "operationName": span.name,
        "references": _references(span),
        "startTime": span.start_ns // NS_PER_US,
        "duration": span.duration_ns // NS_PER_US,
        "tags": _tags(span.attributes) + _span_tags(span, stored.origin.scope),
        "logs": [_log(event) for event in span.events],
        "processID": process_id,
        "warnings": None,
    }
    if flags := span.flags & _TRACE_FLAGS:
        found["flags"] = flags
    return found


def _references(span: Span) -> list[JsonDict]:
    references = []
    if span.parent_span_id:
        references.append(_reference("CHILD_OF", span.trace_id, span.parent_span_id))
    return references + [
        _reference("FOLLOWS_FROM", link.trace_id, link.span_id) for link in span.links
    ]


def _reference(kind: str, trace_id: bytes, span_id: bytes) -> JsonDict:
    return {"refType": kind, "traceID": trace_id.hex(), "spanID": span_id.hex()}


def _span_tags(span: Span, scope: Scope) -> list[JsonDict]:
    tags: list[tuple[str, AnyValue]] = []
    if scope.name:
        tags.append(("otel.scope.name", scope.name))
    if scope.version:
        tags.append(("otel.scope.version", scope.version))
    if kind := _KIND_TAGS.get(span.kind):
        tags.append(("span.kind", kind))
    tags += _status_tags(span.status)
    if span.trace_state:
        tags.append(("w3c.tracestate", span.trace_state))
    return _tags(tags)


def _status_tags(status: Status) -> list[tuple[str, AnyValue]]:
    tags: list[tuple[str, AnyValue]] = []
    if status.code == StatusCode.ERROR:
        tags += [("otel.status_code", "ERROR"), ("error", True)]
    elif status.code == StatusCode.OK:
        tags.append(("otel.status_code", "OK"))
    if status.message:
        tags.append(("otel.status_description", status.message))
    return tags


def _log(event: Event) -> JsonDict:
    name = [("event", event.name)] if event.name else []
    return {
        "timestamp": event.time_ns // NS_PER_US,
        "fields": _tags([*name, *event.attributes]),
    }


def _tags(attributes: Iterable[tuple[str, AnyValue]]) -> list[JsonDict]:
    return [_tag(key, value) for key, value in attributes]


def _tag(key: str, value: AnyValue) -> JsonDict:
    # bool first: in Python it is an int.
    match value:
        case bool():
            return {"key": key, "type": "bool", "value": value}
        case int():
            safe = abs(value) <= MAX_SAFE_INTEGER
            return {
                "key": key,
                "type": "int64",
                "value": value if safe else str(value),
            }
        case float():
            return {"key": key, "type": "float64", "value": json_double(value)}
        case bytes():
            text = base64.b64encode(value).decode()
            return {"key": key, "type": "binary", "value": text}
        case None:
            return {"key": key, "type": "string", "value": ""}
        case _:
            return {"key": key, "type": "string", "value": value_text(value)}
