"""OTLP/protobuf to the model."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from zerostate.errors import OtlpDecodeError
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
    Status,
    TraceBatch,
    ValueMap,
    id_problem,
    is_valid_id,
)
from zerostate.stack.otlp.protobuf_encode import encode_protobuf

_NO_STATUS = Status()


@dataclass(slots=True)
class _Tally:
    taken: int = 0
    rejected: int = 0
    because: str = ""

    def reject(self, problem: str) -> None:
        self.rejected += 1
        self.because = self.because or problem


@dataclass(slots=True)
class _Decoder:
    tally: _Tally = field(default_factory=_Tally)

    def resource_spans(self, message: trace_pb2.ResourceSpans) -> ResourceSpans:
        return ResourceSpans(
            resource=Resource(
                _attributes(message.resource.attributes),
                message.resource.dropped_attributes_count,
            ),
            scope_spans=tuple(self.scope_spans(one) for one in message.scope_spans),
            schema_url=message.schema_url,
        )

    def scope_spans(self, message: trace_pb2.ScopeSpans) -> ScopeSpans:
        scope = message.scope
        return ScopeSpans(
            scope=Scope(
                scope.name,
                scope.version,
                _attributes(scope.attributes),
                scope.dropped_attributes_count,
            ),
            spans=tuple(
                span for one in message.spans if (span := self.span(one)) is not None
            ),
            schema_url=message.schema_url,
        )

    def span(self, message: trace_pb2.Span) -> Span | None:
        trace_id, span_id = message.trace_id, message.span_id
        parent = message.parent_span_id
        if problem := id_problem(trace_id, span_id, parent):
            self.tally.reject(problem)
            return None
        self.tally.taken += 1
        links = tuple(_links(message.links)) if message.links else ()
        return Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent if any(parent) else b"",
            trace_state=message.trace_state,
            flags=message.flags,
            # One name is shared by thousands of spans held in memory.
            name=sys.intern(message.name),
            kind=int(message.kind),
            start_ns=message.start_time_unix_nano,
            end_ns=message.end_time_unix_nano,
            attributes=_attributes(message.attributes),
            dropped_attributes_count=message.dropped_attributes_count,
            events=tuple(map(_event, message.events)) if message.events else (),
            dropped_events_count=message.dropped_events_count,
            links=links,
            dropped_links_count=message.dropped_links_count
            + (len(message.links) - len(links)),
            status=_status(message),
        )


def decode_protobuf(body: bytes) -> DecodedRequest:
    """Decode an ``ExportTraceServiceRequest``.

    Spans with malformed ids are left out and counted; a link with malformed ids is
    left out and added to its span's `Span.dropped_links_count`. The batch's payload
    is `body` itself when every span was taken.

    Raises:
        OtlpDecodeError: `body` is not such a message, or an attribute value is nested
            deeper than `MAX_VALUE_DEPTH`.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise OtlpDecodeError("not an ExportTraceServiceRequest in protobuf") from error
    decoder = _Decoder()
    resource_spans = tuple(map(decoder.resource_spans, request.resource_spans))
    tally = decoder.tally
    return DecodedRequest(
        batch=TraceBatch(
            resource_spans=resource_spans,
            payload=encode_protobuf(resource_spans) if tally.rejected else body,
            span_count=tally.taken,
        ),
        rejected_spans=tally.rejected,
        rejected_because=tally.because,
    )


def _event(message: trace_pb2.Span.Event) -> Event:
    return Event(
        message.time_unix_nano,
        sys.intern(message.name),
        _attributes(message.attributes),
        message.dropped_attributes_count,
    )


def _links(messages: Iterable[trace_pb2.Span.Link]) -> Iterable[Link]:
    for message in messages:
        if is_valid_id(message.trace_id, TRACE_ID_BYTES) and is_valid_id(
            message.span_id, SPAN_ID_BYTES
        ):
            yield Link(
                message.trace_id,
                message.span_id,
                message.trace_state,
                _attributes(message.attributes),
                message.dropped_attributes_count,
                message.flags,
            )


def _status(message: trace_pb2.Span) -> Status:
    status = message.status
    if not status.code and not status.message:
        return _NO_STATUS
    return Status(status.message, int(status.code))


def _attributes(messages: Iterable[common_pb2.KeyValue], depth: int = 0) -> Attributes:
    return tuple([(sys.intern(kv.key), _value(kv.value, depth)) for kv in messages])


def _value(message: common_pb2.AnyValue, depth: int) -> AnyValue:
    which = message.WhichOneof("value")
    if which == "string_value":
        return message.string_value
    if which == "int_value":
        return message.int_value
    if which == "bool_value":
        return message.bool_value
    if which == "double_value":
        return message.double_value
    return _rare_value(message, which, depth)


def _rare_value(
    message: common_pb2.AnyValue, which: str | None, depth: int
) -> AnyValue:
    if depth >= MAX_VALUE_DEPTH:
        raise OtlpDecodeError(
            f"attribute value nested deeper than {MAX_VALUE_DEPTH} levels"
        )
    if which == "bytes_value":
        return message.bytes_value
    if which == "array_value":
        return tuple([_value(one, depth + 1) for one in message.array_value.values])
    if which == "kvlist_value":
        return ValueMap(_attributes(message.kvlist_value.values, depth + 1))
    # Nothing set, or a value that only the profiles signal may use.
    return None
