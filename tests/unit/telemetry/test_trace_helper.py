"""telemetry.helper and telemetry.block: a user's own spans, and their outcome."""

import asyncio
import contextvars

import pytest
import trio
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from zerostate.errors import PeerLostError
from zerostate.semconv.spans import SpanSpec
from zerostate.telemetry.helper import (
    TraceHelper,
    with_channel_id,
    with_guild_id,
    with_message_type,
    with_peer_id,
    with_task_id,
)
from zerostate.telemetry.marks import record_success
from zerostate.telemetry.outcome import record_error
from zerostate.telemetry.spans import LayerTracer
from zerostate.testing import SpanRecorder, assert_trace


@pytest.fixture
def recorder():
    return SpanRecorder()


@pytest.fixture
def helper(recorder):
    return TraceHelper("shop", provider=recorder.provider)


def test_a_span_is_current_in_its_block_and_has_its_options(recorder, helper):
    with helper.start_span(
        "order",
        with_task_id("t"),
        with_peer_id("p"),
        with_guild_id("g"),
        with_channel_id("c"),
        with_message_type("m"),
        {"items": 2, "task.id": "later wins"},
        kind=SpanKind.CLIENT,
    ) as span:
        assert trace.get_current_span() is span

    assert recorder.named("order").attributes == {
        "task.id": "later wins",
        "peer.id": "p",
        "guild.id": "g",
        "channel.id": "c",
        "message.type": "m",
        "items": 2,
    }
    assert recorder.named("order").instrumentation_scope.name == "zerostate.shop"
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert_trace(recorder.spans, "order CLIENT")


def test_phases_opened_one_after_the_other_are_siblings(recorder, helper):
    with helper.start_span("order"):
        with helper.start_span("price"):
            pass
        with helper.start_span("charge"):
            pass

    assert_trace(
        recorder.spans,
        """
        order
          price
          charge
        """,
    )


def test_a_failure_marks_the_span_and_goes_on_unchanged(recorder, helper):
    failure = PeerLostError("gone")
    with pytest.raises(PeerLostError) as caught, helper.start_span("order"):
        raise failure

    assert caught.value is failure
    assert_trace(recorder.spans, "order ERROR=peer_lost")


@pytest.mark.parametrize("when", ["raised in the block", "recorded in the block"])
def test_success_before_a_failure_does_not_hide_it(recorder, helper, when):
    failure = PeerLostError("gone")
    try:
        with helper.start_span("order") as span:
            record_success(span, 12)
            if when == "raised in the block":
                raise failure
            record_error(span, failure)
    except PeerLostError:
        pass

    assert_trace(recorder.spans, "order ERROR=peer_lost")


def test_success_after_a_recorded_failure_does_not_hide_it(recorder, helper):
    with helper.start_span("order") as span:
        record_error(span, PeerLostError("gone"))
        record_success(span)

    assert_trace(recorder.spans, "order ERROR=peer_lost")


def test_success_with_no_failure_makes_the_span_ok_when_its_block_ends(
    recorder, helper
):
    with helper.start_span("order") as span:
        record_success(span, 12.5)
        assert span.status.status_code is StatusCode.UNSET

    assert recorder.named("order").status.status_code is StatusCode.OK
    assert recorder.named("order").attributes == {"duration.ms": 12.5}


def test_success_of_the_parent_says_nothing_of_its_children(recorder, helper):
    with helper.start_span("order") as order:
        with helper.start_span("price"):
            record_success(order)

    assert recorder.named("order").status.status_code is StatusCode.OK
    assert recorder.named("price").status.status_code is StatusCode.UNSET


async def test_cancellation_after_success_is_neither_ok_nor_an_error(
    recorder, helper, autojump_clock
):
    with trio.move_on_after(1), helper.start_span("order") as span:
        record_success(span)
        await trio.sleep_forever()

    assert recorder.named("order").status.status_code is StatusCode.UNSET
    assert recorder.named("order").attributes["zerostate.cancelled"] is True


def test_asyncios_cancellation_is_not_an_error(recorder, helper):
    async def wait():
        with helper.start_span("order"):
            await asyncio.Event().wait()

    async def cancel_it():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_it())

    assert_trace(recorder.spans, "order")


def test_a_manual_span_is_ended_by_its_caller_and_never_current(recorder, helper):
    span = helper.start_manual_span("order", with_task_id("t"))
    assert trace.get_current_span() is trace.INVALID_SPAN
    record_success(span)
    record_error(span, PeerLostError("gone"))
    assert recorder.spans == ()
    span.end()

    assert_trace(recorder.spans, "order ERROR=peer_lost")
    assert recorder.named("order").attributes["task.id"] == "t"


def test_a_context_given_is_current_inside_with_its_baggage(recorder, helper):
    context = baggage.set_baggage("customer", "gold", Context())
    with helper.start_span("outer"):
        with helper.start_span("inner", context=context):
            assert baggage.get_baggage("customer") == "gold"
        assert baggage.get_baggage("customer") is None

    assert_trace(
        recorder.spans,
        """
        outer
        inner
        """,
    )


def items(helper):
    """A span around a ``yield``: a mistake, that must not spread."""
    with helper.start_span("items", context=Context()):
        yield 1
        yield 2


def test_a_generator_that_is_left_early_takes_its_span_along(recorder, helper, caplog):
    for _ in items(helper):
        break

    assert trace.get_current_span() is trace.INVALID_SPAN
    assert caplog.records == []
    assert recorder.named("items").attributes == {"zerostate.cancelled": True}


def test_a_generator_finalised_elsewhere_does_not_change_what_is_current_there(
    recorder, helper
):
    generator = items(helper)
    contextvars.copy_context().run(next, generator)

    with helper.start_span("elsewhere") as span:
        generator.close()
        assert trace.get_current_span() is span

    assert_trace(recorder.spans, "items\nelsewhere")


def test_success_can_be_said_of_a_layers_span_too(recorder):
    work = SpanSpec("work", "INTERNAL", "")
    with LayerTracer("test", recorder.provider).span(work, {}) as span:
        record_success(span)

    assert recorder.named("work").status.status_code is StatusCode.OK


def test_without_a_provider_nothing_is_recorded_and_nothing_fails():
    with TraceHelper("shop").start_span("order") as span:
        record_success(span, 1)
        assert not span.is_recording()


def test_a_component_without_a_name_is_refused():
    with pytest.raises(ValueError, match="component: empty"):
        TraceHelper("")


def test_an_exception_that_cannot_be_printed_is_still_a_failure(recorder, helper):
    class SilentError(Exception):
        def __str__(self):
            raise RuntimeError("no")

    with helper.start_span("order") as span:
        span.record_exception = lambda *_: None
        record_error(span, SilentError())

    status = recorder.named("order").status
    assert status.description == "<SilentError; its str() raised RuntimeError>"
