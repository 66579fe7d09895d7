"""sampling: what each sampler keeps, and what it writes into the tracestate."""

import logging
import random

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace import sampling as sdk
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState

from zerostate.errors import ConfigError
from zerostate.telemetry.sampling import (
    DROP,
    KEEP,
    AlwaysOff,
    AlwaysOn,
    Annotated,
    Ceiling,
    ComposableSampler,
    ConsistentProbability,
    Decision,
    ParentBased,
    Rule,
    Rules,
    parent_based,
    restart_trace_state,
    sampler_from_environment,
)
from zerostate.telemetry.sampling.adapters import FromSdk, ToSdk
from zerostate.telemetry.tracestate import W3CTraceState
from zerostate.testing.clocks import FakeClock

HIGH = (0xAB << 120) | 0xFFFFFFFFFFFFFF
"""A trace id of the highest randomness, and one of the lowest."""
LOW = 0xAB << 120


def span(trace_id=HIGH, *, sampled=True, state="", remote=True, random_id=True):
    return SpanContext(
        trace_id,
        7,
        is_remote=remote,
        trace_flags=TraceFlags(sampled | random_id << 1),
        trace_state=W3CTraceState.from_header([state]),
    )


def ask(sampler, parent=None, trace_id=HIGH, name="a", **changes):
    if parent is not None:
        trace_id = parent.trace_id
    wanted = {"kind": SpanKind.INTERNAL, "attributes": None, "links": ()} | changes
    return sampler.decide(parent=parent, trace_id=trace_id, name=name, **wanted)


def header(decision):
    return None if decision.trace_state is None else decision.trace_state.to_header()


def test_always_and_never():
    assert ask(AlwaysOn()) == KEEP
    assert ask(AlwaysOn(), span(sampled=False)) == KEEP
    assert ask(AlwaysOff()) == DROP
    assert ask(AlwaysOff(), span()) == DROP


@pytest.mark.parametrize(
    "sampler", [ConsistentProbability(0), parent_based(0), ConsistentProbability(0.0)]
)
def test_a_rate_of_0_keeps_nothing(sampler):
    assert ask(sampler) == DROP
    assert ask(sampler, trace_id=LOW) == DROP


def test_a_rate_of_1_keeps_everything_and_says_so():
    assert header(ask(ConsistentProbability(1), trace_id=LOW)) == "ot=th:0"


def test_a_rate_keeps_traces_of_high_randomness_and_writes_its_threshold():
    sampler = ConsistentProbability(0.25)

    assert ask(sampler) == Decision(
        record=True, sampled=True, trace_state=W3CTraceState(checked={"ot": "th:c"})
    )
    assert ask(sampler, trace_id=LOW) == DROP
    assert ask(sampler, trace_id=0xC0000000000000).sampled
    assert not ask(sampler, trace_id=0xBFFFFFFFFFFFFF).sampled


def test_explicit_randomness_overrules_the_trace_id_and_goes_on():
    sampler = ConsistentProbability(0.25)
    kept = ask(sampler, span(LOW, state="x=1,ot=rv:ffffffffffffff;k:v"))
    dropped = ask(sampler, span(HIGH, state="ot=rv:00000000000000"))

    assert kept.sampled
    assert header(kept) == "ot=th:c;rv:ffffffffffffff;k:v,x=1"
    assert not dropped.sampled
    assert header(dropped) is None


def test_a_dropped_span_loses_its_parents_threshold():
    decision = ask(ConsistentProbability(0.25), span(LOW, state="ot=th:0,x=1"))

    assert not decision.sampled
    assert header(decision) == "x=1"


def test_a_malformed_member_is_repaired_when_the_threshold_is_written():
    decision = ask(ConsistentProbability(1), span(state="ot=TH:8;rv:zz;k:v"))

    assert header(decision) == "ot=th:0;k:v"


def test_always_on_leaves_no_threshold_that_is_not_its_own():
    assert header(ask(AlwaysOn(), span(LOW, state="ot=th:c,x=1"))) == "ot=th:0,x=1"
    assert header(ask(AlwaysOn(), span(LOW, state="x=1"))) is None


def test_presumed_randomness_is_told_once(caplog):
    sampler = ConsistentProbability(0.25)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            ask(sampler, span(random_id=False))

    # Once a process: another test may have been first.
    assert len(caplog.records) <= 1


@pytest.mark.parametrize("remote", [True, False])
def test_parent_based_follows_the_parent(remote):
    sampler = ParentBased(root=AlwaysOff())

    assert ask(sampler, span(remote=remote)) == KEEP
    assert ask(ParentBased(AlwaysOn()), span(sampled=False, remote=remote)) == DROP
    assert ask(sampler) == DROP
    assert sampler.only_follows


@pytest.mark.parametrize(
    ("sampled", "state", "kept"),
    [
        (True, "ot=th:c,x=1", None),
        (True, "x=1", None),
        (True, "ot=th:c;rv:00000000000000,x=1", "ot=rv:00000000000000,x=1"),
        (False, "ot=th:c,x=1", "x=1"),
        (False, "ot=th:c;rv:00000000000000", None),
    ],
)
def test_a_threshold_that_contradicts_the_flag_is_erased(sampled, state, kept):
    decision = ask(ParentBased(AlwaysOn()), span(sampled=sampled, state=state))

    assert decision.sampled == sampled
    assert header(decision) == kept


