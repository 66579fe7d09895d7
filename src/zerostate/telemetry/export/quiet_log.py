"""Complaints that would repeat with every batch, said once a minute."""

from logging import Logger
from typing import Final, final

from zerostate.clock import Clock
from zerostate.units import NS_PER_S

REPEAT_AFTER_S: Final = 60
"""Least time between two lines of one kind, in seconds."""


@final
class QuietLog:
    """Logs a line of each kind at most once in `REPEAT_AFTER_S`."""

    def __init__(self, logger: Logger, clock: Clock) -> None:
        self._logger = logger
        self._clock = clock
        self._not_before_ns: dict[str, int] = {}

    def warning(self, kind: str, message: str, *args: object) -> None:
        """Log a warning, unless one of its `kind` was logged just now.

        Args:
            kind: One of a few words of the caller's.
            message: As of `logging`.
            args: For `message`.
        """
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._not_before_ns.get(kind, now_ns):
            return
        self._not_before_ns[kind] = now_ns + REPEAT_AFTER_S * NS_PER_S
        self._logger.warning(message, *args)
