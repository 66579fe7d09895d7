"""TraceCarrier: any headers in, nothing raised, only well-formed ones kept."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.propagators.textmap import DefaultGetter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from zerostate.telemetry import TraceCarrier

hex_digits = st.text("0123456789abcdef")
ids = st.tuples(
    st.text("0123456789abcdef", min_size=32, max_size=32).filter(
        lambda t: t.strip("0")
    ),
    st.text("0123456789abcdef", min_size=16, max_size=16).filter(
        lambda t: t.strip("0")
    ),
)
headers = st.dictionaries(
    st.sampled_from(["traceparent", "tracestate", "baggage"]),
    st.one_of(
        st.text(max_size=80),
        st.binary(max_size=80).map(lambda data: data.decode("latin-1")),
        ids.map(lambda pair: f"00-{pair[0]}-{pair[1]}-01"),
    ),
)


@given(headers)
def test_any_headers_are_survived(given_headers):
    carrier = TraceCarrier.from_headers(given_headers)
    context = carrier.extract()

    span = trace.get_current_span(context).get_span_context()
    assert span.is_valid == bool(carrier.traceparent)


@given(headers)
def test_what_was_kept_is_kept_again(given_headers):
    carrier = TraceCarrier.from_headers(given_headers)

    assert TraceCarrier.from_headers(carrier.headers()) == carrier


@given(ids)
def test_the_sdks_own_propagator_reads_the_same_ids(pair):
    trace_id, span_id = pair
    carrier = TraceCarrier.from_headers({"traceparent": f"00-{trace_id}-{span_id}-01"})
    context = TraceContextTextMapPropagator().extract(
        carrier.headers(), getter=DefaultGetter()
    )

    span = trace.get_current_span(context).get_span_context()
    assert (f"{span.trace_id:032x}", f"{span.span_id:016x}") == pair
