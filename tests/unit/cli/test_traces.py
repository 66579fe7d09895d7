"""OTLP-JSON becomes spans."""

import pytest

from zerostate.cli.traces import parse_trace
from zerostate.errors import QueryError

TRACE = "0af7651916cd43dd8448eb211c80319c"


def document(*spans, resource=()):
    scope = {"scope": {"name": "t"}, "spans": list(spans)}
    group = {"resource": {"attributes": list(resource)}, "scopeSpans": [scope]}
    return {"result": {"resourceSpans": [group]}}


def attribute(key, **value):
    return {"key": key, "value": value}


def test_a_span_keeps_everything():
    raw = {
        "traceId": TRACE,
        "spanId": "B7AD6B7169203331",
        "parentSpanId": "00f067aa0ba902b7",
        "name": "execution.task",
        "kind": 2,
        "startTimeUnixNano": "1700000000000000001",
        "endTimeUnixNano": "1700000000000000005",
        "attributes": [attribute("task.id", stringValue="task-1")],
        "events": [
            {
                "timeUnixNano": "7",
                "name": "receipt.issued",
                "attributes": [attribute("receipt.envelope", bytesValue="AAEC")],
            }
        ],
        "links": [{"traceId": "CD" * 16, "spanId": "EF" * 8}],
        "status": {"code": 2, "message": "trap"},
    }

    service = attribute("service.name", stringValue="executor")
    [span] = parse_trace(document(raw, resource=[service]), TRACE).spans

    assert (span.name, span.service, span.kind) == (
        "execution.task",
        "executor",
        "SERVER",
    )
    assert span.span_id == "b7ad6b7169203331"
    assert span.parent_span_id == "00f067aa0ba902b7"
    assert (span.start_ns, span.duration_ns) == (1700000000000000001, 4)
    assert (span.status, span.status_message) == ("ERROR", "trap")
    assert span.attributes == {"task.id": "task-1"}
    assert span.events[0].attributes == {"receipt.envelope": "AAEC"}
    assert span.events[0].time_ns == 7
    assert (span.links[0].trace_id, span.links[0].span_id) == ("cd" * 16, "ef" * 8)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ({"stringValue": ""}, ""),
        ({"boolValue": False}, False),
        ({"intValue": "9007199254740993"}, 9007199254740993),
        ({"intValue": 5}, 5),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"doubleValue": "-Infinity"}, "-Infinity"),
        ({"bytesValue": "AAE="}, "AAE="),
        ({"arrayValue": {"values": [{"intValue": "1"}, {}]}}, [1, None]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [attribute("a", boolValue=True)]}}, {"a": True}),
        ({}, None),
    ],
)
def test_each_type_of_value_is_read(value, parsed):
    raw = {"spanId": "01", "attributes": [{"key": "k", "value": value}]}

    [span] = parse_trace(document(raw), TRACE).spans

    assert span.attributes == {"k": parsed}
    assert type(span.attributes["k"]) is type(parsed)


@pytest.mark.parametrize(
    "parent", [{}, {"parentSpanId": ""}, {"parentSpanId": "0" * 16}]
)
def test_a_span_without_a_parent_is_a_root(parent):
    trace = parse_trace(document({"spanId": "01", **parent}), TRACE)

    assert [span.span_id for span in trace.roots()] == ["01"]
    assert not trace.missing_parents()


def test_enums_come_as_numbers_or_names_and_defaults_are_left_out():
    named = {
        "spanId": "01",
        "kind": "SPAN_KIND_CLIENT",
        "status": {"code": "STATUS_CODE_OK"},
    }

    first, second = parse_trace(document(named, {"spanId": "02"}), TRACE).spans

    assert (first.kind, first.status) == ("CLIENT", "OK")
    assert (second.kind, second.status) == ("UNSPECIFIED", "UNSET")


def test_an_unknown_kind_is_unspecified():
    [span] = parse_trace(document({"spanId": "01", "kind": 99}), TRACE).spans

    assert span.kind == "UNSPECIFIED"


def test_spans_come_by_start_and_missing_parents_are_counted():
    trace = parse_trace(
        document(
            {"spanId": "02", "parentSpanId": "99", "startTimeUnixNano": "5"},
            {"spanId": "03", "parentSpanId": "99", "startTimeUnixNano": "6"},
            {"spanId": "01", "startTimeUnixNano": "1"},
        ),
        TRACE,
    )

    assert [span.span_id for span in trace.spans] == ["01", "02", "03"]
    assert trace.missing_parents() == {"99": 2}


def test_a_span_that_ends_before_it_starts_lasts_no_time():
    raw = {"spanId": "01", "startTimeUnixNano": "9", "endTimeUnixNano": "3"}

    [span] = parse_trace(document(raw), TRACE).spans

    assert span.duration_ns == 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"result": []},
        {"result": {"resourceSpans": {}}},
        {"result": {"resourceSpans": [1]}},
        document({"name": "no id"}),
        document({"spanId": "01", "startTimeUnixNano": "soon"}),
        document({"spanId": "01", "startTimeUnixNano": None}),
        document({"spanId": "01", "attributes": {"a": 1}}),
        document({"spanId": "01", "links": [{}]}),
    ],
)
def test_anything_else_is_refused(answer):
    with pytest.raises(QueryError):
        parse_trace(answer, TRACE)
