"""telemetry.tracestate: level-2 keys survive every change, limits hold."""

import pytest
from opentelemetry.trace import TraceState

from zerostate.telemetry.propagation import (
    TraceCarrier,
    dropped_headers,
    trimmed_headers,
)
from zerostate.telemetry.tracestate import W3CTraceState, trim

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LEVEL_2 = {"foo@bar@baz": "1", "1a": "2"}


def test_it_is_opentelemetrys_and_keeps_keys_of_level_2():
    state = W3CTraceState(list(LEVEL_2.items()))

    assert isinstance(state, TraceState)
    assert dict(state) == LEVEL_2
    assert state.to_header() == "foo@bar@baz=1,1a=2"
    assert dict(W3CTraceState.from_header(["foo@bar@baz=1", " 1a=2"])) == LEVEL_2
    assert dict(W3CTraceState.from_header(["A=1"])) == {}


def test_a_changed_member_moves_to_the_front():
    state = W3CTraceState(checked=dict(LEVEL_2))

    assert list(state.update("1a", "3").items()) == [("1a", "3"), ("foo@bar@baz", "1")]
    assert list(state.add("new", "x")) == ["new", "foo@bar@baz", "1a"]
    assert list(state.delete("foo@bar@baz")) == ["1a"]
    assert dict(state) == LEVEL_2


@pytest.mark.parametrize(
    ("key", "value"), [("", "1"), ("A", "1"), ("a", ""), ("a", "1 "), ("a", "x" * 257)]
)
def test_a_change_that_breaks_the_grammar_changes_nothing(key, value):
    state = W3CTraceState(checked={"a": "0"})

    assert state.update(key, value) is state
    assert dict(W3CTraceState([(key, value)])) == {}


def test_a_33rd_member_is_not_taken():
    full = W3CTraceState([(f"k{n}", "v") for n in range(40)])

    assert len(full) == 32
    assert full.update("new", "v") is full
    assert full.add("k0", "x") is full
    assert full.delete("new") is full
    assert full.update("k0", "x")["k0"] == "x"


def test_trimming_takes_large_members_first_and_then_from_the_end():
    small = {f"k{n:02}": "v" * 30 for n in range(5)}
    members = {"big1": "x" * 200} | small | {"big2": "x" * 200}

    assert list(trim(members)) == ["big1", *small]
    assert trim(small) == small
    many = {f"k{n:02}": "v" * 30 for n in range(20)}
    assert list(trim(many)) == list(many)[:14]
    assert trim({"a": "x" * 256, "b": "y" * 251}) == {"a": "x" * 256, "b": "y" * 251}
    assert trim({"a": "x" * 256, "b": "y" * 252}) == {"a": "x" * 256}


def test_a_long_tracestate_is_trimmed_on_its_way_in_and_out():
    before = trimmed_headers["tracestate"], dropped_headers["tracestate"]
    members = ",".join(f"k{n:02}=" + "v" * 30 for n in range(20))
    carrier = TraceCarrier.from_headers(
        {"traceparent": TRACEPARENT, "tracestate": members}
    )

    assert len(carrier.tracestate) <= 512
    assert carrier.tracestate == members[: len(carrier.tracestate)]
    assert trimmed_headers["tracestate"] == before[0] + 1
    assert dropped_headers["tracestate"] == before[1]
