"""A counter that any thread may bump without a lock."""

from itertools import count
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class Tally:
    """Counts exactly, for the price of one C call.

    `add` is `itertools.count`'s ``__next__``, which the interpreter runs as one step.
    To read is to count too, so that readings are subtracted again.
    """

    __slots__ = ("_base", "_readings", "_step", "add")

    def __init__(self) -> None:
        step = count().__next__
        self.add: Callable[[], int] = step
        """Count one; the return value means nothing. May be kept by its callers."""
        self._step = step
        self._readings = 0
        self._base = 0

    def value(self) -> int:
        """Return how often `add` was called. The caller serialises readings."""
        total = self._step() - self._readings
        self._readings += 1
        return total - self._base

    def reset(self, value: int = 0) -> None:
        """Count on from `value`. The caller serialises this with readings."""
        self._base += self.value() - value
