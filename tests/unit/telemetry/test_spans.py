"""telemetry.spans: one way to open a span, and what it says of the outcome."""

import pytest
import trio
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracerProvider,
    SpanContext,
    StatusCode,
    get_current_span,
    set_span_in_context,
)

from zerostate.errors import PeerLostError, RemoteError
from zerostate.semconv import attributes as attr
from zerostate.semconv.spans import SpanSpec
from zerostate.telemetry import LayerTracer
from zerostate.telemetry.bound_ids import bound_ids
from zerostate.telemetry.provider import SwitchProvider
from zerostate.telemetry.spans import MAX_MESSAGE_CHARS
from zerostate.testing import SpanRecorder, assert_trace

WORK = SpanSpec("work", "INTERNAL", "")
CALL = SpanSpec("call.{type}", "CLIENT", "")


@pytest.fixture
def recorder():
    return SpanRecorder()


@pytest.fixture
def tracer(recorder):
    return LayerTracer("test", recorder.provider)


def test_success_leaves_the_status_unset(recorder, tracer):
    with tracer.span(CALL, {"size": 1}, type="ping"):
        pass

    span = recorder.named("call.ping")
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {"size": 1}
    assert span.instrumentation_scope.name == "zerostate.test"
    assert_trace(recorder.spans, "call.ping CLIENT")


def test_a_failure_is_an_error_with_its_code_and_one_exception_event(recorder, tracer):
    with pytest.raises(PeerLostError), tracer.span(WORK, {}):
        raise PeerLostError("gone" * 1000)

    span = recorder.named("work")
    assert span.status.status_code is StatusCode.ERROR
    assert len(span.status.description) == MAX_MESSAGE_CHARS
    assert span.attributes["error.type"] == "peer_lost"
    assert [event.name for event in span.events] == ["exception"]


def test_an_error_that_a_peer_answered_with_keeps_that_peers_code(recorder, tracer):
    with pytest.raises(RemoteError), tracer.span(WORK, {}):
        raise RemoteError("guild_full", "50 members")

    assert recorder.named("work").attributes["error.type"] == "guild_full"


def test_an_error_not_of_ours_is_named_by_its_class(recorder, tracer):
    with pytest.raises(KeyError), tracer.span(WORK, {}):
        raise KeyError("x")

    assert recorder.named("work").attributes["error.type"] == "KeyError"


async def test_cancellation_is_not_an_error(recorder, tracer, autojump_clock):
    with trio.move_on_after(1), tracer.span(WORK, {}):
        await trio.sleep_forever()

    span = recorder.named("work")
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {"zerostate.cancelled": True}
    assert not span.events


async def test_the_failure_inside_an_exception_group_is_the_one_named(recorder, tracer):
    async def fail():
        raise PeerLostError("gone")

    with pytest.RaisesGroup(PeerLostError), tracer.span(WORK, {}):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(trio.sleep_forever)

    assert recorder.named("work").attributes["error.type"] == "peer_lost"


def test_an_empty_context_starts_a_trace_of_its_own(recorder, tracer):
    with tracer.span(WORK, {}):
        with tracer.span(CALL, {}, type="a"):
            pass
        with tracer.span(CALL, {}, type="b", context=Context()):
            pass

    assert_trace(
        recorder.spans,
        """
        work
          call.a CLIENT
        call.b CLIENT
        """,
    )


def test_without_a_provider_nothing_is_recorded_and_nothing_fails():
    with LayerTracer("test").span(WORK, {"a": 1}) as span:
        assert not span.is_recording()


def test_with_tracing_off_ids_are_bound_and_the_trace_that_came_in_goes_on():
    switch = SwitchProvider()
    tracer = LayerTracer("test", switch)
    parent = set_span_in_context(NonRecordingSpan(SpanContext(1, 2, is_remote=True)))
    token = attach(parent)
    try:
        with tracer.span(WORK, {attr.TASK_ID: "a", "size": 1}) as span:
            assert not span.is_recording()
            assert span.get_span_context().trace_id == 1
            assert get_current_span().get_span_context().span_id == 2
            with tracer.span(WORK, {attr.TASK_ID: "b"}):
                assert bound_ids() == {attr.TASK_ID: "b"}
            assert bound_ids() == {attr.TASK_ID: "a"}
        assert bound_ids() == {}
    finally:
        detach(token)


def test_with_tracing_off_somebody_elses_span_gets_none_of_our_attributes(recorder):
    with recorder.provider.get_tracer("theirs").start_as_current_span("theirs"):
        with LayerTracer("test").span(WORK, {}) as span:
            span.set_attribute("ours", 1)
    assert recorder.named("theirs").attributes == {}


def test_spans_are_made_from_the_moment_tracing_is_switched_on(recorder):
    switch = SwitchProvider()
    tracer = LayerTracer("test", switch)
    with tracer.span(WORK, {}):
        pass
    switch.switch(recorder.provider)
    with tracer.span(CALL, {}, type="ping"):
        pass
    switch.switch(NoOpTracerProvider())
    with tracer.span(WORK, {}):
        pass
    assert_trace(recorder.spans, "call.ping CLIENT")


def test_a_span_opened_by_hand_around_a_call_is_the_calls_span(recorder, tracer):
    same_layer = LayerTracer("test", recorder.provider)
    with same_layer.span(WORK, {"peer.id": "a"}) as by_hand:
        with tracer.span(WORK, {"peer.id": "a", "size": 1}, adopts=True) as own:
            assert own is by_hand
        assert not recorder.spans, "the hand that opened it ends it"

    assert_trace(recorder.spans, "work")
    assert recorder.named("work").attributes == {"peer.id": "a", "size": 1}


def test_a_span_about_something_else_is_not_taken_over(recorder, tracer):
    with tracer.span(WORK, {"peer.id": "a"}):
        with tracer.span(WORK, {"peer.id": "b"}, adopts=True):
            pass
        with tracer.span(CALL, {"peer.id": "a"}, type="ping", adopts=True):
            pass

    assert_trace(recorder.spans, "work\n  work\n  call.ping CLIENT")


def test_a_span_is_taken_over_once(recorder, tracer):
    with tracer.span(WORK, {}):
        for _ in range(2):
            with tracer.span(WORK, {}, adopts=True):
                pass

    assert_trace(recorder.spans, "work\n  work")


def test_a_failure_in_a_span_taken_over_is_recorded_once(recorder, tracer):
    with (
        pytest.raises(PeerLostError),
        tracer.span(WORK, {}),
        tracer.span(WORK, {}, adopts=True),
    ):
        raise PeerLostError("gone")

    span = recorder.named("work")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
