"""Consistent sampling: whole traces, nested sets, and the rate that was asked for."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from zerostate.telemetry.sampling import ConsistentProbability, ParentBased
from zerostate.telemetry.sampling.otel_state import (
    MAX_THRESHOLD,
    OtelState,
    parse_otel_value,
    probability_of,
    threshold_of,
)
from zerostate.telemetry.tracestate import W3CTraceState

trace_ids = st.integers(1, 2**128 - 1)
rates = st.floats(0, 1)
states = st.one_of(
    st.just(""),
    st.text("0123456789abcdefthrv:;._-X", max_size=40).filter(
        lambda text: text and not text.endswith(" ")
    ),
    st.integers(0, MAX_THRESHOLD - 1).map(lambda value: f"rv:{value:014x}"),
)
SAMPLES = 20_000


def ask(sampler, trace_id, parent=None):
    return sampler.decide(
        parent=parent,
        trace_id=trace_id,
        name="a",
        kind=SpanKind.INTERNAL,
        attributes=None,
        links=(),
    )


def remote(trace_id, state, *, sampled=True):
    members = {"ot": state} if state else {}
    return SpanContext(
        trace_id, 1, True, TraceFlags(sampled | 2), W3CTraceState(checked=members)
    )


@given(trace_ids, states, rates, rates)
def test_what_a_lower_rate_keeps_a_higher_keeps(trace_id, state, one, other):
    parent = remote(trace_id, state)
    low, high = sorted((one, other))

    if ask(ConsistentProbability(low), trace_id, parent).sampled:
        assert ask(ConsistentProbability(high), trace_id, parent).sampled


@given(trace_ids, st.lists(rates, min_size=2, max_size=5))
def test_services_in_a_row_keep_a_part_of_each_other(trace_id, chain):
    """Each passes its context on; who samples at a higher rate keeps at least as much."""
    kept = []
    parent = None
    for rate in chain:
        decision = ask(ConsistentProbability(rate), trace_id, parent)
        kept.append(decision.sampled)
        state = decision.trace_state
        if state is None:
            state = W3CTraceState() if parent is None else parent.trace_state
        flags = TraceFlags(decision.sampled | 2)
        parent = SpanContext(trace_id, 1, True, flags, state)

    order = sorted(range(len(chain)), key=chain.__getitem__)
    in_order = [kept[index] for index in order]
    assert in_order == sorted(in_order)


@given(rates, rates)
def test_a_threshold_never_falls_as_the_rate_falls(one, other):
    low, high = sorted((one, other))
    thresholds = [threshold_of(rate) for rate in (high, low)]
    high_threshold, low_threshold = (
        MAX_THRESHOLD if threshold is None else threshold for threshold in thresholds
    )

    assert high_threshold <= low_threshold


@given(st.floats(2.0**-50, 1))
def test_a_threshold_keeps_the_rate_that_was_asked_for(rate):
    assert math.isclose(probability_of(threshold_of(rate)), rate, rel_tol=1 / 2000)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.01, 0.1, 1 / 3, 0.5, 0.9, 1.0])
def test_the_share_kept_is_within_binomial_bounds(rate):
    draw = random.Random(2026)
    sampler = ParentBased(ConsistentProbability(rate))
    kept = sum(ask(sampler, draw.getrandbits(128)).sampled for _ in range(SAMPLES))

    deviation = math.sqrt(SAMPLES * rate * (1 - rate))
    assert abs(kept - SAMPLES * rate) <= 4 * deviation


@given(
    st.one_of(st.none(), st.integers(0, MAX_THRESHOLD - 1)),
    st.one_of(st.none(), st.integers(0, MAX_THRESHOLD - 1)),
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True).filter(
            lambda key: key not in ("th", "rv")
        ),
        st.from_regex(r"[A-Za-z0-9._-]{0,10}", fullmatch=True),
        max_size=5,
    ),
)
def test_threshold_and_randomness_round_trip(threshold, randomness, rest):
    state = OtelState(threshold, randomness, tuple(f"{k}:{v}" for k, v in rest.items()))

    assert parse_otel_value(state.render()) == state


@given(st.text(max_size=300))
def test_any_value_is_read_and_what_is_written_again_is_good(value):
    once = parse_otel_value(value)

    assert parse_otel_value(once.render()) == once
    assert len(once.render()) <= 256


@given(trace_ids, states, st.booleans())
def test_following_a_parent_never_changes_its_decision_nor_lies(trace_id, state, flag):
    parent = remote(trace_id, state, sampled=flag)
    decision = ask(ParentBased(ConsistentProbability(0.5)), trace_id, parent)
    after = decision.trace_state
    otel = parse_otel_value(
        (parent.trace_state if after is None else after).get("ot", "")
    )

    assert decision.sampled == flag
    if otel.threshold is not None:
        randomness = trace_id & (1 << 56) - 1
        if otel.randomness is not None:
            randomness = otel.randomness
        assert (randomness >= otel.threshold) == flag
