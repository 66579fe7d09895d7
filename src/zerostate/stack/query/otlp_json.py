"""Traces in OTLP/JSON, grouped by resource and scope again, for the v3 API."""

from collections.abc import Iterable

from zerostate.stack.otlp import (
    ResourceSpans,
    ScopeSpans,
    Span,
    resource_spans_to_json,
)
from zerostate.stack.store import SpanOrigin, Trace


def traces_to_otlp(traces: Iterable[Trace]) -> dict[str, object]:
    """Return ``{"result": {"resourceSpans": [...]}}``."""
    grouped: list[ResourceSpans] = []
    for trace in traces:
        grouped += _regroup(trace)
    return {"result": resource_spans_to_json(grouped)}


def _regroup(trace: Trace) -> list[ResourceSpans]:
    spans_of: dict[SpanOrigin, list[Span]] = {}
    for stored in trace.spans:
        spans_of.setdefault(stored.origin, []).append(stored.span)
    scopes_of: dict[tuple[object, str], list[SpanOrigin]] = {}
    for origin in spans_of:
        key = (origin.resource, origin.resource_schema_url)
        scopes_of.setdefault(key, []).append(origin)
    return [
        ResourceSpans(
            origins[0].resource,
            tuple(
                ScopeSpans(one.scope, tuple(spans_of[one]), one.scope_schema_url)
                for one in origins
            ),
            origins[0].resource_schema_url,
        )
        for origins in scopes_of.values()
    ]
