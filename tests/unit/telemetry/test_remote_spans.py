"""telemetry.remote: trace context inside one's own messages."""

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
)

from zerostate.telemetry import TraceCarrier
from zerostate.telemetry.helper import TraceHelper, with_peer_id
from zerostate.telemetry.outcome import record_error
from zerostate.telemetry.propagation import dropped_headers
from zerostate.telemetry.remote import (
    extract_trace_context,
    extract_trace_context_bytes,
    extract_trace_context_map,
    inject_trace_context,
    inject_trace_context_bytes,
    inject_trace_context_map,
    with_remote_span,
)
from zerostate.testing import SpanRecorder, assert_trace

TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736
SPAN_ID = 0x00F067AA0BA902B7
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def sending_context(*, state="", **entries):
    span = SpanContext(
        TRACE_ID,
        SPAN_ID,
        is_remote=False,
        trace_flags=TraceFlags(1),
        trace_state=TraceState.from_header([state] if state else []),
    )
    context = trace.set_span_in_context(NonRecordingSpan(span), Context())
    for name, value in entries.items():
        context = baggage.set_baggage(name, value, context)
    return context


def received(context):
    span = trace.get_current_span(context).get_span_context()
    return span.trace_id, span.span_id, span.trace_state, baggage.get_all(context)


@pytest.fixture
def recorder():
    return SpanRecorder()


def test_without_tracestate_and_baggage_the_text_is_the_bare_traceparent():
    assert inject_trace_context(sending_context()) == TRACEPARENT
    assert inject_trace_context_bytes(sending_context()) == TRACEPARENT.encode()
    assert inject_trace_context_map(sending_context()) == {"traceparent": TRACEPARENT}


def test_outside_of_any_span_there_is_nothing_to_send():
    assert inject_trace_context() == ""
    assert inject_trace_context_bytes() == b""
    assert inject_trace_context_map() == {}


@pytest.mark.parametrize(
    ("inject", "extract"),
    [
        (inject_trace_context, extract_trace_context),
        (inject_trace_context_bytes, extract_trace_context_bytes),
        (inject_trace_context_map, extract_trace_context_map),
    ],
)
def test_what_is_injected_comes_out_with_tracestate_and_baggage(inject, extract):
    sent = sending_context(state="vendor=1", customer="gold")

    trace_id, span_id, state, entries = received(extract(inject(sent)))

    assert (trace_id, span_id) == (TRACE_ID, SPAN_ID)
    assert dict(state) == {"vendor": "1"}
    assert entries == {"customer": "gold"}


def test_baggage_travels_without_a_span_too():
    sent = baggage.set_baggage("customer", "gold", Context())

    assert received(extract_trace_context(inject_trace_context(sent)))[3] == {
        "customer": "gold"
    }


def test_it_is_added_to_the_context_given_and_otherwise_to_none():
    here = baggage.set_baggage("here", "1", Context())
    text = inject_trace_context(sending_context(there="2"))

    assert received(extract_trace_context(text, here))[3] == {"here": "1", "there": "2"}
    token = attach(here)
    try:
        assert received(extract_trace_context(text))[3] == {"there": "2"}
    finally:
        detach(token)


def test_garbage_leaves_the_context_given_as_it_was():
    here = sending_context(here="1")

    assert received(extract_trace_context("00-garbage", here)) == received(here)


@pytest.mark.parametrize("garbage", ["00-garbage", "é\ud800", "\n" * 10, "x" * 100_000])
def test_garbage_is_dropped_and_counted(garbage):
    before = dropped_headers.total()

    assert extract_trace_context(garbage) == Context()
    assert dropped_headers.total() > before


def test_the_remote_span_is_at_hand_and_continues_the_senders_trace(recorder):
    sender = TraceHelper("p2p", provider=recorder.provider)
    with sender.start_span("p2p.send_message"):
        text = inject_trace_context()

    with with_remote_span(
        "p2p",
        "p2p.handle_message",
        text,
        with_peer_id("p"),
        provider=recorder.provider,
    ) as span:
        record_error(span, ValueError("no such thing"))

    assert_trace(
        recorder.spans,
        """
        p2p.send_message
          p2p.handle_message SERVER ERROR=ValueError
        """,
    )
    handled = recorder.named("p2p.handle_message")
    assert handled.attributes["peer.id"] == "p"
    assert handled.instrumentation_scope.name == "zerostate.p2p"
    assert handled.parent.is_remote


@pytest.mark.parametrize(
    "form",
    [
        TRACEPARENT,
        TRACEPARENT.encode(),
        {"traceparent": TRACEPARENT},
        TraceCarrier(TRACEPARENT),
    ],
)
def test_a_trace_context_may_have_any_form_that_a_message_may_hold(recorder, form):
    with with_remote_span(
        "p2p", "handle", form, kind=SpanKind.CONSUMER, provider=recorder.provider
    ):
        pass

    (span,) = recorder.spans
    assert span.parent.span_id == SPAN_ID
    assert_trace(recorder.spans, "handle CONSUMER remote-parent")


@pytest.mark.parametrize("form", ["", b"", {}, None, "garbage", b"\xff\xfe"])
def test_without_a_usable_context_the_span_starts_a_trace_of_its_own(recorder, form):
    with TraceHelper("p2p", provider=recorder.provider).start_span("somebody else's"):
        with with_remote_span("p2p", "handle", form, provider=recorder.provider):
            pass

    assert_trace(recorder.spans, "somebody else's\nhandle SERVER")


def test_the_senders_baggage_is_current_inside_and_the_receivers_again_after():
    text = inject_trace_context(sending_context(there="2"))
    token = attach(baggage.set_baggage("here", "1", Context()))
    try:
        with with_remote_span("p2p", "handle", text):
            assert baggage.get_all() == {"there": "2"}
        assert baggage.get_all() == {"here": "1"}
    finally:
        detach(token)
