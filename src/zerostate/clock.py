"""Wall and monotonic time behind one small protocol, so that tests can own time."""

import time
from typing import Protocol, final


class Clock(Protocol):
    """Tells the time. Both readings are integers in nanoseconds."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds of a clock that never goes back."""


@final
class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return nanoseconds of a clock that never goes back."""
        return time.monotonic_ns()
