"""When to try again."""

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from zerostate.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

MAX_RETRY_AFTER_S: Final = 3600.0
"""Longest wait, in seconds, that a receiver may ask for: beyond it lies a mistake."""

_MAX_DOUBLINGS: Final = 32
_HTTP_DATE: Final = re.compile(
    r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT"
)
"""IMF-fixdate, which all HTTP servers must send (RFC 9110, section 5.6.7)."""

_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """How a failed export is tried again: exponentially later, with jitter."""

    initial_s: float = 1.0
    """Wait after the first failure, in seconds."""

    max_s: float = 30.0
    """Longest wait between two attempts, in seconds."""

    max_elapsed_s: float = 300.0
    """A batch is given up (to the spool, or lost and counted) this many seconds after
    its first attempt; 0 tries once."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: With every problem at once.
        """
        problems = []
        if not self.initial_s > 0:
            problems.append(f"retry.initial_s: {self.initial_s} is not above 0")
        if not self.max_s >= self.initial_s:
            problems.append(f"retry.max_s: {self.max_s} is below initial_s")
        if not self.max_elapsed_s >= 0:
            problems.append(f"retry.max_elapsed_s: {self.max_elapsed_s} is below 0")
        if problems:
            raise ConfigError(*problems)

    def wait_s(self, failures: int, jitter_ratio: float) -> float:
        """Return the seconds to wait after `failures` failures in a row.

        Args:
            failures: At least 1.
            jitter_ratio: From 0 to 1; spreads the wait from half of it to all of it,
                so that many processes do not come back at once.
        """
        doublings = min(max(failures - 1, 0), _MAX_DOUBLINGS)
        longest = min(self.initial_s * 2.0**doublings, self.max_s)
        return longest * (0.5 + 0.5 * jitter_ratio)


def random_ratio() -> float:
    """Return a number from 0 to 1 that ``random.seed`` has no say in."""
    return int.from_bytes(os.urandom(4)) / 0xFFFF_FFFF


def parse_retry_after(text: str, now: "datetime | None" = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait.

    Args:
        text: Seconds, or an HTTP date (RFC 9110, section 10.2.3).
        now: What a date is counted from.

    Returns:
        From 0 to `MAX_RETRY_AFTER_S`; None if `text` is neither.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), MAX_RETRY_AFTER_S)
    date = _HTTP_DATE.fullmatch(text)
    if date is None:
        return None
    from datetime import UTC, datetime  # noqa: PLC0415  # 1 MB, rarely needed

    day, month, year, hour, minute, second = date.groups()
    try:
        then = datetime(
            int(year),
            _MONTHS.index(month) + 1,
            int(day),
            int(hour),
            int(minute),
            int(second),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    wait_s = (then - (now or datetime.now(UTC))).total_seconds()
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
