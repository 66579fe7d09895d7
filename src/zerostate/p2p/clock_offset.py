"""How far another peer's clock is from ours: arithmetic on four timestamps.

The formula is NTP's (RFC 5905, section 8). With T1 and T4 by our clock, T2 and T3 by
theirs::

    offset = ((T2 - T1) + (T3 - T4)) / 2        theirs minus ours
    delay  = (T4 - T1) - (T3 - T2)              time on the way, there and back

The two ways need not take equally long; whatever their shares, the offset is wrong by
at most half the delay.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from zerostate.units import NS_PER_S

CLOCK_RESOLUTION_NS: Final = 1_000
"""Added to the error bound, in nanoseconds: coarsest step of a clock that takes part (1
µs), which also covers the rounding of the formula's halves."""

MAX_OFFSET_NS: Final = 100 * 366 * 24 * 3600 * NS_PER_S
"""Largest offset that is believed, in nanoseconds: a hundred years. A machine whose
clock starts at 1970 is within it, and it fits the 64 bits of a span attribute."""

MAX_DELAY_NS: Final = 3600 * NS_PER_S
"""Longest delay that is believed, in nanoseconds: an hour. No exchange is allowed to
take so long; a monotonic clock that says so is broken."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The four timestamps of one question and its answer, in ns since the epoch."""

    sent_ns: int
    """T1, by our clock."""

    remote_received_ns: int
    """T2, by the other peer's clock, as it says."""

    remote_sent_ns: int
    """T3, likewise."""

    received_ns: int
    """T4, by our clock."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What one exchange, or the best of several, says about the other clock."""

    offset_ns: int
    """Their clock minus ours."""

    error_ns: int
    """The true offset is within this of `offset_ns`, if the peer told the truth."""


def read_clock(exchange: Exchange) -> ClockReading | None:
    """Return what `exchange` says; None if its timestamps cannot be true.

    Never raises, whatever the integers: the peer may have sent anything.
    """
    there_ns = exchange.remote_received_ns - exchange.sent_ns
    back_ns = exchange.remote_sent_ns - exchange.received_ns
    held_ns = exchange.remote_sent_ns - exchange.remote_received_ns
    delay_ns = exchange.received_ns - exchange.sent_ns - held_ns
    # A delay just below nothing is two clocks' granularity.
    if held_ns < 0 or not -CLOCK_RESOLUTION_NS <= delay_ns <= MAX_DELAY_NS:
        return None
    offset_ns = (there_ns + back_ns) // 2
    if abs(offset_ns) > MAX_OFFSET_NS:
        return None
    return ClockReading(offset_ns, max(delay_ns, 0) // 2 + CLOCK_RESOLUTION_NS)


def best_reading(exchanges: Iterable[Exchange]) -> ClockReading | None:
    """Return the reading with the least error; None if no exchange can be true."""
    readings = [found for one in exchanges if (found := read_clock(one)) is not None]
    return min(readings, key=lambda reading: reading.error_ns, default=None)
