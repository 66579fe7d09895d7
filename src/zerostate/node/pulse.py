"""Whether the node's event loop still turns, and how late it is."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, final

import trio

TICK_S: Final = 0.5
"""Between two ticks of the loop, in seconds."""

LAG_WINDOW_TICKS: Final = 120
"""Ticks over which the worst lag is remembered: a minute of them."""


@final
class Pulse:
    """The loop ticks; any thread can see when it last did."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._ticked_at_s = monotonic_s()
        self._lags_s: deque[float] = deque([0.0], maxlen=LAG_WINDOW_TICKS)

    async def beat(self, on_tick: Callable[[], None]) -> None:
        """Tick until cancelled, and call `on_tick` each time."""
        while True:
            on_tick()
            slept_from_s = trio.current_time()
            await trio.sleep(TICK_S)
            lag_s = trio.current_time() - slept_from_s - TICK_S
            self._lags_s.append(max(lag_s, 0.0))
            self._ticked_at_s = self._monotonic_s()

    def silence_s(self) -> float:
        """Return for how long the loop has not ticked, in seconds."""
        return self._monotonic_s() - self._ticked_at_s

    def lag_s(self) -> float:
        """Return by how much the last tick was late, in seconds."""
        return self._lags_s[-1]

    def worst_lag_s(self) -> float:
        """Return by how much the latest of a minute's ticks was late, in seconds."""
        return max(self._lags_s.copy())