def test_parent_based_asks_others_where_told_to():
    sampler = ParentBased(
        AlwaysOff(),
        remote_parent_sampled=AlwaysOff(),
        local_parent_not_sampled=AlwaysOn(),
    )

    assert ask(sampler, span()) == DROP
    assert ask(sampler, span(remote=False)) == KEEP
    assert ask(sampler, span(sampled=False, remote=False)) == KEEP
    assert not sampler.only_follows


def test_parent_based_can_stand_inside_another():
    inner = Annotated(ParentBased(ConsistentProbability(0.25)), {"why": "x"})

    assert header(ask(inner)) == "ot=th:c"
    assert header(ask(inner, span(state="ot=th:8"))) is None
    assert header(ask(inner, span(LOW, state="ot=th:8"))) == ""
    assert ask(inner, span(LOW, state="ot=th:8")).sampled
    assert ask(inner, span(sampled=False)) == DROP
    foreign = Annotated(ParentBased(FromSdk(sdk.ALWAYS_ON)), {})
    assert ask(foreign).sampled


def test_rules_by_name_attribute_and_kind():
    sampler = Rules(
        [
            Rule(name="health.*", sampler=AlwaysOff()),
            Rule(attributes={"route": "/pay/*", "n": 5}, sampler=AlwaysOn()),
            Rule(kind=SpanKind.SERVER, is_root=True, sampler=AlwaysOn()),
            Rule(is_root=False, sampler=AlwaysOn()),
        ],
        otherwise=ConsistentProbability(0.25),
    )

    assert not ask(sampler, name="health.check").sampled
    assert ask(sampler, name="unhealth.check", trace_id=HIGH).sampled
    low = {"trace_id": LOW}
    assert ask(sampler, attributes={"route": "/pay/me", "n": 5}, **low).sampled
    assert not ask(sampler, attributes={"route": "/pay/me", "n": 6}, **low).sampled
    assert not ask(sampler, attributes={"route": 7, "n": 5}, **low).sampled
    assert not ask(sampler, attributes={"n": 5}, **low).sampled
    assert ask(sampler, kind=SpanKind.SERVER, **low).sampled
    assert not ask(sampler, **low).sampled
    assert ask(sampler, span(LOW, sampled=False)).sampled
    assert "health.*: AlwaysOff()" in repr(sampler)


def test_a_value_that_cannot_be_compared_does_not_match():
    class Odd:
        def __eq__(self, other):
            raise RuntimeError

        __hash__ = None

    rules = Rules([Rule(attributes={"k": 1}, sampler=AlwaysOn())], AlwaysOff())

    assert ask(rules, attributes={"k": Odd()}) == DROP


def test_annotations_are_on_what_is_kept():
    inner = Annotated(ConsistentProbability(0.25), {"why": "rate", "x": 1})
    sampler = Annotated(inner, {"why": "outer", "y": 2})

    assert ask(sampler).attributes == {"why": "rate", "x": 1, "y": 2}
    assert ask(sampler, trace_id=LOW).attributes is None


def test_a_ceiling_bounds_every_second_and_adapts_its_threshold():
    clock = FakeClock()
    sampler = Ceiling(AlwaysOn(), 10, clock)
    draw = random.Random(1)
    kept_by_second = []
    for _ in range(60):
        kept = []
        for _ in range(200):
            clock.advance(1 / 200)
            decision = ask(sampler, trace_id=draw.getrandbits(128))
            kept += [decision] if decision.sampled else []
        kept_by_second.append(len(kept))

    assert max(kept_by_second) <= 20
    assert sum(kept_by_second) <= 10 * 61
    settled = kept_by_second[20:]
    assert 8 * len(settled) <= sum(settled) <= 10 * len(settled)
    # About 10 of 200 a second, aimed a little lower: 1 - 0.0475 is 0.f3d in hex.
    assert header(kept[-1]).startswith("ot=th:f3")


def test_below_its_ceiling_a_sampler_is_as_without():
    clock = FakeClock()
    sampler = Ceiling(ConsistentProbability(0.25), 100, clock)
    for _ in range(50):
        clock.advance(0.1)
        assert header(ask(sampler)) == "ot=th:c"
        assert ask(sampler, trace_id=LOW) == DROP
    assert ask(Ceiling(AlwaysOff(), 1, clock)) == DROP


def test_a_ceiling_after_a_pause_lets_a_seconds_worth_through():
    clock = FakeClock()
    sampler = Ceiling(Ceiling(AlwaysOn(), 5, clock), 3, clock)
    kept = [ask(sampler).sampled for _ in range(50)]

    assert sum(kept) == 3


@pytest.mark.parametrize("per_second", [0, -1, float("nan"), float("inf")])
def test_a_ceiling_must_be_above_0(per_second):
    with pytest.raises(ValueError, match="above 0"):
        Ceiling(AlwaysOn(), per_second)


