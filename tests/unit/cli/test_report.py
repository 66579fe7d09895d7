"""What a demo shows: JSON and text."""

import json
from pathlib import Path

import pytest

from zerostate.cli.failures import Failure
from zerostate.cli.query import LinkedTrace
from zerostate.cli.report import DemoReport, ProcessEntry, how_to_see_again
from zerostate.cli.traces import SpanEvent, SpanLink, Trace, TraceSpan

TRACE = "ab" * 16


def full_report(**changes) -> DemoReport:
    span = TraceSpan(
        span_id="01" * 8,
        name="task.run",
        service="requester",
        start_ns=1,
        duration_ns=2,
        attributes={"task.id": "task-1"},
        events=(SpanEvent("e", 3, {"bytes": "AAEC"}),),
        links=(SpanLink("cd" * 16, "ef" * 8, {}),),
    )
    fields = {
        "trace_id": TRACE,
        "trace": Trace(TRACE, (span,)),
        "processes": (
            ProcessEntry("requester", "requester", 11, "12D3KooA"),
            ProcessEntry("stack", "stack", 10, None),
            ProcessEntry("chain", "chain", 12, None),
        ),
        "task": {"id": "task-1", "outcome": "ok", "output_preview": "one\ntwo\n"},
        "receipt": {"fuel_used": 7, "exit_code": None, "verified": True},
        "payment": {"channel_id": "0x1", "amount": 5, "verified": False},
        "linked_traces": (
            LinkedTrace("ef" * 16, "p2p.gossip.deliver", "m", ("a", "b")),
        ),
        "urls": {"ui": "http://127.0.0.1:1", "trace": "http://127.0.0.1:1/trace/x"},
    }
    return DemoReport(**{**fields, **changes})


def test_the_object_has_the_documented_fields_and_survives_json():
    report = json.loads(json.dumps(full_report().as_json()))

    assert list(report) == [
        "trace_id",
        "spans",
        "processes",
        "task",
        "receipt",
        "payment",
        "linked_traces",
        "urls",
    ]
    assert report["spans"] == [
        {
            "name": "task.run",
            "service": "requester",
            "span_id": "01" * 8,
            "parent_span_id": None,
            "kind": "INTERNAL",
            "status": "UNSET",
            "status_message": "",
            "start_ns": 1,
            "duration_ns": 2,
            "attributes": {"task.id": "task-1"},
            "events": [{"name": "e", "time_ns": 3, "attributes": {"bytes": "AAEC"}}],
            "links": [{"trace_id": "cd" * 16, "span_id": "ef" * 8, "attributes": {}}],
        }
    ]
    assert report["processes"][1] == {
        "role": "stack",
        "service": "stack",
        "pid": 10,
        "peer_id": None,
    }
    assert report["linked_traces"][0]["span_names"] == ["a", "b"]


def test_a_failure_adds_its_code_and_message():
    report = full_report(failure=Failure("trap", "unreachable")).as_json()

    assert report["error"] == {"code": "trap", "message": "unreachable"}


def test_a_report_of_nothing_has_every_field():
    report = DemoReport(failure=Failure("config", "no")).as_json()

    assert report["spans"] == []
    assert report["trace_id"] is None
    assert report["error"]["code"] == "config"


def test_people_see_tree_task_receipt_payment_links_and_url():
    lines = list(full_report().lines())
    text = "\n".join(line for line, _ in lines)

    assert f"Trace {TRACE}" in text
    assert "task.run" in text
    assert "Receipt (verified)" in text
    assert "fuel_used" in text
    assert "exit_code" not in text
    assert "Payment (NOT verified)" in text
    assert "output_preview  one\n                  two" in text
    assert "ef" * 16 in text
    assert "stack      pid 10  tracing stack" in text
    assert "chain      pid 12  development chain" in text
    assert text.endswith("See it at http://127.0.0.1:1/trace/x")
    assert any(is_error for line, is_error in lines if "0x1" in line)


@pytest.mark.parametrize("told", ["The stack has ended.", ""])
def test_another_last_line_takes_the_place_of_an_address_that_is_no_more(told):
    text = "\n".join(line for line, _ in full_report(how_to_see=told).lines())

    assert "See it at" not in text
    assert text.endswith(told)


@pytest.mark.parametrize(
    ("trace", "kept_in", "is_default", "told"),
    [
        (
            Trace(TRACE, ()),
            "/data/zerostate",
            True,
            "The tracing stack has ended; `zerostate up` shows the trace again, at PAGE",
        ),
        (
            Trace(TRACE, ()),
            "/my data",
            False,
            "The tracing stack has ended; `zerostate up --data '/my data'` shows the trace again, at PAGE",
        ),
        (
            Trace(TRACE, ()),
            None,
            True,
            "The tracing stack has ended, and its temporary traces with it.",
        ),
        (None, "/data/zerostate", True, ""),
    ],
)
def test_a_trace_whose_stack_has_ended_is_where_its_data_is(
    trace, kept_in, is_default, told
):
    kept = None if kept_in is None else Path(kept_in)

    page = f"http://127.0.0.1:16686/trace/{TRACE}"
    text = how_to_see_again(trace, kept, is_default=is_default)
    assert text == told.replace("PAGE", page)


def test_a_long_output_is_cut():
    task = {"output_preview": "\n".join("abcdefghijklmn")}

    lines = [line for line, _ in DemoReport(task=task).lines()]

    assert lines[-1].strip() == "…"
    assert len(lines) < 14
