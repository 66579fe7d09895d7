"""Integer money and durations."""

from typing import Final, NewType

Minor = NewType("Minor", int)
"""Money in the smallest unit (wei, were the channel on an Ethereum chain)."""

NS_PER_S: Final = 1_000_000_000
"""Nanoseconds in a second."""

NS_PER_US: Final = 1_000
"""Nanoseconds in a microsecond."""

NS_PER_MS: Final = 1_000_000
"""Nanoseconds in a millisecond."""


def format_duration(duration_ns: int) -> str:
    """Return `duration_ns` for people: three digits and the unit that fits."""
    if duration_ns < NS_PER_MS:
        return f"{duration_ns / NS_PER_US:.0f} µs"
    if duration_ns < NS_PER_S:
        return f"{duration_ns / NS_PER_MS:.3g} ms"
    return f"{duration_ns / NS_PER_S:.3g} s"
