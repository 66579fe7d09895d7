"""Spans for the stack's tests, built from few words."""

from zerostate.stack.otlp import (
    Attributes,
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
    encode_protobuf,
)

T0_NS = 1_800_000_000_000_000_000
MS_NS = 1_000_000


def trace_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def span(
    trace: int,
    number: int,
    name: str = "op",
    *,
    parent: int = 0,
    start_ms: int = 0,
    duration_ms: int = 1,
    kind: int = SpanKind.INTERNAL,
    attributes: Attributes = (),
    events: tuple[Event, ...] = (),
    links: tuple[tuple[int, int], ...] = (),
    error: bool = False,
) -> Span:
    return Span(
        trace_id=trace_id(trace),
        span_id=span_id(number),
        parent_span_id=span_id(parent) if parent else b"",
        name=name,
        kind=int(kind),
        start_ns=T0_NS + start_ms * MS_NS,
        end_ns=T0_NS + (start_ms + duration_ms) * MS_NS,
        attributes=attributes,
        events=events,
        links=tuple(Link(trace_id(t), span_id(s)) for t, s in links),
        status=Status(code=int(StatusCode.ERROR)) if error else Status(),
    )


def of_service(
    service: str, *spans: Span, resource: Attributes = (), scope: str = "tests"
) -> ResourceSpans:
    attributes = (("service.name", service), *resource)
    return ResourceSpans(Resource(attributes), (ScopeSpans(Scope(scope), spans),))


def batch(*resource_spans: ResourceSpans) -> TraceBatch:
    return TraceBatch(
        resource_spans,
        encode_protobuf(resource_spans),
        sum(len(s.spans) for r in resource_spans for s in r.scope_spans),
    )
