"""A clock that a test owns."""

from typing import final

from zerostate.units import NS_PER_S


@final
class FakeClock:
    """Stands still until told to `advance`."""

    def __init__(self, wall_ns: int = 1_800_000_000 * NS_PER_S) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = 0

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Return nanoseconds since the clock was made."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        step_ns = round(seconds * NS_PER_S)
        self._wall_ns += step_ns
        self._monotonic_ns += step_ns
