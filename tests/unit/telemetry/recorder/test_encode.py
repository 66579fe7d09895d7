import gzip
import random
import threading
import zlib

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags, TraceState

from zerostate.telemetry.recorder.encode import SpanEncoder, encode_request
from zerostate.telemetry.recorder.pairs import MAX_KEYS, MAX_VALUES

LINKED = SpanContext(7, 8, True, TraceFlags(1), TraceState([("v", "x")]))


def read(encoded):
    return ExportTraceServiceRequest.FromString(encoded.payload)


def spans_in(encoded):
    (resource,) = read(encoded).resource_spans
    return [span for scope in resource.scope_spans for span in scope.spans]


def attributes_in(message):
    return {pair.key: pair.value for pair in message.attributes}


def test_spans_stand_under_their_scopes_and_the_resource_once(recording):
    other = recording.provider.get_tracer("other", "2", "https://s", {"k": 1})
    for tracer in (recording.tracer, other, recording.tracer):
        tracer.start_span("n").end()

    encoded = SpanEncoder({"service.name": "t"}).encode(recording.spans)

    (resource,) = read(encoded).resource_spans
    assert attributes_in(resource.resource)["service.name"].string_value == "t"
    first, second = resource.scope_spans
    assert (first.scope.name, first.scope.version, len(first.spans)) == (
        "tests",
        "1.2",
        2,
    )
    assert (second.scope.name, second.schema_url, len(second.spans)) == (
        "other",
        "https://s",
        1,
    )
    assert attributes_in(second.scope)["k"].int_value == 1


def test_no_spans_are_an_empty_request(recording):
    assert encode_request([], {}, sanitise=None) == (b"", 0)


def test_what_cannot_be_encoded_is_left_out_and_counted(recording, caplog):
    for name in ("good", "bad", "good"):
        recording.tracer.start_span(name).end()
    recording.spans[1].raw_attributes["odd"] = object()
    recording.spans[1].trace_id = -1

    encoded = SpanEncoder({}).encode(recording.spans)

    assert [span.name for span in spans_in(encoded)] == ["good", "good"]
    assert encoded.skipped_spans == 1
    assert len(caplog.records) == 1


def test_a_lone_surrogate_is_written_as_its_escape(recording):
    text = "a\udc80"
    span = recording.tracer.start_span(text, attributes={text: text, "l": [text]})
    span.add_event(text, {text: text})
    span.set_status(StatusCode.ERROR, text)
    span.end()

    (found,) = spans_in(SpanEncoder({text: text}).encode(recording.spans))

    escaped = "a\\udc80"
    assert found.name == found.status.message == found.events[0].name == escaped
    assert attributes_in(found)[escaped].string_value == escaped
    assert attributes_in(found)["l"].array_value.values[0].string_value == escaped


@pytest.mark.parametrize("exponent", [63, 64, 200])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_integer_beyond_64_bits_is_text(recording, exponent, sign):
    number = sign * (1 << exponent) + (-1 if sign < 0 else 0)
    recording.tracer.start_span("n", attributes={"i": number}).end()

    (found,) = spans_in(SpanEncoder({}).encode(recording.spans))

    assert attributes_in(found)["i"].string_value == str(number)


def test_an_integer_of_any_size_costs_no_span(recording):
    recording.tracer.start_span("n", attributes={"i": 1 << 100_000}).end()

    (found,) = spans_in(SpanEncoder({}).encode(recording.spans))

    assert attributes_in(found)["i"].string_value == "integer of 100001 bits"


@pytest.mark.parametrize("number", [0, -1, 127, 128, 2**63 - 1, -(2**63)])
def test_integers_of_64_bits_are_integers(recording, number):
    recording.tracer.start_span("n", attributes={"i": number}).end()

    (found,) = spans_in(SpanEncoder({}).encode(recording.spans))

    assert attributes_in(found)["i"].int_value == number


def test_equal_values_of_different_types_are_told_apart(recording):
    for value in (1, True, 1.0, 0, False, 0.0, -0.0, "1"):
        recording.tracer.start_span("n", attributes={"k": value}).end()

    found = spans_in(SpanEncoder({}).encode(recording.spans))

    kinds = [attributes_in(span)["k"].WhichOneof("value") for span in found]
    assert kinds == [
        "int_value",
        "bool_value",
        "double_value",
        "int_value",
        "bool_value",
        "double_value",
        "double_value",
        "string_value",
    ]
    assert str(attributes_in(found[6])["k"].double_value) == "-0.0"


def test_a_link_keeps_the_tracestate_it_was_made_with(recording):
    span = recording.tracer.start_span("n")
    span.add_link(LINKED)
    span.end()

    (found,) = spans_in(SpanEncoder({}).encode(recording.spans))

    assert found.links[0].trace_state == "v=x"
    assert found.links[0].flags == 0x300


def test_what_is_remembered_has_a_bound(recording):
    encoder = SpanEncoder({})
    for number in range(MAX_KEYS + 3):
        recording.tracer.start_span("n", attributes={f"k{number}": number}).end()
    for number in range(MAX_VALUES + 3):
        recording.tracer.start_span("n", attributes={"k": f"v{number}"}).end()

    found = spans_in(encoder.encode(recording.spans))
    again = spans_in(encoder.encode(recording.spans))

    assert found == again
    pairs = encoder._pairs
    assert len(pairs._ints) <= MAX_KEYS
    assert len(pairs._texts["k"]) <= MAX_VALUES


