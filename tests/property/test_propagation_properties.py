"""Any headers in, nothing raised; and OpenTelemetry's propagator understands ours."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from zerostate.telemetry.propagation import PROPAGATOR, TraceCarrier

SDK = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
NAMES = ["traceparent", "tracestate", "baggage"]

anything = st.one_of(
    st.text(),
    st.binary(),
    st.none(),
    st.integers(),
    st.lists(st.one_of(st.text(), st.binary())),
    st.text("0123456789abcdef-,=; \t@%", max_size=80),
)

keys = st.from_regex(r"[a-z][a-z0-9_\-*/]{0,20}", fullmatch=True)
values = st.text(
    [chr(code) for code in range(0x21, 0x7F) if chr(code) not in ",="],
    min_size=1,
    max_size=12,
)
tracestates = st.dictionaries(keys, values, max_size=10)
baggages = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9_.~\-]{1,10}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    max_size=8,
)
contexts = st.builds(
    lambda trace_id, span_id, flags, state, entries: _context(
        SpanContext(
            trace_id,
            span_id,
            is_remote=False,
            trace_flags=TraceFlags(flags),
            trace_state=TraceState(list(state.items())),
        ),
        entries,
    ),
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.integers(0, 3),
    tracestates,
    baggages,
)


def _context(span, entries):
    context = set_span_in_context(NonRecordingSpan(span), Context())
    for key, value in entries.items():
        context = baggage.set_baggage(key, value, context)
    return context


def content(context):
    span = trace.get_current_span(context).get_span_context()
    return (
        span.trace_id,
        span.span_id,
        span.trace_flags,
        list(span.trace_state.items()),
        {key: str(value) for key, value in baggage.get_all(context).items()},
    )


@given(st.dictionaries(st.sampled_from([*NAMES, "TraceParent", "x"]), anything))
def test_any_headers_are_survived(headers):
    context = PROPAGATOR.extract(headers, Context())
    again: dict[str, str] = {}
    PROPAGATOR.inject(again, context)

    assert content(PROPAGATOR.extract(again, Context())) == content(context)
    assert TraceCarrier.from_headers(headers).extract() is not None


@given(st.lists(st.tuples(anything, anything)))
def test_any_pairs_are_survived(pairs):
    PROPAGATOR.extract(pairs, Context())


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data):
    for carrier in (TraceCarrier.from_bytes(data), TraceCarrier.from_binary(data)):
        assert TraceCarrier.from_bytes(carrier.to_bytes()) == carrier


@given(contexts)
def test_what_we_write_opentelemetry_reads(context):
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers, context)

    # Its baggage strips values, which no encoding prevents.
    wanted, got = content(context), content(SDK.extract(headers, Context()))
    assert got[:4] == wanted[:4]
    assert got[4] == {key: value.strip() for key, value in wanted[4].items()}


@given(contexts)
def test_what_opentelemetry_writes_we_read(context):
    headers: dict[str, str] = {}
    SDK.inject(headers, context)

    # It writes a space as "+", which W3C Baggage reads as a plus sign.
    wanted, got = content(context), content(PROPAGATOR.extract(headers, Context()))
    assert got[:4] == wanted[:4]
    assert got[4] == {key: value.replace(" ", "+") for key, value in wanted[4].items()}
