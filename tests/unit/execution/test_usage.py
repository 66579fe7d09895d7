"""execution.usage: which limits a task came near."""

from zerostate.execution.manifest import Limits
from zerostate.execution.usage import NearLimit, near_limits, seconds_to_near
from zerostate.units import NS_PER_S

LIMITS = Limits(fuel=1000, memory_bytes=65_536, wall_s=10, output_bytes=100)


def test_a_modest_task_is_near_no_limit():
    near = near_limits(LIMITS, fuel_used=799, memory_bytes=1, output_bytes=79)

    assert near == ()


def test_each_limit_of_which_four_fifths_were_used_is_named():
    near = near_limits(
        LIMITS,
        fuel_used=800,
        memory_bytes=65_536,
        output_bytes=0,
    )

    assert near == (
        NearLimit("fuel", 0.8),
        NearLimit("memory", 1.0),
    )


def test_a_limit_of_nothing_is_never_near():
    limits = Limits(output_bytes=0)

    near = near_limits(limits, fuel_used=0, memory_bytes=0, output_bytes=0)

    assert near == ()


def test_a_runs_time_is_near_its_end_when_four_fifths_have_passed():
    assert seconds_to_near(LIMITS, wall_ns=0) == 8.0
    assert seconds_to_near(LIMITS, wall_ns=7 * NS_PER_S) == 1.0
    assert seconds_to_near(LIMITS, wall_ns=9 * NS_PER_S) == 0.0
