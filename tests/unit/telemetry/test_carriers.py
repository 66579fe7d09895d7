"""Where context is read from and written to: headers of any kind, bytes, environment."""

import os
import subprocess
import sys
from email.message import Message

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context

from zerostate.telemetry.environment import (
    carrier_from_environment,
    child_environment,
    context_from_environment,
)
from zerostate.telemetry.headers import HEADER_GETTER
from zerostate.telemetry.propagation import PROPAGATOR, TraceCarrier, dropped_headers

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
FULL = TraceCarrier(TRACEPARENT, "a=1,b@c=2", "k=v")


class MultiDict:
    def __init__(self, method, pairs):
        self._pairs = pairs
        setattr(self, method, self._all)

    def _all(self, name, default=None):
        return [value for key, value in self._pairs if key.lower() == name] or default


def message(pairs):
    headers = Message()
    for name, value in pairs:
        headers[name] = value
    return headers


PAIRS = [("TraceState", "a=1"), ("X", "y"), ("tracestate", "b=2")]


@pytest.mark.parametrize(
    "carrier",
    [
        PAIRS,
        tuple(PAIRS),
        [(name.encode(), value.encode()) for name, value in PAIRS],
        {"TraceState": "a=1", "tracestate ": "z=9", "TRACESTATE": ("b=2",)},
        {"tracestate": ["a=1", b"b=2"]},
        {b"TraceState": [b"a=1", "b=2"]},
        MultiDict("getlist", PAIRS),
        MultiDict("getall", PAIRS),
        message(PAIRS),
    ],
    ids=lambda carrier: type(carrier).__name__,
)
def test_every_field_of_a_name_is_found(carrier):
    assert HEADER_GETTER.get(carrier, "tracestate") == ["a=1", "b=2"]


class Broken:
    def get(self, *_):
        raise RuntimeError

    def items(self):
        raise RuntimeError

    __iter__ = __getitem__ = getlist = get


@pytest.mark.parametrize(
    "carrier",
    [None, 5, "traceparent", b"x", [], [1], [()], {1: 2}, Broken(), object(), dict],
)
def test_what_holds_no_headers_gives_none(carrier):
    assert HEADER_GETTER.get(carrier, "traceparent") is None
    assert HEADER_GETTER.keys(carrier) in ([], ["\0"])
    assert PROPAGATOR.extract(carrier, Context()) == Context()


def test_the_names_of_the_fields_are_listed():
    assert HEADER_GETTER.keys(PAIRS) == ["tracestate", "x", "tracestate"]


def test_a_failing_getter_and_setter_are_survived_and_counted():
    before = dropped_headers.copy()
    recording = trace.NonRecordingSpan(FULL.span_context())

    class Getter:
        def get(self, carrier, key):
            raise RuntimeError

    assert PROPAGATOR.extract({}, Context(), Getter()) == Context()
    PROPAGATOR.inject(None, trace.set_span_in_context(recording, Context()))

    assert dropped_headers["getter"] == before["getter"] + 2
    assert dropped_headers["setter"] == before["setter"] + 1


@pytest.mark.parametrize("carrier", [TraceCarrier(), TraceCarrier(TRACEPARENT), FULL])
def test_a_carrier_goes_through_bytes(carrier):
    assert TraceCarrier.from_bytes(carrier.to_bytes()) == carrier


def test_a_carrier_of_a_span_alone_is_its_traceparent():
    assert TraceCarrier(TRACEPARENT).to_bytes() == TRACEPARENT.encode()


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"a\nb\nc\nd", b"x" * (1 << 15), b"\0" * 55]
)
def test_bytes_that_are_no_carrier_give_an_empty_one(data):
    before = dropped_headers.total()

    assert TraceCarrier.from_bytes(data) == TraceCarrier()
    assert dropped_headers.total() > before


def test_the_binary_form_has_26_bytes_and_the_span_alone():
    data = FULL.to_binary()

    assert data == bytes.fromhex(f"00{TRACE}{SPAN}01")
    assert TraceCarrier.from_binary(data) == TraceCarrier(TRACEPARENT)
    assert TraceCarrier().to_binary() == b""
    assert TraceCarrier.from_binary(b"") == TraceCarrier()


@pytest.mark.parametrize(
    ("data", "trace_id"),
    [
        (bytes.fromhex(f"00{TRACE}{SPAN}01ff"), ""),
        (bytes.fromhex(f"01{TRACE}{SPAN}01ff"), TRACE),
        (bytes.fromhex(f"ff{TRACE}{SPAN}01"), ""),
        (bytes.fromhex(f"00{'00' * 16}{SPAN}01"), ""),
        (b"short", ""),
    ],
)
def test_the_binary_form_keeps_the_rules_of_the_header(data, trace_id):
    assert TraceCarrier.from_binary(data).trace_id == trace_id


def test_a_later_version_goes_on_as_version_00_with_the_sampled_bit_alone():
    carrier = TraceCarrier.from_headers({"traceparent": f"cc-{TRACE}-{SPAN}-ff-x"})

    assert carrier.traceparent == TRACEPARENT


def test_undefined_flags_are_not_passed_on():
    carrier = TraceCarrier.from_headers({"traceparent": f"00-{TRACE}-{SPAN}-ff"})

    assert carrier.traceparent == f"00-{TRACE}-{SPAN}-03"
    assert carrier.span_context().trace_flags == 3


def test_context_goes_through_the_environment():
    child = child_environment({"PATH": "/bin", "BAGGAGE": "old=1"}, FULL.extract())

    assert child == {
        "PATH": "/bin",
        "TRACEPARENT": TRACEPARENT,
        "TRACESTATE": "a=1,b@c=2",
        "BAGGAGE": "k=v",
    }
    assert carrier_from_environment(child) == FULL
    context = context_from_environment(child)
    assert baggage.get_baggage("k", context) == "v"
    assert trace.get_current_span(context).get_span_context().is_remote


def test_a_child_never_continues_what_is_not_ours():
    assert child_environment({"TRACEPARENT": TRACEPARENT}, Context()) == {}


def test_garbage_in_the_environment_is_no_context():
    environ = {"TRACEPARENT": "nonsense", "TRACESTATE": "a=1", "BAGGAGE": "x"}

    assert context_from_environment(environ) == Context()


def test_a_real_child_process_reads_its_parents_context():
    script = (
        "from zerostate.telemetry.environment import carrier_from_environment as c;"
        "print(c().headers())"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=child_environment(os.environ, FULL.extract()),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert result.stdout.strip() == str(FULL.headers())
