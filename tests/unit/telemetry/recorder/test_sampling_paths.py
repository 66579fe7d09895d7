"""What the recorder decides without asking is what the sampler would have said."""

import itertools

import pytest
from opentelemetry import trace
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
)

from zerostate.telemetry.export.snapshot import DropReason
from zerostate.telemetry.recorder import RecordedSpan
from zerostate.telemetry.sampling import (
    AlwaysOff,
    AlwaysOn,
    ConsistentProbability,
    Decision,
    ParentBased,
)

SAMPLERS = [
    AlwaysOn(),
    AlwaysOff(),
    ParentBased(AlwaysOn()),
    ParentBased(AlwaysOff()),
    ParentBased(ConsistentProbability(1)),
    ParentBased(AlwaysOn(), remote_parent_sampled=AlwaysOff()),
    ParentBased(AlwaysOff(), local_parent_not_sampled=AlwaysOn()),
    ParentBased(AlwaysOn(), local_parent_sampled=AlwaysOff()),
    ConsistentProbability(1),
    ConsistentProbability(0),
]
STATES = [None, "v=1", "ot=th:8", "ot=th:8;rv:ffffffffffffff"]
PARENTS = [
    SpanContext(
        1 << 100 | 5,
        6,
        is_remote,
        TraceFlags(flags),
        TraceState.from_header([state]) if state else None,
    )
    for is_remote, flags, state in itertools.product((True, False), (0, 1, 3), STATES)
]
LINKS = [(), (Link(PARENTS[-1], {}),)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("parent", [None, *PARENTS], ids=repr)
@pytest.mark.parametrize("links", LINKS, ids=["plain", "linked"])
def test_a_span_is_as_the_sampler_says(make_recording, sampler, parent, links):
    tracer = make_recording(sampler=sampler).tracer
    context = trace.Context()
    if parent is not None:
        context = trace.set_span_in_context(NonRecordingSpan(parent), context)

    span = tracer.start_span("n", context, links=links)

    own = span.get_span_context()
    decision = sampler.decide(
        parent=parent,
        trace_id=own.trace_id,
        name="n",
        kind=SpanKind.INTERNAL,
        attributes=None,
        links=links,
    )
    assert span.is_recording() == decision.record
    assert own.trace_flags.sampled == decision.sampled
    inherited = parent.trace_state if parent else TraceState()
    wanted = inherited if decision.trace_state is None else decision.trace_state
    assert own.trace_state == wanted
    assert own.is_valid


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("state", STATES)
def test_a_child_of_one_of_ours_is_as_the_sampler_says(make_recording, sampler, state):
    above = trace.set_span_in_context(
        NonRecordingSpan(
            SpanContext(
                5,
                6,
                True,
                TraceFlags(3),
                TraceState.from_header([state]) if state else None,
            )
        ),
        trace.Context(),
    )
    parent = make_recording(sampler=ParentBased(AlwaysOn())).tracer.start_span(
        "parent", above
    )
    tracer = make_recording(sampler=sampler).tracer

    span = tracer.start_span("n", trace.set_span_in_context(parent, trace.Context()))

    decision = sampler.decide(
        parent=parent.context,
        trace_id=5,
        name="n",
        kind=SpanKind.INTERNAL,
        attributes=None,
        links=(),
    )
    own = span.get_span_context()
    assert own.trace_id == 5
    assert span.is_recording() == decision.record
    wanted = decision.trace_state
    assert own.trace_state == (parent.context.trace_state if wanted is None else wanted)


class Fixed:
    def __init__(self, decision):
        self.decision = decision
        self.asked = []

    def decide(self, **query):
        self.asked.append(query)
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision


def test_a_sampler_sees_what_the_span_starts_with_and_may_add_to_it(make_recording):
    state = TraceState([("k", "v")])
    sampler = Fixed(Decision(True, True, state, {"added": 1, "both": "sampler"}))
    recording = make_recording(sampler=sampler)

    link = Link(PARENTS[0])
    span = recording.tracer.start_span(
        "n",
        kind=SpanKind.CLIENT,
        attributes={"given": 2, "both": "given"},
        links=[link],
    )

    (asked,) = sampler.asked
    assert asked == {
        "parent": None,
        "trace_id": span.context.trace_id,
        "name": "n",
        "kind": SpanKind.CLIENT,
        "attributes": {"given": 2, "both": "given"},
        "links": [link],
    }
    assert dict(span.attributes) == {"given": 2, "both": "sampler", "added": 1}
    assert span.context.trace_state == state


def test_recorded_but_not_sampled_is_counted_and_not_sent(make_recording):
    recording = make_recording(sampler=Fixed(Decision(True, False)))
    account = recording.ledger.account("d", "t", ("", 0))

    recording.tracer.start_span("n").end()

    assert recording.spans == []
    assert account is not None
    snapshot = recording.ledger.snapshot()
    assert (snapshot.started, snapshot.ended) == (1, 1)
    assert snapshot.destinations["d"].dropped == {DropReason.NOT_SAMPLED: 1}
    assert snapshot.imbalance() == {}


def test_a_sampler_that_raises_leaves_the_span_out_and_is_logged_once(
    make_recording, caplog
):
    recording = make_recording(sampler=Fixed(RuntimeError("broken")))

    spans = [recording.tracer.start_span("n") for _ in range(3)]

    assert not any(span.is_recording() for span in spans)
    assert len(caplog.records) == 1
    assert recording.ledger.snapshot().sampled_out == 3


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        (True, True),
        (True, True, None, None),
        Decision(True, True, "k=v"),
        Decision("yes", True),
        Decision(True, None),
    ],
    ids=repr,
)
def test_an_answer_that_is_no_decision_leaves_the_span_out_and_is_counted(
    make_recording, caplog, answer
):
    recording = make_recording(sampler=Fixed(answer))

    with (
        recording.tracer.start_as_current_span("outer") as outer,
        recording.tracer.start_as_current_span("inner") as inner,
    ):
        pass

    assert not outer.is_recording()
    assert inner.get_span_context().trace_id == outer.get_span_context().trace_id
    assert recording.provider.misuse == {"sampler answer": 2}
    assert len(caplog.records) == 1
    assert recording.ledger.snapshot().sampled_out == 2


