import sys
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

REMOTE = SpanContext(7, 8, True, TraceFlags(3), TraceState([("vendor", "x")]))


def under(context):
    return trace.set_span_in_context(NonRecordingSpan(context))


def test_a_root_span_has_fresh_ids_and_the_sampled_and_random_flags(recording):
    span = recording.tracer.start_span("root")

    context = span.get_span_context()
    assert context.is_valid
    assert not context.is_remote
    assert context.trace_flags == 3
    assert context.trace_flags.random_trace_id
    assert span.parent is None
    assert span.get_span_context() is context


def test_a_child_shares_its_parents_trace(recording):
    with recording.tracer.start_as_current_span("parent") as parent:
        child = recording.tracer.start_span("child")

    assert child.context.trace_id == parent.context.trace_id
    assert child.context.span_id != parent.context.span_id
    assert child.parent == parent.context
    assert not child.parent.is_remote


def test_a_remote_parent_is_kept_as_it_came(recording):
    child = recording.tracer.start_span("child", context=under(REMOTE))

    assert child.parent is REMOTE
    assert child.context.trace_id == REMOTE.trace_id
    assert child.context.trace_state == REMOTE.trace_state
    assert child.context.trace_flags == 3
    assert not child.context.is_remote


def test_the_random_flag_is_the_parents_and_unknown_flags_do_not_go_on(recording):
    plain = SpanContext(7, 8, True, TraceFlags(1))
    odd = SpanContext(7, 8, True, TraceFlags(0xFD))

    of_plain = recording.tracer.start_span("child", context=under(plain))
    of_odd = recording.tracer.start_span("child", context=under(odd))

    assert of_plain.context.trace_flags == 1
    assert of_odd.context.trace_flags == 1


def test_a_tracestate_goes_on_to_grandchildren(recording):
    with recording.tracer.start_as_current_span("child", context=under(REMOTE)):
        grandchild = recording.tracer.start_span("grandchild")

    assert grandchild.context.trace_state == REMOTE.trace_state
    assert grandchild.parent.trace_state == REMOTE.trace_state


@pytest.mark.parametrize("context", [trace.INVALID_SPAN_CONTEXT, None])
def test_an_invalid_parent_is_no_parent(recording, context):
    span = recording.tracer.start_span("root", context=under(context))

    assert span.parent is None
    assert span.context.trace_id != 0


def test_all_that_was_set_can_be_read_live(recording):
    span = recording.tracer.start_span(
        "name",
        kind=SpanKind.SERVER,
        attributes={"a": 1},
        links=[Link(REMOTE, {"why": "test"})],
        start_time=5,
    )
    span.set_attribute("b", "two")
    span.set_attributes({"c": 3.0, "a": 4})
    span.add_event("event", {"k": True}, timestamp=6)
    span.update_name("renamed")

    assert span.name == "renamed"
    assert span.kind is SpanKind.SERVER
    assert dict(span.attributes) == {"a": 4, "b": "two", "c": 3.0}
    (event,) = span.events
    assert (event.name, event.timestamp, dict(event.attributes)) == (
        "event",
        6,
        {"k": True},
    )
    (link,) = span.links
    assert (link.context, dict(link.attributes)) == (REMOTE, {"why": "test"})
    assert (span.start_time, span.end_time) == (5, None)
    assert span.is_recording()
    assert span.resource.attributes["service.name"] == "t"
    assert span.instrumentation_scope.name == "tests"
    assert span.instrumentation_scope.version == "1.2"
    assert '"name": "renamed"' in span.to_json()
    assert "renamed" in repr(span)


def test_attributes_cannot_be_written_past_the_span(recording):
    span = recording.tracer.start_span("name")

    with pytest.raises(TypeError):
        span.attributes["a"] = 1


def test_end_takes_a_time_and_hands_the_span_over_once(recording):
    span = recording.tracer.start_span("name", start_time=5)

    span.end(9)

    assert recording.only is span
    assert span.end_time == 9
    assert not span.is_recording()


