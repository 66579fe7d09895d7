"""What a task used, and which of its limits it came near."""

from dataclasses import dataclass
from typing import Final, Literal

from zerostate.execution.manifest import Limits
from zerostate.units import NS_PER_S

NEAR_RATIO: Final = 0.8
"""Share of a limit from which on it is worth a word (the guide's 80 %)."""

LimitName = Literal["fuel", "memory", "wall", "output"]
"""The limits that a task can come near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a task used, as billed and as signed in its receipt."""

    fuel_used: int
    """The whole budget where the true figure is unknown (a trap, a lost worker)."""

    memory_peak_bytes: int
    """Largest linear memory; its limit if the worker was lost."""

    cpu_time_ns: int
    """CPU time of the worker process for this task, compiling included."""

    wall_time_ns: int
    """From the start of compiling to the end of running, by the node's clock."""

    input_bytes: int = 0
    """What the module was given."""

    output_bytes: int = 0
    """What it put out, standard error included; its limit if the worker was lost."""


@dataclass(frozen=True, slots=True)
class NearLimit:
    """A limit of which at least `NEAR_RATIO` was used."""

    name: LimitName
    used_ratio: float


def near_limits(
    limits: Limits, *, fuel_used: int, memory_bytes: int, output_bytes: int
) -> tuple[NearLimit, ...]:
    """Return the limits that a run came near, or passed.

    Not of the wall clock: that is told while the module runs (see `seconds_to_near`).
    """
    used: tuple[tuple[LimitName, int, int], ...] = (
        ("fuel", fuel_used, limits.fuel),
        ("memory", memory_bytes, limits.memory_bytes),
        ("output", output_bytes, limits.output_bytes),
    )
    return tuple(
        NearLimit(name, amount / limit)
        for name, amount, limit in used
        if limit and amount >= NEAR_RATIO * limit
    )


def seconds_to_near(limits: Limits, *, wall_ns: int) -> float:
    """Return after how long a run that took `wall_ns` comes near its wall clock's end.

    0 if it is near already.
    """
    return max(0.0, NEAR_RATIO * limits.wall_s - wall_ns / NS_PER_S)
