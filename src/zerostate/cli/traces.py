"""A trace as the command line sees it, read from the query API's OTLP-JSON."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from zerostate.errors import QueryError

AttributeValue = (
    None
    | bool
    | int
    | float
    | str
    | list["AttributeValue"]
    | dict[str, "AttributeValue"]
)
"""A typed attribute value; bytes come as base64 text."""

KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
"""Span kinds by number (opentelemetry/proto/trace/v1/trace.proto, Span.SpanKind)."""

STATUSES: Final = ("UNSET", "OK", "ERROR")
"""Status codes by number (the same file, Status.StatusCode)."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened during a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A span of this or another trace that this one points to."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpan:
    """One span."""

    span_id: str
    parent_span_id: str | None = None
    name: str
    service: str = "?"
    kind: str = "INTERNAL"
    """OpenTelemetry's upper-case name, e.g. ``SERVER``."""
    status: str = "UNSET"
    status_message: str = ""
    start_ns: int = 0
    duration_ns: int = 0
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    resource: Mapping[str, AttributeValue] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """All stored spans of one trace, by start."""

    trace_id: str
    spans: tuple[TraceSpan, ...]

    def roots(self) -> list[TraceSpan]:
        """Return the spans that say they have no parent."""
        return [span for span in self.spans if span.parent_span_id is None]

    def missing_parents(self) -> Counter[str]:
        """Return the ids of parents that never arrived, and how many miss each."""
        present = {span.span_id for span in self.spans}
        return Counter(
            span.parent_span_id
            for span in self.spans
            if span.parent_span_id is not None and span.parent_span_id not in present
        )

    def services(self) -> list[str]:
        """Return the names of the services in it, in order of appearance."""
        return list(dict.fromkeys(span.service for span in self.spans))


def parse_trace(document: object, trace_id: str) -> Trace:
    """Return the trace in an answer of ``/api/v3/traces/{id}``.

    Raises:
        QueryError: `document` is not ``{"result": {"resourceSpans": [...]}}`` with
            spans as in the OTLP specification, "JSON Protobuf Encoding".
    """
    try:
        resource_spans = _dict(_dict(document)["result"]).get("resourceSpans", [])
        spans = list(_spans(resource_spans))
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise QueryError(f"the answer is not a trace: {exc!r}") from exc
    spans.sort(key=lambda span: (span.start_ns, -span.duration_ns))
    return Trace(trace_id, tuple(spans))


def _spans(resource_spans: object) -> Iterable[TraceSpan]:
    for group in map(_dict, _list(resource_spans)):
        resource = _attributes(_dict(group.get("resource", {})))
        for scope in map(_dict, _list(group.get("scopeSpans", []))):
            for span in map(_dict, _list(scope.get("spans", []))):
                yield _span(span, resource)


def _span(
    raw: Mapping[str, object], resource: Mapping[str, AttributeValue]
) -> TraceSpan:
    start_ns = _int(raw.get("startTimeUnixNano", 0))
    status = _dict(raw.get("status", {}))
    parent = str(raw.get("parentSpanId", "")).lower()
    return TraceSpan(
        span_id=str(raw["spanId"]).lower(),
        parent_span_id=parent if parent.strip("0") else None,
        name=str(raw.get("name", "")),
        service=str(resource.get("service.name", "?")),
        kind=_enum(raw.get("kind", 0), "SPAN_KIND_", KINDS),
        status=_enum(status.get("code", 0), "STATUS_CODE_", STATUSES),
        status_message=str(status.get("message", "")),
        start_ns=start_ns,
        duration_ns=max(0, _int(raw.get("endTimeUnixNano", 0)) - start_ns),
        attributes=_attributes(raw),
        resource=resource,
        events=tuple(_event(each) for each in map(_dict, _list(raw.get("events", [])))),
        links=tuple(_link(each) for each in map(_dict, _list(raw.get("links", [])))),
    )


def _event(raw: Mapping[str, object]) -> SpanEvent:
    time_ns = _int(raw.get("timeUnixNano", 0))
    return SpanEvent(str(raw.get("name", "")), time_ns, _attributes(raw))


def _link(raw: Mapping[str, object]) -> SpanLink:
    trace_id, span_id = str(raw["traceId"]).lower(), str(raw["spanId"]).lower()
    return SpanLink(trace_id, span_id, _attributes(raw))


def _attributes(holder: Mapping[str, object]) -> dict[str, AttributeValue]:
    pairs = map(_dict, _list(holder.get("attributes", [])))
    return {str(pair["key"]): _value(pair.get("value", {})) for pair in pairs}


def _value(raw: object) -> AttributeValue:
    value: AttributeValue = None
    match raw:
        case {"stringValue": str(text)} | {"bytesValue": str(text)}:
            value = text
        case {"boolValue": bool(flag)}:
            value = flag
        case {"intValue": number}:
            value = _int(number)
        case {"doubleValue": number}:
            value = _float(number)
        case {"arrayValue": dict(array)}:
            value = [_value(each) for each in _list(array.get("values", []))]
        case {"kvlistValue": dict(pairs)}:
            value = dict(_attributes({"attributes": pairs.get("values", [])}))
        case _:
            pass
    return value


def _float(raw: object) -> float | str:
    number = float(raw) if isinstance(raw, (int, float, str)) else math.nan
    # JSON has no NaN and no infinity; OTLP-JSON writes them as text, and so do we.
    return number if math.isfinite(number) else str(raw)


def _int(raw: object) -> int:
    if isinstance(raw, (int, str)):
        return int(raw)
    raise TypeError(f"not a number: {str(raw)[:80]!r}")


def _enum(raw: object, prefix: str, names: tuple[str, ...]) -> str:
    if isinstance(raw, int):
        return names[raw] if 0 <= raw < len(names) else names[0]
    return str(raw).removeprefix(prefix)


def _dict(raw: object) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise TypeError(f"not an object: {str(raw)[:80]!r}")
    return raw


def _list(raw: object) -> list[object]:
    if not isinstance(raw, list):
        raise TypeError(f"not an array: {str(raw)[:80]!r}")
    return raw
