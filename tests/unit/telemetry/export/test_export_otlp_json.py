import base64
import json

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
)

from zerostate.telemetry.export.otlp_json import json_line

IDS = ("traceId", "spanId", "parentSpanId")

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
int64 = st.integers(-(2**63), 2**63 - 1)
uint64 = st.integers(0, 2**64 - 1)
uint32 = st.integers(0, 2**31 - 1)

any_values = st.recursive(
    st.one_of(
        st.builds(AnyValue, string_value=text),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=int64),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=8)),
        st.just(AnyValue()),
    ),
    lambda inner: st.one_of(
        st.builds(
            AnyValue,
            array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=2)),
        ),
        st.builds(
            AnyValue,
            kvlist_value=st.builds(
                KeyValueList,
                values=st.lists(st.builds(KeyValue, key=text, value=inner), max_size=2),
            ),
        ),
    ),
    max_leaves=4,
)
attributes = st.lists(st.builds(KeyValue, key=text, value=any_values), max_size=2)
trace_ids, span_ids = (st.binary(min_size=n, max_size=n) for n in (16, 8))
spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=span_ids,
    parent_span_id=span_ids | st.just(b""),
    trace_state=text,
    name=text,
    kind=st.integers(0, 5),
    flags=uint32,
    start_time_unix_nano=uint64,
    end_time_unix_nano=uint64,
    attributes=attributes,
    dropped_attributes_count=uint32,
    dropped_events_count=uint32,
    dropped_links_count=uint32,
    status=st.builds(Status, message=text, code=st.integers(0, 2)),
    events=st.lists(
        st.builds(Span.Event, time_unix_nano=uint64, name=text, attributes=attributes),
        max_size=2,
    ),
    links=st.lists(
        st.builds(
            Span.Link,
            trace_id=trace_ids,
            span_id=span_ids,
            trace_state=text,
            attributes=attributes,
            flags=uint32,
        ),
        max_size=2,
    ),
)
requests = st.builds(
    ExportTraceServiceRequest,
    resource_spans=st.lists(
        st.builds(
            ResourceSpans,
            resource=st.builds(Resource, attributes=attributes),
            schema_url=text,
            scope_spans=st.lists(
                st.builds(
                    ScopeSpans,
                    scope=st.builds(InstrumentationScope, name=text, version=text),
                    spans=st.lists(spans, max_size=2),
                    schema_url=text,
                ),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)


def as_otlp_json(value):
    """Turn protobuf's JSON into OTLP's: ids in hexadecimal."""
    if isinstance(value, list):
        return [as_otlp_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(item).hex() if key in IDS else as_otlp_json(item)
        for key, item in value.items()
    }


@given(requests)
def test_a_request_becomes_what_protobufs_own_library_makes_of_it(
    request_: ExportTraceServiceRequest,
) -> None:
    line = json_line(request_.SerializeToString())

    expected = as_otlp_json(MessageToDict(request_, use_integers_for_enums=True))
    assert json.loads(line) == expected
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


@given(st.binary(max_size=60))
def test_any_bytes_are_a_line_or_a_value_error(data: bytes) -> None:
    try:
        line = json_line(data)
    except ValueError:
        return
    assert isinstance(json.loads(line), dict)


def field(number: int, content: bytes) -> bytes:
    size, prefix = len(content), b""
    while size >= 0x80:
        prefix += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + prefix + bytes([size]) + content


def test_nesting_is_bounded() -> None:
    value = b""
    for _ in range(120):
        value = field(5, field(1, value))  # AnyValue.array_value.values
    attribute = field(1, field(2, value))  # Resource.attributes.value
    request = field(1, field(1, attribute))  # resource_spans.resource

    with pytest.raises(ValueError, match="nested more than"):
        json_line(request)
