"""The model to OTLP/JSON, as Jaeger's v3 API gives it out.

Hex ids, lowerCamelCase, 64-bit integers as strings, enums as numbers. Fields that
readers look at without asking are always there (ids, name, kind, times, attributes,
status); counters and flags only when they are not zero.
"""

import base64
import math
from collections.abc import Iterable

from zerostate.stack.otlp.model import (
    AnyValue,
    Attributes,
    Event,
    Link,
    Resource,
    ResourceSpans,
    Scope,
    ScopeSpans,
    Span,
    Status,
    ValueMap,
)

JsonDict = dict[str, object]
"""A JSON object that ``json.dumps(..., allow_nan=False)`` takes."""


def resource_spans_to_json(resource_spans: Iterable[ResourceSpans]) -> JsonDict:
    """Return ``{"resourceSpans": [...]}``; `decode_json` of its text gives it back."""
    return {"resourceSpans": [_resource_spans(one) for one in resource_spans]}


def _resource_spans(model: ResourceSpans) -> JsonDict:
    return {
        "resource": _resource(model.resource),
        "scopeSpans": [_scope_spans(one) for one in model.scope_spans],
        **_if_set(schemaUrl=model.schema_url),
    }


def _resource(model: Resource) -> JsonDict:
    return {
        "attributes": _attributes(model.attributes),
        **_if_set(droppedAttributesCount=model.dropped_attributes_count),
    }


def _scope_spans(model: ScopeSpans) -> JsonDict:
    return {
        "scope": _scope(model.scope),
        "spans": [_span(one) for one in model.spans],
        **_if_set(schemaUrl=model.schema_url),
    }


def _scope(model: Scope) -> JsonDict:
    return {
        "name": model.name,
        "version": model.version,
        "attributes": _attributes(model.attributes),
        **_if_set(droppedAttributesCount=model.dropped_attributes_count),
    }


def _span(model: Span) -> JsonDict:
    return {
        "traceId": model.trace_id.hex(),
        "spanId": model.span_id.hex(),
        "parentSpanId": model.parent_span_id.hex(),
        "name": model.name,
        "kind": model.kind,
        "startTimeUnixNano": str(model.start_ns),
        "endTimeUnixNano": str(model.end_ns),
        "attributes": _attributes(model.attributes),
        "events": [_event(one) for one in model.events],
        "links": [_link(one) for one in model.links],
        "status": _status(model.status),
        **_if_set(
            traceState=model.trace_state,
            flags=model.flags,
            droppedAttributesCount=model.dropped_attributes_count,
            droppedEventsCount=model.dropped_events_count,
            droppedLinksCount=model.dropped_links_count,
        ),
    }


def _status(model: Status) -> JsonDict:
    return _if_set(message=model.message, code=model.code)


def _event(model: Event) -> JsonDict:
    return {
        "timeUnixNano": str(model.time_ns),
        "name": model.name,
        "attributes": _attributes(model.attributes),
        **_if_set(droppedAttributesCount=model.dropped_attributes_count),
    }


def _link(model: Link) -> JsonDict:
    return {
        "traceId": model.trace_id.hex(),
        "spanId": model.span_id.hex(),
        "attributes": _attributes(model.attributes),
        **_if_set(
            traceState=model.trace_state,
            droppedAttributesCount=model.dropped_attributes_count,
            flags=model.flags,
        ),
    }


def _attributes(attributes: Attributes) -> list[JsonDict]:
    return [{"key": key, "value": _value(value)} for key, value in attributes]


def _value(value: AnyValue) -> JsonDict:  # noqa: PLR0911 - one return a type
    # bool first: in Python it is an int.
    match value:
        case bool():
            return {"boolValue": value}
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": json_double(value)}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case tuple():
            return {"arrayValue": {"values": [_value(one) for one in value]}}
        case ValueMap(entries):
            return {"kvlistValue": {"values": _attributes(entries)}}
        case None:
            return {}


def json_double(value: float) -> float | str:
    """Return `value`, or its proto3 JSON name where JSON has no number for it."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _if_set(**fields: str | int) -> JsonDict:
    return {key: value for key, value in fields.items() if value}
