"""sampling.otel_state: ``ot=th:…;rv:…`` as the specification has it."""

import pytest
from opentelemetry.trace import SpanContext, TraceState

from zerostate.telemetry.sampling.otel_state import (
    MAX_THRESHOLD,
    NO_STATE,
    OtelState,
    otel_state,
    parse_otel_value,
    probability_of,
    randomness_of,
    render_threshold,
    threshold_of,
    with_otel_state,
)
from zerostate.telemetry.tracestate import W3CTraceState


@pytest.mark.parametrize(
    ("one_in", "rendered"),
    [
        # The specification's table, precision 4.
        (1, "0"),
        (2, "8"),
        (3, "aaab"),
        (4, "c"),
        (5, "cccd"),
        (8, "e"),
        (10, "e666"),
        (16, "f"),
        (100, "fd70a"),
        (1_000, "ffbe77"),
        (10_000, "fff9724"),
        (100_000, "ffff583a"),
        (1_000_000, "ffffef39"),
    ],
)
def test_thresholds_are_those_of_the_specification(one_in, rendered):
    threshold = threshold_of(1 / one_in)

    assert render_threshold(threshold) == rendered
    assert probability_of(threshold) == pytest.approx(1 / one_in, rel=1e-3)


def test_the_smallest_probability_keeps_something_and_0_is_never():
    assert threshold_of(0.0) is None
    assert threshold_of(5e-324) == MAX_THRESHOLD - 1
    assert threshold_of(2.0**-56) == MAX_THRESHOLD - 1


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(ValueError, match="not a probability"):
        threshold_of(probability)


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("th:0", OtelState(threshold=0)),
        ("th:c", OtelState(threshold=0xC << 52)),
        ("th:fd70a4", OtelState(threshold=0xFD70A400000000)),
        ("rv:6e6d1a75832a2f", OtelState(randomness=0x6E6D1A75832A2F)),
        ("th:8;rv:00000000000000", OtelState(threshold=1 << 55, randomness=0)),
        ("p:8;r:62", OtelState(rest=("p:8", "r:62"))),
        ("a:1;th:8;b:", OtelState(threshold=1 << 55, rest=("a:1", "b:"))),
    ],
)
def test_a_value_is_read_and_written_again(value, state):
    parsed = parse_otel_value(value)

    assert parsed == state
    assert parse_otel_value(parsed.render()) == parsed


@pytest.mark.parametrize(
    ("value", "repaired"),
    [
        ("th:", ""),
        ("th:C", ""),
        ("th:0x8", ""),
        ("th:+8", ""),
        ("th:1_0", ""),
        ("th:000000000000000", ""),
        ("rv:6e6d1a75832a2", ""),
        ("rv:6E6D1A75832A2F", ""),
        ("rv:6e6d1a75832a2f0", ""),
        ("th:8;th:c", "th:8"),
        ("th:80;rv:x", "th:8"),
        ("TH:8;a:1;b c:2;:3;d", "a:1"),
        ("garbage", ""),
        ("a:" + "x" * 255, ""),
    ],
)
def test_what_is_malformed_is_ignored_and_gone_when_written_again(value, repaired):
    assert parse_otel_value(value).render() == repaired


def test_other_sub_keys_give_way_to_the_limit():
    state = OtelState(threshold=0, rest=("a:" + "x" * 200, "b:" + "x" * 60, "c:1"))

    assert state.render() == "th:0;a:" + "x" * 200 + ";c:1"


def test_the_member_moves_to_the_front_and_others_stay():
    state = W3CTraceState(checked={"a": "1", "ot": "th:8;x:1", "b": "2"})
    changed = with_otel_state(state, otel_state(state)._replace(threshold=0))

    assert changed.to_header() == "ot=th:0;x:1,a=1,b=2"
    assert with_otel_state(state, NO_STATE).to_header() == "a=1,b=2"
    assert with_otel_state(None, NO_STATE).to_header() == ""
    assert state.to_header() == "a=1,ot=th:8;x:1,b=2"


def test_the_last_of_32_members_makes_room():
    full = TraceState([(f"k{n}", "v") for n in range(32)])
    changed = with_otel_state(full, OtelState(threshold=0))

    assert list(changed) == ["ot", *(f"k{n}" for n in range(31))]


def test_randomness_is_explicit_or_the_trace_ids_last_56_bits():
    def span(state):
        return SpanContext(
            0xABCDEF0123456789ABCDEF0123456789, 1, is_remote=True, trace_state=state
        )

    assert randomness_of(span(None)) == 0xEF0123456789 | 0xCD << 48
    assert randomness_of(span(TraceState([("ot", "rv:00000000000001")]))) == 1
    assert otel_state(TraceState()) == NO_STATE
