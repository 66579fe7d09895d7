"""What a task used, and which of its limits it came near."""

from dataclasses import dataclass
from typing import Final, Literal

from zerostate.execution.manifest import Limits
from zerostate.units import NS_PER_S

NEAR_RATIO: Final = 0.8
"""Share of a limit from which on it is worth a word (the guide's 80 %)."""

LimitName = Literal["fuel", "memory", "wall", "output"]


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


@dataclass(frozen=True, slots=True)
class NearLimit:
    """A limit of which at least `NEAR_RATIO` was used."""

    name: LimitName
    used_ratio: float


def near_limits(
    limits: Limits,
    *,
    fuel_used: int,
    memory_bytes: int,
    wall_ns: int,
    output_bytes: int,
) -> tuple[NearLimit, ...]:
    """Return the limits that a run came near, or passed."""
    used: tuple[tuple[LimitName, float, float], ...] = (
        ("fuel", fuel_used, limits.fuel),
        ("memory", memory_bytes, limits.memory_bytes),
        ("wall", wall_ns, limits.wall_s * NS_PER_S),
        ("output", output_bytes, limits.output_bytes),
    )
    return tuple(
        NearLimit(name, amount / limit)
        for name, amount, limit in used
        if limit and amount >= NEAR_RATIO * limit
    )
