"""Gaps in numbering, against who knows what was sent and what has arrived."""

from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zerostate.ids import PeerId
from zerostate.p2p.sequences import MAX_MISSING, SequenceGaps

AUTHOR = PeerId("a")


class SequenceGapsMachine(RuleBasedStateMachine):
    """One author, whose messages arrive in any order, or never, but once each."""

    def __init__(self):
        super().__init__()
        self.gaps = SequenceGaps()
        self.clock = 0
        self.sequence = 0
        self.under_way = []
        self.arrived = set()
        self.first = None
        self.newest = 0

    @rule()
    def send(self):
        self.clock += 1
        self.sequence += 1
        self.under_way.append((self.sequence, self.clock))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def arrive(self, data):
        index = data.draw(st.integers(0, len(self.under_way) - 1))
        number, sent_ns = self.under_way.pop(index)
        self.gaps.note(AUTHOR, "t", number, sent_unix_ns=sent_ns)
        if self.first is None:
            self.first = number
        if number >= self.first:
            self.arrived.add(number)
            self.newest = max(self.newest, number)

    @precondition(lambda self: self.under_way)
    @rule()
    def lose(self):
        self.under_way.pop(0)

    @invariant()
    def missing_is_what_is_between_the_first_and_the_newest_and_did_not_arrive(self):
        if self.first is None:
            assert self.gaps.missing == 0
        else:
            expected = set(range(self.first, self.newest + 1)) - self.arrived
            assert self.gaps.missing == len(expected)
        assert self.gaps.restarts == 0


TestSequenceGaps = SequenceGapsMachine.TestCase


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from("tu"),
            st.integers(0, 2**64 - 1) | st.integers(0, 30),
            st.integers(0, 2**64 - 1) | st.integers(0, 30),
        ),
        max_size=60,
    )
)
def test_whatever_numbers_come_the_memory_is_bounded_and_nothing_goes_below_zero(
    arrivals,
):
    gaps = SequenceGaps(limit=2)
    for author, topic, number, sent_ns in arrivals:
        gaps.note(PeerId(author), topic, number, sent_unix_ns=sent_ns)

        assert gaps.missing >= 0
        assert len(gaps) <= 2
        followed = sum(len(n.missing) for n in gaps._numberings.values())
        assert gaps._followed == followed
        for numbering in gaps._numberings.values():
            assert len(numbering.missing) <= MAX_MISSING
            assert all(number < numbering.newest for number in numbering.missing)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_restart_loses_nothing(before, after):
    assume(before != after)
    gaps = SequenceGaps()
    numbers = [*range(1, before + 1), *range(1, after + 1)]
    for sent_ns, number in enumerate(numbers):
        gaps.note(AUTHOR, "t", number, sent_unix_ns=sent_ns)

    assert (gaps.missing, gaps.restarts) == (0, 1)