def test_a_thread_still_setting_attributes_costs_nothing(recording):
    span = recording.tracer.start_span("n", attributes={"a": 1})
    span.end()

    class Growing(dict):
        grown = False

        def items(self):
            for pair in super().items():
                yield pair
                if not self.grown:
                    self.grown = True
                    raise RuntimeError("dictionary changed size during iteration")

        def copy(self):
            return dict(self)

    span.raw_attributes = Growing({"a": 1, "b": 2})

    (found,) = spans_in(SpanEncoder({}).encode([span]))

    assert [pair.key for pair in found.attributes] == ["a", "b"]


# Sanitising


class Sanitise:
    """Drops secrets, masks card numbers, counts what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, key, value):
        self.asked.append((key, value))
        if key == "password":
            return None
        return "****" if value in ("4111", 4111, 41.11) else value

    def clean_text(self, text):
        return text.replace("4111", "****")


def test_everything_that_leaves_is_sanitised(recording):
    span = recording.tracer.start_span(
        "n",
        attributes={
            "password": "x",
            "text": "4111",
            "int": 4111,
            "float": 41.11,
            "fine": 1.5,
        },
    )
    span.add_event("e", {"password": 1, "text": "4111"})
    span.add_link(LINKED, {"password": 1.5, "text": "4111"})
    span.set_status(StatusCode.ERROR, "card 4111")
    span.end()

    encoded = encode_request(
        recording.spans, {"password": "x", "text": "4111"}, sanitise=Sanitise()
    )

    (found,) = spans_in(encoded)
    masked = {"text": "****"}
    assert {k: v.string_value for k, v in attributes_in(found).items()} == {
        "text": "****",
        "int": "****",
        "float": "****",
        "fine": "",
    }
    assert attributes_in(found)["fine"].double_value == 1.5
    for message in (found.events[0], found.links[0]):
        assert {k: v.string_value for k, v in attributes_in(message).items()} == masked
    assert found.status.message == "card ****"
    resource = read(encoded).resource_spans[0].resource
    assert {k: v.string_value for k, v in attributes_in(resource).items()} == masked


def test_repeated_attributes_are_sanitised_once(recording):
    for _ in range(5):
        recording.tracer.start_span("n", attributes={"a": "x", "b": 1}).end()
    sanitise = Sanitise()

    SpanEncoder({}, sanitise=sanitise).encode(recording.spans)

    assert sanitise.asked == [("a", "x"), ("b", 1)]


def test_a_sanitiser_that_raises_lets_nothing_out(recording):
    def broken(key, value):
        raise RuntimeError

    for attributes in ({"secret": "x"}, {"secret": 1.5}, {"secret": [1]}):
        recording.tracer.start_span("n", attributes=attributes).end()

    encoded = encode_request(recording.spans, {}, sanitise=broken)

    assert encoded == (b"", 3)


# Numbers that the issue asks for


def record_message_traces(tracer, spans, rnd):
    """The mix of facts/span-cost.md: receiving a message, and four layers below."""
    layers = ["transport", "session", "routing", "consensus"]
    for _ in range(0, spans, 1 + len(layers)):
        with tracer.start_as_current_span("p2p.message.receive") as span:
            span.set_attribute("messaging.system", "p2p")
            span.set_attribute("messaging.message.id", f"{rnd.getrandbits(128):032x}")
            address = f"10.1.{rnd.randrange(8)}.{rnd.randrange(250)}"
            span.set_attribute("network.peer.address", address)
            span.set_attribute("messaging.message.body.size", rnd.randrange(60000))
            span.set_attribute("p2p.peer.id", f"12D3Koo{rnd.getrandbits(40):016x}")
            for index, layer in enumerate(layers):
                with tracer.start_as_current_span(f"layer.{layer}") as inner:
                    inner.set_attribute("layer.name", layer)
                    inner.set_attribute("layer.index", index)
                    inner.set_attribute("layer.bytes_in", rnd.randrange(60000))
                    inner.set_attribute("layer.latency_ms", rnd.random() * 9)
                    inner.set_attribute("layer.ok", True)


def test_a_span_takes_at_most_52_bytes_on_the_wire(make_recording):
    recording = make_recording(
        resource={
            "service.name": "node-7",
            "service.version": "1.4.2",
            "deployment.environment": "test",
            "host.name": "node-7.example",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": "1.45.1",
        }
    )
    record_message_traces(recording.tracer, 512, random.Random(7))
    batch = recording.spans[:512]

    payload = SpanEncoder(recording.resource).encode(batch).payload

    assert len(gzip.compress(payload, 6)) / len(batch) <= 52
    assert len(zlib.compress(payload, 9)) / len(batch) <= 52


def test_threads_may_record_while_another_encodes(recording):
    encoder = SpanEncoder({})
    stop = threading.Event()

    def work():
        while not stop.is_set():
            with recording.tracer.start_as_current_span("n") as span:
                span.set_attribute("a", 1)
                span.set_attribute("b", "x")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    found = 0
    try:
        while found < 2000:
            batch = recording.spans[:100]
            del recording.spans[: len(batch)]
            encoded = encoder.encode(batch)
            assert encoded.skipped_spans == 0
            found += len(batch)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