def test_a_restarted_trace_is_kept_with_the_one_that_it_links():
    sampler = ConsistentProbability(0.25)
    for linked, sampled in ((span(HIGH), True), (span(LOW), False)):
        state = restart_trace_state(linked)
        link = Link(SpanContext(linked.trace_id, 7, True, trace_state=state))
        decision = ask(sampler, trace_id=HIGH ^ linked.trace_id, links=[link])

        assert decision.sampled == sampled
        randomness = f"rv:{linked.trace_id & (1 << 56) - 1:014x}"
        assert header(decision) == f"ot={'th:c;' * sampled}{randomness}"
    assert header(ask(AlwaysOn(), links=[link])) == f"ot={randomness}"


def test_explicit_randomness_is_carried_over_a_restart():
    state = restart_trace_state(span(LOW, state="ot=th:8;rv:6e6d1a75832a2f;x:1,y=2"))

    assert state.to_header() == "ot=rv:6e6d1a75832a2f"


def test_a_link_that_a_stranger_wrote_gives_no_randomness():
    forged = span(HIGH, state="ot=rv:ffffffffffffff")

    for sampler in (ConsistentProbability(0.25), AlwaysOn()):
        assert header(ask(sampler, trace_id=LOW, links=[Link(forged)])) is None
    changed = restart_trace_state(forged).update("a", "1")
    link = Link(SpanContext(HIGH, 7, True, trace_state=changed))
    assert not ask(ConsistentProbability(0.25), trace_id=LOW, links=[link]).sampled


def test_a_sampler_of_the_sdk_serves_as_ours():
    assert ask(FromSdk(sdk.ALWAYS_ON), span(state="a=1")) == KEEP
    assert ask(FromSdk(sdk.ALWAYS_OFF)) == DROP
    assert ask(FromSdk(sdk.DEFAULT_ON), span(sampled=False)) == DROP
    recorded = ask(FromSdk(sdk.AlwaysRecordSampler(sdk.ALWAYS_OFF)))
    assert recorded == Decision(record=True, sampled=False)

    class Adding(sdk.Sampler):
        def should_sample(self, parent_context, trace_id, name, *rest, **more):
            return sdk.SamplingResult(
                sdk.Decision.RECORD_AND_SAMPLE, {"a": 1, "b": 2}, TraceState()
            )

        def get_description(self):
            return "Adding"

    decision = ask(FromSdk(Adding()), span(state="x=1"), attributes={"a": 1})
    assert decision.attributes == {"b": 2}
    assert header(decision) == ""


def test_a_raising_sampler_drops_and_is_logged_once(caplog):
    class Raising(sdk.StaticSampler):
        def should_sample(self, *args, **kwargs):
            raise RuntimeError

    sampler = FromSdk(Raising(sdk.Decision.DROP))

    assert [ask(sampler), ask(sampler)] == [DROP, DROP]
    assert len(caplog.records) == 1


def test_ours_serve_a_provider_of_the_sdk():
    exporter = InMemorySpanExporter()
    sampler = Annotated(ParentBased(ConsistentProbability(1)), {"why": "all"})
    provider = TracerProvider(sampler=ToSdk(sampler), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("root", attributes={"a": 1}):
        tracer.start_span("child").end()

    child, root = exporter.get_finished_spans()
    assert dict(root.attributes) == {"a": 1, "why": "all"}
    assert child.context.trace_state.to_header() == "ot=th:0"
    off = TracerProvider(sampler=ToSdk(AlwaysOff()), shutdown_on_exit=False)
    assert not off.get_tracer("t").start_span("x").is_recording()
    assert ToSdk(AlwaysOff()).get_description() == "AlwaysOff()"


@pytest.mark.parametrize(
    ("name", "argument", "wanted"),
    [
        ("", "", "ParentBased(AlwaysOn())"),
        ("always_on", "", "AlwaysOn()"),
        ("ALWAYS_OFF", "0.5", "AlwaysOff()"),
        ("traceidratio", "", "ConsistentProbability(1)"),
        ("traceidratio", "0.25", "ConsistentProbability(0.25)"),
        ("traceidratio", "0", "ConsistentProbability(0)"),
        ("parentbased_always_on", "", "ParentBased(AlwaysOn())"),
        ("parentbased_always_off", "", "ParentBased(AlwaysOff())"),
        ("parentbased_traceidratio", "0.5", "ParentBased(ConsistentProbability(0.5))"),
        ("parentbased_traceidratio", "0", "ParentBased(AlwaysOff())"),
        (" parentbased_traceidratio ", "1", "ParentBased(AlwaysOn())"),
    ],
)
def test_the_environment_names_a_sampler(name, argument, wanted):
    environ = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}

    assert repr(sampler_from_environment(environ)) == wanted
    assert isinstance(sampler_from_environment({}), ComposableSampler)


@pytest.mark.parametrize(
    ("name", "argument"),
    [("sometimes", ""), ("traceidratio", "much"), ("parentbased_traceidratio", "2")],
)
def test_an_environment_that_names_none_is_an_error(name, argument):
    environ = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}

    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER"):
        sampler_from_environment(environ)
