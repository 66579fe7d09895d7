"""At most so many a second, by raising the threshold."""

import math
from collections.abc import Callable
from typing import Final, final

from typing_extensions import override

from zerostate.clock import Clock, SystemClock
from zerostate.telemetry.budget import TokenBucket
from zerostate.telemetry.locks import ForkSafeLock
from zerostate.telemetry.sampling.contract import ComposableSampler, Intent, Query
from zerostate.telemetry.sampling.otel_state import probability_of, threshold_of
from zerostate.units import NS_PER_S

MEMORY_S: Final = 5.0
"""Time constant of the estimated rate, in seconds: a change of load shows in the
threshold after about that."""

TARGET_RATIO: Final = 0.95
"""Share of the ceiling that the threshold aims at. The rest is for chance, so that the
token bucket behind it seldom has to drop."""


@final
class Ceiling(ComposableSampler):
    """Keeps what another sampler keeps, up to a number of spans a second.

    The threshold follows the load, so that the choice stays consistent: what is kept is
    what anybody at that rate keeps, and is counted right. A token bucket behind it makes
    the ceiling hard, also in the seconds that the threshold takes to follow; what it
    drops is dropped without regard to the randomness.

    As the root of a `ParentBased` it counts traces. Safe from any thread.

    Args:
        sampler: Says what would be kept without a ceiling.
        per_second: The ceiling; a second's worth may come at once.
        clock: Tells the time.

    Raises:
        ValueError: `per_second` is not above 0.
    """

    def __init__(
        self, sampler: ComposableSampler, per_second: float, clock: Clock | None = None
    ) -> None:
        if not (per_second > 0 and math.isfinite(per_second)):
            raise ValueError(f"per_second is {per_second}; it must be above 0")
        self._sampler = sampler
        self._per_second = per_second
        self._clock = clock if clock is not None else SystemClock()
        self._bucket = TokenBucket(
            per_second, max(1.0, per_second), self._clock.monotonic_ns()
        )
        self._lock = ForkSafeLock()
        self._seen_ns = self._clock.monotonic_ns()
        self._window_s = MEMORY_S
        self._wanted = 0.0

    @override
    def intent(self, query: Query) -> Intent:
        """Return the other sampler's threshold, or the higher one of the ceiling."""
        inner = self._sampler.intent(query)
        if inner.threshold is None:
            return inner
        probability = self._observe(probability_of(inner.threshold))
        threshold = threshold_of(probability) or 0
        return inner._replace(
            threshold=max(inner.threshold, threshold), gate=self._gate(inner.gate)
        )

    def _observe(self, wanted: float) -> float:
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            elapsed_s = max(0, now_ns - self._seen_ns) / NS_PER_S
            self._seen_ns = now_ns
            fading = math.exp(-elapsed_s / MEMORY_S)
            self._window_s = self._window_s * fading + elapsed_s
            self._wanted = self._wanted * fading + wanted
            target = self._per_second * TARGET_RATIO * self._window_s
            return wanted * min(1.0, target / self._wanted)

    def _gate(self, inner: Callable[[], bool] | None) -> Callable[[], bool]:
        def admit() -> bool:
            if inner is not None and not inner():
                return False
            with self._lock:
                return self._bucket.take(self._clock.monotonic_ns())

        return admit

    @override
    def __repr__(self) -> str:
        return f"Ceiling({self._sampler!r}, {self._per_second:g} a second)"
