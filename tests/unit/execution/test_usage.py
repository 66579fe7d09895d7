"""execution.usage: which limits a task came near."""

from zerostate.execution.manifest import Limits
from zerostate.execution.usage import NearLimit, near_limits
from zerostate.units import NS_PER_S

LIMITS = Limits(fuel=1000, memory_bytes=65_536, wall_s=10, output_bytes=100)


def test_a_modest_task_is_near_no_limit():
    near = near_limits(
        LIMITS, fuel_used=799, memory_bytes=1, wall_ns=7 * NS_PER_S, output_bytes=79
    )

    assert near == ()


def test_each_limit_of_which_four_fifths_were_used_is_named():
    near = near_limits(
        LIMITS,
        fuel_used=800,
        memory_bytes=65_536,
        wall_ns=9 * NS_PER_S,
        output_bytes=0,
    )

    assert near == (
        NearLimit("fuel", 0.8),
        NearLimit("memory", 1.0),
        NearLimit("wall", 0.9),
    )


def test_a_limit_of_nothing_is_never_near():
    limits = Limits(output_bytes=0)

    near = near_limits(limits, fuel_used=0, memory_bytes=0, wall_ns=0, output_bytes=0)

    assert near == ()
