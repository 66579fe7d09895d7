"""zerostate.p2p.clock_offset: the true offset is within the bound, whatever the delays."""

from hypothesis import example, given
from hypothesis import strategies as st

from zerostate.p2p.clock_offset import (
    CLOCK_RESOLUTION_NS,
    MAX_DELAY_NS,
    MAX_OFFSET_NS,
    ClockReading,
    Exchange,
    best_reading,
    read_clock,
)

NOW_NS = 1_800_000_000_000_000_000
DELAYS = st.integers(0, MAX_DELAY_NS // 2)
OFFSETS = st.integers(-(10**18), 10**18)
TIMES = st.integers(-(2**70), 2**70)


def exchange(offset_ns, there_ns, held_ns, back_ns):
    received = NOW_NS + there_ns + offset_ns
    return Exchange(
        NOW_NS, received, received + held_ns, NOW_NS + there_ns + held_ns + back_ns
    )


@given(offset_ns=OFFSETS, there_ns=DELAYS, held_ns=DELAYS, back_ns=DELAYS)
def test_the_true_offset_is_within_the_error_of_the_measured_one(
    offset_ns, there_ns, held_ns, back_ns
):
    reading = read_clock(exchange(offset_ns, there_ns, held_ns, back_ns))

    assert abs(reading.offset_ns - offset_ns) <= reading.error_ns


@given(offset_ns=OFFSETS, way_ns=DELAYS, held_ns=DELAYS)
def test_equal_ways_give_the_offset_itself(offset_ns, way_ns, held_ns):
    reading = read_clock(exchange(offset_ns, way_ns, held_ns, way_ns))

    assert reading == ClockReading(offset_ns, way_ns + CLOCK_RESOLUTION_NS)


@given(st.builds(Exchange, TIMES, TIMES, TIMES, TIMES))
@example(Exchange(NOW_NS, 0, 2**64 - 1, NOW_NS + 1))
@example(Exchange(NOW_NS, 2**64 - 1, 2**64 - 1, NOW_NS + 1))
@example(Exchange(NOW_NS, 0, 0, NOW_NS + 1))
def test_what_is_measured_from_any_timestamps_fits_a_span_attribute(anything):
    reading = read_clock(anything)

    if reading is not None:
        assert abs(reading.offset_ns) <= MAX_OFFSET_NS < 2**63
        assert CLOCK_RESOLUTION_NS <= reading.error_ns < 2**63


@given(OFFSETS, st.lists(st.tuples(DELAYS, DELAYS, DELAYS), max_size=8))
def test_the_best_of_several_is_the_one_with_the_least_delay(offset_ns, ways):
    exchanges = [exchange(offset_ns, *way) for way in ways]

    best = best_reading(exchanges)

    if not ways:
        assert best is None
    else:
        least = min(there + back for there, _, back in ways)
        assert best.error_ns == least // 2 + CLOCK_RESOLUTION_NS


def test_an_answer_sent_before_its_question_came_is_not_believed():
    assert read_clock(Exchange(NOW_NS, NOW_NS + 2, NOW_NS + 1, NOW_NS + 3)) is None


def test_an_answer_held_for_longer_than_the_whole_exchange_is_not_believed():
    late = NOW_NS + 10 + CLOCK_RESOLUTION_NS
    assert read_clock(Exchange(NOW_NS, NOW_NS, late + 1, NOW_NS + 10)) is None
    assert read_clock(Exchange(NOW_NS, NOW_NS, late, NOW_NS + 10)) is not None
