"""Whatever a message holds as trace context, nothing is raised."""

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.context import Context

from zerostate.telemetry.remote import (
    extract_trace_context,
    extract_trace_context_bytes,
    extract_trace_context_map,
    inject_trace_context,
)

HEADERS = st.sampled_from(["traceparent", "tracestate", "baggage"])
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@settings(deadline=None)
@given(st.text(alphabet=st.characters()) | st.text("0123456789abcdef-\n=,;"))
def test_any_text_is_read_without_raising(text):
    extract_trace_context(text)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_read_without_raising(data):
    extract_trace_context_bytes(data)


@settings(deadline=None)
@given(st.dictionaries(HEADERS, st.text(alphabet=st.characters())))
def test_any_headers_are_read_without_raising(headers):
    extract_trace_context_map(headers)


@settings(deadline=None)
@given(st.text())
def test_what_follows_a_good_traceparent_cannot_take_it_away(text):
    context = extract_trace_context(PARENT + "\n" + text.replace("\n", " ")[:400])

    span = trace.get_current_span(context).get_span_context()
    assert f"{span.trace_id:032x}" == PARENT[3:35]


@settings(deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(), max_size=5)
)
def test_baggage_comes_out_as_it_went_in(entries):
    context = Context()
    for name, value in entries.items():
        context = baggage.set_baggage(name, value, context)

    there = extract_trace_context(inject_trace_context(context))

    assert baggage.get_all(there) == entries