def test_after_the_end_nothing_changes_and_each_attempt_is_warned_of_once(
    recording, caplog
):
    span = recording.tracer.start_span("name")
    span.end()
    before = span.snapshot().to_json()

    for _ in range(3):
        span.set_attribute("a", 1)
        span.set_attribute("a", [1])
        span.set_attributes({"a": 1})
        span.add_event("event")
        span.add_link(REMOTE)
        span.update_name("other")
        span.set_status(StatusCode.ERROR)
        span.record_exception(ValueError("x"))
        span.end()

    assert span.snapshot().to_json() == before
    assert len(recording.spans) == 1
    warned = [r.getMessage().split()[1] for r in caplog.records]
    assert sorted(warned) == sorted(
        [
            "set_attribute",
            "set_attributes",
            "add_event",
            "add_link",
            "update_name",
            "set_status",
            "record_exception",
            "end",
        ]
    )


def test_ok_is_final_and_unset_changes_nothing(recording):
    span = recording.tracer.start_span("name")
    span.set_status(StatusCode.ERROR, "first")
    span.set_status(StatusCode.UNSET)
    assert (span.status.status_code, span.status.description) == (
        StatusCode.ERROR,
        "first",
    )

    span.set_status(Status(StatusCode.OK))
    span.set_status(StatusCode.ERROR, "late")

    assert span.status.status_code is StatusCode.OK
    assert span.status.description is None


def test_only_an_error_has_a_description(recording):
    span = recording.tracer.start_span("name")

    span.set_status(StatusCode.OK, "all well")

    assert span.status.description is None


@pytest.mark.parametrize("status", [None, 1, "ERROR", object()])
def test_what_is_no_status_is_ignored(recording, status):
    span = recording.tracer.start_span("name")

    span.set_status(status)

    assert span.status.status_code is StatusCode.UNSET


def test_a_link_needs_ids_or_something_to_tell(recording):
    span = recording.tracer.start_span("name")

    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.add_link(trace.INVALID_SPAN_CONTEXT, {"still": "told"})
    span.add_link(None)

    assert [dict(link.attributes) for link in span.links] == [{"still": "told"}]


class Stubborn:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __iter__ = __len__ = __bool__ = __str__


def test_no_argument_whatsoever_makes_a_span_raise(recording):
    odd = Stubborn()
    for value in (odd, None, 1.5, "text", b"\xff", [odd], {"k": odd}, {odd: 1}):
        span = recording.tracer.start_span(
            value, links=value, kind=value, attributes=value, start_time=value
        )
        span.set_attribute(value, value)
        span.set_attribute("key", value)
        span.set_attributes(value)
        span.add_event(value, value, value)
        span.add_link(value, value)
        span.update_name(value)
        span.set_status(value, value)
        span.record_exception(value, value, value, value)
        span.end(value)
        assert isinstance(span.snapshot(), ReadableSpan)
        assert not recording.tracer.start_span("n", context=value).parent


@pytest.mark.parametrize(
    ("given", "kept"), [(-1, 0), (2**64, 2**64 - 1), (1.9, 1), (True, 1)]
)
def test_times_are_such_as_otlp_can_carry(recording, given, kept):
    span = recording.tracer.start_span("name", start_time=given)
    span.add_event("event", timestamp=given)
    span.end(given)

    assert span.start_time == span.events[0].timestamp == span.end_time == kept


@pytest.mark.parametrize("given", [float("nan"), float("inf"), "soon"])
def test_what_is_no_time_is_now(recording, given):
    span = recording.tracer.start_span("name", start_time=given)

    assert span.start_time > 10**18


def test_spans_are_counted_from_start_to_end(recording):
    first = recording.tracer.start_span("first")
    recording.tracer.start_span("second")
    first.end()
    first.end()

    snapshot = recording.ledger.snapshot()
    assert (snapshot.started, snapshot.live, snapshot.ended) == (2, 1, 1)


def test_of_many_threads_ending_a_span_exactly_one_does(recording):
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            span = recording.tracer.start_span("contended")
            start = threading.Barrier(4)

            def end(start=start, span=span):
                start.wait()
                span.add_event("event")
                span.end()

            threads = [threading.Thread(target=end) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before_s)

    assert len(recording.spans) == 50
    snapshot = recording.ledger.snapshot()
    assert (snapshot.started, snapshot.ended) == (50, 50)


def test_no_event_of_another_thread_is_lost(recording):
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            span = recording.tracer.start_span("contended")
            start = threading.Barrier(4)

            def add(start=start, span=span):
                start.wait()
                span.add_event("event")

            threads = [threading.Thread(target=add) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(span.events) == 4
    finally:
        sys.setswitchinterval(before_s)
