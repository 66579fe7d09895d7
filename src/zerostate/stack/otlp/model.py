"""The one model of OTLP traces in the stack.

Follows ``opentelemetry/proto/trace/v1/trace.proto`` field by field, so that decoding
and encoding lose nothing of it (`Resource.entity_refs`, still in development there,
excepted). Attributes stay pairs in the order sent: a key that came twice is kept twice.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

TRACE_ID_BYTES: Final = 16
"""Length of a trace id (W3C Trace Context, section 3.2)."""

SPAN_ID_BYTES: Final = 8
"""Length of a span id (W3C Trace Context, section 3.2)."""

MAX_VALUE_DEPTH: Final = 32
"""Levels of nesting in an attribute value, so that no input can exhaust the stack."""

AnyValue: TypeAlias = (
    "str | bool | int | float | bytes | tuple[AnyValue, ...] | ValueMap | None"
)
"""An attribute value. A tuple is OTLP's array; None is the empty value."""

KeyValue: TypeAlias = tuple[str, AnyValue]
"""One attribute."""

Attributes: TypeAlias = tuple[KeyValue, ...]
"""Attributes in the order sent."""


@dataclass(frozen=True, slots=True)
class ValueMap:
    """OTLP's ``kvlist_value``: a map as an attribute's value."""

    entries: tuple[KeyValue, ...] = ()


class SpanKind(IntEnum):
    """``Span.SpanKind``; a `Span` may hold numbers that are not in here."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class StatusCode(IntEnum):
    """``Status.StatusCode``."""

    UNSET = 0
    OK = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Resource:
    """What produced the spans."""

    attributes: Attributes = ()
    dropped_attributes_count: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """The instrumentation that produced the spans."""

    name: str = ""
    version: str = ""
    attributes: Attributes = ()
    dropped_attributes_count: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a moment of a span."""

    time_ns: int = 0
    name: str = ""
    attributes: Attributes = ()
    dropped_attributes_count: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A span's reference to a span of any trace."""

    trace_id: bytes
    span_id: bytes
    trace_state: str = ""
    attributes: Attributes = ()
    dropped_attributes_count: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """How a span ended."""

    message: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """One operation.

    The decoders guarantee: ids have their lengths and are not all zero;
    `parent_span_id` is empty for a root. Nothing is promised about the order of
    `start_ns` and `end_ns`: clocks of strangers are strange.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes = b""
    trace_state: str = ""
    flags: int = 0
    name: str = ""
    kind: int = 0
    start_ns: int = 0
    end_ns: int = 0
    attributes: Attributes = ()
    dropped_attributes_count: int = 0
    events: tuple[Event, ...] = ()
    dropped_events_count: int = 0
    links: tuple[Link, ...] = ()
    dropped_links_count: int = 0
    status: Status = Status()

    @property
    def duration_ns(self) -> int:
        """Nanoseconds from start to end, 0 when the end lies before the start."""
        return max(0, self.end_ns - self.start_ns)


@dataclass(frozen=True, slots=True)
class ScopeSpans:
    """Spans of one scope."""

    scope: Scope = Scope()
    spans: tuple[Span, ...] = ()
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class ResourceSpans:
    """Spans of one resource."""

    resource: Resource = Resource()
    scope_spans: tuple[ScopeSpans, ...] = ()
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class TraceBatch:
    """Spans of one export request, as objects and as the same spans' bytes.

    `payload` is an ``ExportTraceServiceRequest`` in protobuf which decodes to
    `resource_spans` without a rejection: what a log on disk keeps.
    """

    resource_spans: tuple[ResourceSpans, ...]
    payload: bytes
    span_count: int


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """What a request held: the spans we take, and how many we cannot take and why."""

    batch: TraceBatch
    rejected_spans: int = 0
    rejected_because: str = ""
    """The first rejection in words, for the sender; empty when there was none."""


def is_valid_id(value: bytes, length_bytes: int) -> bool:
    """Return whether `value` is an id of that length that is not all zero."""
    return len(value) == length_bytes and any(value)


def id_problem(trace_id: bytes, span_id: bytes, parent_span_id: bytes) -> str:
    """Return what is wrong with a span's ids, or an empty text.

    An all-zero parent id is not a problem: some senders write it for "no parent".
    """
    if not is_valid_id(trace_id, TRACE_ID_BYTES):
        return f"trace id must be {TRACE_ID_BYTES} bytes, not all zero"
    if not is_valid_id(span_id, SPAN_ID_BYTES):
        return f"span id must be {SPAN_ID_BYTES} bytes, not all zero"
    if parent_span_id and len(parent_span_id) != SPAN_ID_BYTES:
        return f"parent span id must be empty or {SPAN_ID_BYTES} bytes"
    return ""


def service_name(resource: Resource) -> str:
    """Return the resource's ``service.name``, or OpenTelemetry's ``unknown_service``."""
    for key, value in resource.attributes:
        if key == "service.name" and isinstance(value, str) and value:
            return value
    return UNKNOWN_SERVICE


UNKNOWN_SERVICE: Final = "unknown_service"
"""OpenTelemetry's service name for those who gave none."""
