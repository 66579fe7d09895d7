"""One line a minute about what was lost."""

from logging import Logger
from typing import Final, final

from zerostate.clock import Clock
from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.units import NS_PER_S

REPORT_EVERY_S: Final = 60
"""Least time between two lines, in seconds."""


@final
class DropReport:
    """Logs how many spans were dropped since the last line, and why."""

    def __init__(self, ledger: SpanLedger, clock: Clock, logger: Logger) -> None:
        self._ledger = ledger
        self._clock = clock
        self._logger = logger
        self._reported: dict[tuple[str, str], int] = {}
        self._not_before_ns: int | None = None

    def report(self, *, is_last: bool = False) -> None:
        """Log, if something was dropped and the last line is a minute old.

        Args:
            is_last: Log whatever the time.
        """
        now_ns = self._clock.monotonic_ns()
        is_early = self._not_before_ns is not None and now_ns < self._not_before_ns
        if is_early and not is_last:
            return
        drops = self._ledger.drops()
        news = {
            key: spans - self._reported.get(key, 0)
            for key, spans in sorted(drops.items())
            if spans > self._reported.get(key, 0)
        }
        if not news:
            return
        self._reported = dict(drops)
        self._not_before_ns = now_ns + REPORT_EVERY_S * NS_PER_S
        parts = [
            f"{name + ' ' if name else ''}{reason}={spans}"
            for (name, reason), spans in news.items()
        ]
        self._logger.warning("telemetry: spans dropped: %s", ", ".join(parts))

    def after_fork(self) -> None:
        """Start anew, in a forked child."""
        self._reported = {}
        self._not_before_ns = None
