"""With the real sanitiser, no secret is on the wire, wherever the program put it."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.trace import Link, SpanContext, StatusCode

from secrets_seen import SECRETS
from zerostate.telemetry.recorder.clean_texts import MAX_TEXT_CHARS, MAX_TEXTS
from zerostate.telemetry.recorder.encode import SpanEncoder
from zerostate.telemetry.sanitising import build_sanitiser

LINKED = SpanContext(7, 8, True)
ALL = [(name, *pair) for name, pairs in SECRETS.items() for pair in pairs]


def encoder_for(resource=None):
    return SpanEncoder(resource or {}, sanitise=build_sanitiser())


def record(tracer, text):
    """Put `text` everywhere at once, beside values of every type."""
    keys = {f"{text} {number}": value for number, value in enumerate((1, 1.5, True))}
    keys |= {text: "x", f"{text} list": ["x", text], f"{text} map": {text: text}}
    with tracer.start_as_current_span(
        text, attributes=keys, links=[Link(LINKED, keys)]
    ) as span:
        span.add_event(text, keys)
        span.set_status(StatusCode.ERROR, text)
        span.set_attribute("plain", text)


@pytest.mark.parametrize(("shape", "text", "secret"), ALL)
def test_a_secret_is_nowhere_on_the_wire(recording, shape, text, secret):
    tracer = recording.provider.get_tracer(text, text, text, {text: text})
    record(tracer, text)
    encoder = encoder_for({text: text})

    for _ in range(2):  # also from what is remembered
        encoded = encoder.encode(recording.spans)

        assert encoded.skipped_spans == 0
        assert secret.encode() not in encoded.payload, shape
        (found,) = (
            ExportTraceServiceRequest.FromString(encoded.payload)
            .resource_spans[0]
            .scope_spans[0]
            .spans
        )
        assert len(found.attributes) == 7
        assert len(found.events[0].attributes) == len(found.links[0].attributes) == 6


def test_a_long_name_is_cleaned_and_not_remembered(recording):
    _, text, secret = ALL[0]
    name = f"{'x ' * MAX_TEXT_CHARS}{text}"
    recording.tracer.start_span(name).end()
    encoder = encoder_for()

    payload = encoder.encode(recording.spans).payload

    assert b"x x x" in payload
    assert secret.encode() not in payload
    assert not encoder._names
    assert not encoder._span_names


def test_names_and_keys_remembered_have_a_bound(recording):
    for number in range(MAX_TEXTS + 3):
        span = recording.tracer.start_span(f"n{number}", attributes={f"k{number}": 1})
        span.add_event(f"e{number}")
        span.end()
    encoder = encoder_for()

    assert encoder.encode(recording.spans) == encoder.encode(recording.spans)
    places = (encoder._span_names, encoder._event_names, encoder._pairs._keys)
    assert all(0 < len(place) <= MAX_TEXTS for place in places)
