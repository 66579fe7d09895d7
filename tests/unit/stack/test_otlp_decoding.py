import json

import pytest

from stack_spans import batch, of_service, span, span_id, trace_id
from zerostate.errors import OtlpDecodeError
from zerostate.stack.otlp import (
    Link,
    Resource,
    ResourceSpans,
    ScopeSpans,
    Span,
    ValueMap,
    decode_json,
    decode_protobuf,
    encode_protobuf,
    service_name,
)

_GOOD = {"traceId": "AB" * 16, "spanId": "12" * 8}


def _decode_span(**fields):
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [{**_GOOD, **fields}]}]}]}
    decoded = decode_json(json.dumps(request).encode())
    [resource_spans] = decoded.batch.resource_spans
    return decoded, resource_spans.scope_spans[0].spans


def test_json_follows_the_rules_of_otlp():
    decoded, spans = _decode_span(
        kind="SPAN_KIND_SERVER",
        startTimeUnixNano="1800000000000000001",
        endTimeUnixNano=1800000000000000002,
        status={"code": 2},
        fieldFromTheFuture={"ignored": True},
        attributes=[
            {"key": "big", "value": {"intValue": "9223372036854775807"}},
            {"key": "small", "value": {"intValue": -5}},
            {"key": "nan", "value": {"doubleValue": "Infinity"}},
            {"key": "bytes", "value": {"bytesValue": "_-8"}},
            {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": True}]}}},
            {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k"}]}}},
            {"key": "null", "value": None},
        ],
    )

    assert decoded.rejected_spans == 0
    assert spans == (
        Span(
            trace_id=b"\xab" * 16,
            span_id=b"\x12" * 8,
            kind=2,
            start_ns=1800000000000000001,
            end_ns=1800000000000000002,
            status=spans[0].status,
            attributes=(
                ("big", 2**63 - 1),
                ("small", -5),
                ("nan", float("inf")),
                ("bytes", b"\xff\xef"),
                ("list", (True,)),
                ("map", ValueMap((("k", None),))),
                ("null", None),
            ),
        ),
    )
    assert spans[0].status.code == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"startTimeUnixNano": "-1"}, "startTimeUnixNano: not within 0"),
        ({"startTimeUnixNano": True}, "startTimeUnixNano: not an integer"),
        ({"kind": "SERVER"}, "kind: not an integer"),
        ({"name": 5}, "name: not a string"),
        ({"name": "\ud800"}, "name: not valid Unicode"),
        ({"attributes": {}}, "attributes: not a JSON array"),
        ({"attributes": [{"value": {"boolValue": 1}}]}, "boolValue: not true or false"),
        ({"attributes": [{"value": {"bytesValue": "!"}}]}, "bytesValue: not base64"),
        ({"attributes": [{"value": {"doubleValue": "1_0"}}]}, "doubleValue: not a num"),
        (
            {"attributes": [{"value": {"intValue": "1", "boolValue": True}}]},
            "value: both",
        ),
    ],
)
def test_a_json_field_of_the_wrong_type_is_refused_by_name(fields, words):
    with pytest.raises(OtlpDecodeError, match=words):
        _decode_span(**fields)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b'{"resourceSpans": NaN}', b"[" * 100_000]
)
def test_what_is_not_a_json_request_is_refused(body):
    with pytest.raises(OtlpDecodeError):
        decode_json(body)


def test_what_is_not_protobuf_is_refused():
    with pytest.raises(OtlpDecodeError, match="protobuf"):
        decode_protobuf(b"\x0a\xff garbage")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ({"traceId": "ab"}, "trace id must be 16 bytes"),
        ({"traceId": "00" * 16}, "trace id must be 16 bytes, not all zero"),
        ({"traceId": "zz" * 16}, "trace id"),
        ({"spanId": ""}, "span id must be 8 bytes"),
        ({"parentSpanId": "12"}, "parent span id must be empty or 8 bytes"),
    ],
)
def test_a_span_with_malformed_ids_is_rejected_alone(ids, words):
    good, bad = _GOOD, {**_GOOD, **ids}
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [bad, good]}]}]}
    decoded = decode_json(json.dumps(request).encode())

    assert (decoded.batch.span_count, decoded.rejected_spans) == (1, 1)
    assert words in decoded.rejected_because
    again = decode_protobuf(decoded.batch.payload)
    assert (again.batch.span_count, again.rejected_spans) == (1, 0)


def test_protobuf_spans_with_malformed_ids_are_left_out_of_the_payload():
    bad = Span(trace_id=b"short", span_id=span_id(1))
    body = encode_protobuf([of_service("a", bad, span(1, 2))])
    decoded = decode_protobuf(body)

    assert (decoded.batch.span_count, decoded.rejected_spans) == (1, 1)
    assert decode_protobuf(decoded.batch.payload).rejected_spans == 0


def test_an_untouched_protobuf_payload_is_kept_byte_for_byte():
    body = batch(of_service("a", span(1, 2))).payload
    # An unknown field from a newer sender.
    body += b"\xfa\x3e\x01x"

    assert decode_protobuf(body).batch.payload == body


def test_an_all_zero_parent_means_no_parent():
    zero = Span(trace_id=trace_id(1), span_id=span_id(1), parent_span_id=bytes(8))
    decoded = decode_protobuf(encode_protobuf([of_service("a", zero)]))

    [of_resource] = decoded.batch.resource_spans
    assert of_resource.scope_spans[0].spans[0].parent_span_id == b""


def test_a_malformed_link_is_dropped_and_counted_on_its_span():
    broken = Span(
        trace_id=trace_id(1), span_id=span_id(1), links=(Link(b"short", span_id(2)),)
    )
    decoded = decode_protobuf(encode_protobuf([of_service("a", broken)]))

    [of_resource] = decoded.batch.resource_spans
    stored = of_resource.scope_spans[0].spans[0]
    assert (stored.links, stored.dropped_links_count) == ((), 1)


def _nested(levels):
    value = "deep"
    for _ in range(levels):
        value = (value,)
    return value


def _with_value(value):
    one = Span(trace_id=trace_id(1), span_id=span_id(1), attributes=(("k", value),))
    return [ResourceSpans(Resource(), (ScopeSpans(spans=(one,)),))]


def test_attribute_values_nested_too_deep_are_refused():
    assert (
        decode_protobuf(encode_protobuf(_with_value(_nested(32)))).rejected_spans == 0
    )
    with pytest.raises(OtlpDecodeError, match="nested deeper than 32"):
        decode_protobuf(encode_protobuf(_with_value(_nested(33))))


def test_a_resource_without_a_service_name_is_an_unknown_service():
    assert service_name(Resource()) == "unknown_service"
    assert service_name(Resource((("service.name", 5),))) == "unknown_service"
    assert service_name(Resource((("service.name", "a"),))) == "a"
