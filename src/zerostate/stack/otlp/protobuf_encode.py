"""The model to OTLP/protobuf."""

from collections.abc import Iterable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from zerostate.stack.otlp.model import (
    AnyValue,
    Attributes,
    Event,
    Link,
    ResourceSpans,
    Scope,
    ScopeSpans,
    Span,
    ValueMap,
)


def encode_protobuf(resource_spans: Iterable[ResourceSpans]) -> bytes:
    """Encode as an ``ExportTraceServiceRequest``; `decode_protobuf` gives it back."""
    return ExportTraceServiceRequest(
        resource_spans=[_resource_spans(one) for one in resource_spans]
    ).SerializeToString()


def _resource_spans(model: ResourceSpans) -> trace_pb2.ResourceSpans:
    return trace_pb2.ResourceSpans(
        resource=resource_pb2.Resource(
            attributes=_attributes(model.resource.attributes),
            dropped_attributes_count=model.resource.dropped_attributes_count,
        ),
        scope_spans=[_scope_spans(one) for one in model.scope_spans],
        schema_url=model.schema_url,
    )


def _scope_spans(model: ScopeSpans) -> trace_pb2.ScopeSpans:
    return trace_pb2.ScopeSpans(
        scope=_scope(model.scope),
        spans=[_span(one) for one in model.spans],
        schema_url=model.schema_url,
    )


def _scope(model: Scope) -> common_pb2.InstrumentationScope:
    return common_pb2.InstrumentationScope(
        name=model.name,
        version=model.version,
        attributes=_attributes(model.attributes),
        dropped_attributes_count=model.dropped_attributes_count,
    )


def _span(model: Span) -> trace_pb2.Span:
    message = trace_pb2.Span(
        trace_id=model.trace_id,
        span_id=model.span_id,
        parent_span_id=model.parent_span_id,
        trace_state=model.trace_state,
        flags=model.flags,
        name=model.name,
        start_time_unix_nano=model.start_ns,
        end_time_unix_nano=model.end_ns,
        attributes=_attributes(model.attributes),
        dropped_attributes_count=model.dropped_attributes_count,
        events=[_event(one) for one in model.events],
        dropped_events_count=model.dropped_events_count,
        links=[_link(one) for one in model.links],
        dropped_links_count=model.dropped_links_count,
    )
    # proto3 enums are open: a number from a newer sender must survive.
    message.kind = model.kind  # type: ignore[assignment]  # stub knows named kinds only
    message.status.message = model.status.message
    message.status.code = model.status.code  # type: ignore[assignment]  # likewise
    return message


def _event(model: Event) -> trace_pb2.Span.Event:
    return trace_pb2.Span.Event(
        time_unix_nano=model.time_ns,
        name=model.name,
        attributes=_attributes(model.attributes),
        dropped_attributes_count=model.dropped_attributes_count,
    )


def _link(model: Link) -> trace_pb2.Span.Link:
    return trace_pb2.Span.Link(
        trace_id=model.trace_id,
        span_id=model.span_id,
        trace_state=model.trace_state,
        attributes=_attributes(model.attributes),
        dropped_attributes_count=model.dropped_attributes_count,
        flags=model.flags,
    )


def _attributes(attributes: Attributes) -> list[common_pb2.KeyValue]:
    return [
        common_pb2.KeyValue(key=key, value=_value(value)) for key, value in attributes
    ]


def _value(value: AnyValue) -> common_pb2.AnyValue:  # noqa: PLR0911 - one a type
    # bool first: in Python it is an int.
    match value:
        case bool():
            return common_pb2.AnyValue(bool_value=value)
        case str():
            return common_pb2.AnyValue(string_value=value)
        case int():
            return common_pb2.AnyValue(int_value=value)
        case float():
            return common_pb2.AnyValue(double_value=value)
        case bytes():
            return common_pb2.AnyValue(bytes_value=value)
        case tuple():
            values = [_value(one) for one in value]
            return common_pb2.AnyValue(array_value=common_pb2.ArrayValue(values=values))
        case ValueMap(entries):
            return common_pb2.AnyValue(
                kvlist_value=common_pb2.KeyValueList(values=_attributes(entries))
            )
        case None:
            return common_pb2.AnyValue()
