"""A token bucket that makes callers wait, in the order in which they came."""

from typing import Final, final

import trio

from zerostate.errors import OverloadedError


@final
class Pacer:
    """Lets through `burst` at once and `rate_per_s` in the long run.

    Args:
        rate_per_s: Turns per second.
        burst: Turns that may be taken at once after a pause.
        max_waiting: Callers that may wait; one more is refused.
    """

    def __init__(self, *, rate_per_s: float, burst: int, max_waiting: int) -> None:
        self._rate_per_s: Final = rate_per_s
        self._burst: Final = burst
        self._max_waiting: Final = max_waiting
        self._tokens = float(burst)
        self._refilled_at = 0.0
        self._line = trio.Lock()

    async def turn(self) -> None:
        """Wait for a turn; first come, first served.

        Raises:
            OverloadedError: `max_waiting` callers wait already.
        """
        if self._line.statistics().tasks_waiting >= self._max_waiting:
            raise OverloadedError(f"{self._max_waiting} publications wait already")
        async with self._line:
            self._refill()
            if self._tokens < 1:
                await trio.sleep((1 - self._tokens) / self._rate_per_s)
                self._refill()
            self._tokens = max(0.0, self._tokens - 1)

    def _refill(self) -> None:
        now = trio.current_time()
        earned = (now - self._refilled_at) * self._rate_per_s
        self._tokens = min(float(self._burst), self._tokens + earned)
        self._refilled_at = now