def test_attributes_of_a_decision_that_are_none_are_counted_on_the_span(make_recording):
    recording = make_recording(sampler=Fixed(Decision(True, True, None, 5)))

    with recording.tracer.start_as_current_span("n") as span:
        pass

    assert (dict(span.attributes), span.dropped_attributes) == ({}, 1)


def test_a_parent_that_raises_is_no_parent_and_is_counted(recording, caplog):
    class Broken(NonRecordingSpan):
        def get_span_context(self):
            raise RuntimeError

    context = trace.set_span_in_context(Broken(None), trace.Context())

    span = recording.tracer.start_span("n", context)

    assert span.parent is None
    assert recording.provider.misuse == {"parent": 1}
    assert len(caplog.records) == 1


def test_what_is_left_out_still_carries_a_trace(make_recording):
    recording = make_recording(sampler=ParentBased(AlwaysOff()))

    with recording.tracer.start_as_current_span("outer") as outer:
        with recording.tracer.start_as_current_span("inner") as inner:
            inner.set_attribute("a", 1)
            inner.record_exception(ValueError())

    first, second = outer.get_span_context(), inner.get_span_context()
    assert not isinstance(inner, RecordedSpan)
    assert first.is_valid
    assert first is outer.get_span_context()
    assert second.trace_id == first.trace_id
    assert second.span_id != first.span_id
    assert first.trace_flags == second.trace_flags == 2
    assert "UnrecordedSpan" in repr(inner)
    assert recording.spans == []
    snapshot = recording.ledger.snapshot()
    assert (snapshot.started, snapshot.sampled_out) == (0, 2)
