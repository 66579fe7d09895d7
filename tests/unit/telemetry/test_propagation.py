"""telemetry.propagation: context on the wire, and garbage on the wire."""

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context

from zerostate.semconv.spans import SpanSpec
from zerostate.telemetry import LayerTracer, TraceCarrier
from zerostate.telemetry.propagation import (
    PROPAGATOR,
    dropped_headers,
    install_propagator,
)
from zerostate.telemetry.remote import (
    extract_trace_context,
    inject_trace_context,
    inject_trace_context_map,
)
from zerostate.testing import SpanRecorder

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_span_goes_through_headers_and_back():
    recorder = SpanRecorder()
    tracer = LayerTracer("test", recorder.provider)
    with tracer.span(SpanSpec("a", "CLIENT", ""), {}) as span:
        headers = TraceCarrier.inject().headers()
    context = TraceCarrier.from_headers(headers).extract()

    remote = trace.get_current_span(context).get_span_context()
    assert remote.trace_id == span.get_span_context().trace_id
    assert remote.span_id == span.get_span_context().span_id
    assert remote.is_remote


def test_baggage_and_tracestate_travel_too():
    headers = {"traceparent": TRACEPARENT, "tracestate": "a=1,b@c=2", "baggage": "k=v"}
    context = TraceCarrier.from_headers(headers).extract()

    assert baggage.get_baggage("k", context) == "v"
    state = trace.get_current_span(context).get_span_context().trace_state
    assert state.to_header() == "a=1,b@c=2"
    again = TraceCarrier.inject(context)
    assert again.tracestate == "a=1,b@c=2"
    assert again.baggage == "k=v"


def test_nothing_of_the_current_context_gets_into_an_extracted_one():
    tracer = LayerTracer("test", SpanRecorder().provider)
    with tracer.span(SpanSpec("dialler", "CLIENT", ""), {}):
        context = TraceCarrier().extract()

    assert not trace.get_current_span(context).get_span_context().is_valid


@pytest.mark.parametrize(
    "traceparent",
    [
        "garbage",
        TRACEPARENT.upper(),
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"{TRACEPARENT},{TRACEPARENT}",
        f"\n{TRACEPARENT}",
        f"{TRACEPARENT}\n",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 300,
    ],
)
def test_a_malformed_traceparent_is_dropped_with_its_tracestate(traceparent):
    before = dropped_headers["traceparent"]
    headers = {"traceparent": traceparent, "tracestate": "a=1", "baggage": "k=v"}
    carrier = TraceCarrier.from_headers(headers)

    assert carrier == TraceCarrier(baggage="k=v")
    assert dropped_headers["traceparent"] == before + 1


def test_a_future_version_is_read_as_far_as_it_is_known():
    carrier = TraceCarrier.from_headers({"traceparent": f"01-{TRACE}-{SPAN}-01-x"})

    assert carrier.trace_id == TRACE


@pytest.mark.parametrize(
    "tracestate",
    [
        "a",
        "A=1",
        "a=1,a=2",
        "a=" + "x" * 257,
        "a=1," + "b=" + "x" * 8192,
        "a=1\x00",
        ",".join(f"k{i}=1" for i in range(33)),
    ],
)
def test_a_malformed_tracestate_is_dropped_alone(tracestate):
    headers = {"traceparent": TRACEPARENT, "tracestate": tracestate}

    assert TraceCarrier.from_headers(headers) == TraceCarrier(TRACEPARENT)


def test_a_link_names_the_carried_span():
    (link,) = TraceCarrier(TRACEPARENT).link({"why": "test"})

    assert f"{link.context.span_id:016x}" == SPAN
    assert link.attributes == {"why": "test"}
    assert TraceCarrier().link({}) == ()


def test_the_propagator_is_installed_for_everybody():
    install_propagator()

    assert propagate.get_global_textmap() is PROPAGATOR


def test_injecting_without_a_span_gives_no_headers():
    assert TraceCarrier.inject(Context()).headers() == {}


class BrokenSpan(trace.NonRecordingSpan):
    def get_span_context(self):
        raise RuntimeError


def in_context(span):
    return trace.set_span_in_context(span, Context())


MISTAKEN = [
    5,
    "context",
    object(),
    trace.INVALID_SPAN,
    in_context(BrokenSpan(None)),
    in_context(
        trace.NonRecordingSpan(trace.SpanContext(1, 2, False, trace_state="a=b"))
    ),
]
"""What a caller, or a sampler, may have made a context of by mistake."""


@pytest.mark.parametrize("context", MISTAKEN, ids=repr)
def test_what_is_no_context_gives_an_empty_carrier_and_is_counted(context):
    before = dropped_headers["context"]

    assert TraceCarrier.inject(context) == TraceCarrier()
    assert inject_trace_context(context) == ""
    assert inject_trace_context_map(context) == {}
    assert dropped_headers["context"] == before + 3


@pytest.mark.parametrize("context", MISTAKEN, ids=repr)
def test_the_propagator_survives_what_is_no_context(context):
    before = dropped_headers.total()
    headers = {}

    PROPAGATOR.inject(headers, context)

    assert "tracestate" not in headers
    assert dropped_headers.total() == before + 1


@pytest.mark.parametrize("context", MISTAKEN[:4], ids=repr)
def test_what_is_no_context_is_extracted_into_an_empty_one(context):
    before = dropped_headers["context"]

    for found in (
        PROPAGATOR.extract({"traceparent": TRACEPARENT}, context),
        extract_trace_context(TRACEPARENT, context),
    ):
        span = trace.get_current_span(found).get_span_context()
        assert f"{span.trace_id:032x}" == TRACE
    assert dropped_headers["context"] == before + 2


def test_a_plain_dictionary_serves_as_a_context():
    context = dict(in_context(trace.NonRecordingSpan(trace.SpanContext(1, 2, False))))

    assert TraceCarrier.inject(context).trace_id == f"{1:032x}"
