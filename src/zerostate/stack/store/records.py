"""What goes into a reader and what comes out of it."""

from dataclasses import dataclass, field
from typing import Final, Literal

from zerostate.stack.otlp import Resource, Scope, Span
from zerostate.stack.store.tags import TagCondition

END_OF_TIME_NS: Final = 2**64 - 1
"""The latest start that OTLP can express."""

DEFAULT_SEARCH_TRACES: Final = 100
"""Traces a search returns unless told otherwise: Jaeger's default."""


@dataclass(frozen=True, slots=True)
class SpanOrigin:
    """What all spans of one scope of one resource have in common."""

    resource: Resource
    scope: Scope
    resource_schema_url: str
    scope_schema_url: str
    service_name: str


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span and where it came from."""

    span: Span
    origin: SpanOrigin


@dataclass(frozen=True, slots=True)
class Trace:
    """The stored spans of one trace, without duplicates, by start and span id.

    May be incomplete: a parent that was never exported is simply not there.
    """

    trace_id: bytes
    spans: tuple[StoredSpan, ...]


@dataclass(frozen=True, slots=True, order=True)
class Operation:
    """A span name of a service, with its kind (a number of `SpanKind`)."""

    name: str
    kind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Which traces to find: those with one span that meets every condition.

    Attributes:
        service: Its resource's service name; None for any.
        operation: The span's name; None for any.
        tags: Conditions on its attributes, all of which must hold.
        start_min_ns: The earliest start, inclusive.
        start_max_ns: The latest start, inclusive.
        duration_min_ns: The shortest duration, inclusive; None for any.
        duration_max_ns: The longest duration, inclusive; None for any.
        limit: The most traces to return, at least 1.
    """

    service: str | None = None
    operation: str | None = None
    tags: tuple[TagCondition, ...] = field(default=())
    start_min_ns: int = 0
    start_max_ns: int = END_OF_TIME_NS
    duration_min_ns: int | None = None
    duration_max_ns: int | None = None
    limit: int = DEFAULT_SEARCH_TRACES


@dataclass(frozen=True, slots=True, order=True)
class TraceLink:
    """A link between a span of the trace asked for and a span of another.

    Attributes:
        direction: ``out`` when the trace asked for holds the link, ``in`` when the
            other trace does.
        trace_id: The other trace, which need not be stored.
        span_id: The span at the other end, in the other trace.
        own_span_id: The span at this end, in the trace asked for.
    """

    direction: Literal["in", "out"]
    trace_id: bytes
    span_id: bytes
    own_span_id: bytes


@dataclass(frozen=True, slots=True, order=True)
class Dependency:
    """How often spans of `child` had a parent of another service, `parent`."""

    parent: str
    child: str
    call_count: int
