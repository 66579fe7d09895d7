"""When to try again."""

import os
import re
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Final

from zerostate.errors import ConfigError
from zerostate.telemetry.export.seconds import (
    MAX_WAIT_S,
    is_seconds,
    is_some_seconds,
)

if TYPE_CHECKING:
    from datetime import datetime

MAX_RETRY_AFTER_S: Final = 3600.0
"""Longest wait, in seconds, that a receiver may ask for: beyond it lies a mistake."""

_MAX_DOUBLINGS: Final = 32
_HTTP_DATE: Final = re.compile(
    r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT"
)
"""IMF-fixdate, which all HTTP servers must send (RFC 9110, section 5.6.7)."""

_DAYS_OF_MONTHS: Final = {
    "Jan": 31,
    "Feb": 28,
    "Mar": 31,
    "Apr": 30,
    "May": 31,
    "Jun": 30,
    "Jul": 31,
    "Aug": 31,
    "Sep": 30,
    "Oct": 31,
    "Nov": 30,
    "Dec": 31,
}

_DAYS_BEFORE_1970: Final = 719_163
"""Up to and with 1 January 1970, from 1 January of year 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """How a failed export is tried again: exponentially later, with jitter."""

    initial_s: float = 1.0
    """Wait after the first failure, in seconds."""

    max_s: float = 30.0
    """Longest wait between two attempts, in seconds; it is never more than
    `MAX_WAIT_S`."""

    max_elapsed_s: float = 300.0
    """A batch is given up (to the spool, or lost and counted) this many seconds after
    its first attempt; 0 tries once, infinity for ever."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: With every problem at once.
        """
        problems = []
        if not is_some_seconds(self.initial_s):
            problems.append(f"retry.initial_s: {self.initial_s} is not above 0")
        if not is_seconds(self.max_s) or (
            is_seconds(self.initial_s) and self.max_s < self.initial_s
        ):
            problems.append(f"retry.max_s: {self.max_s} is not initial_s or above")
        if not is_seconds(self.max_elapsed_s):
            problems.append(
                f"retry.max_elapsed_s: {self.max_elapsed_s} is not 0 or above"
            )
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
        first_s = min(self.initial_s, MAX_WAIT_S)
        longest = min(first_s * 2.0**doublings, self.max_s, MAX_WAIT_S)
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
    then_s = _unix_s(date)
    if then_s is None:
        return None
    wait_s = then_s - (time() if now is None else now.timestamp())
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _unix_s(date: re.Match[str]) -> int | None:
    # By hand: this runs on an exporting thread, where nothing may be imported (a fork
    # would leave the import's lock held in the child), and datetime costs 1 MB.
    month = date[2]
    day, year, hour, minute, second = (int(date[n]) for n in (1, 3, 4, 5, 6))
    if month not in _DAYS_OF_MONTHS or year < 1:
        return None
    days, is_leap = _DAYS_OF_MONTHS[month], _is_leap(year)
    length = days + 1 if month == "Feb" and is_leap else days
    is_time = hour < 24 and minute < 60 and second < 60  # noqa: PLR2004  # a day's parts
    if not (1 <= day <= length and is_time):
        return None
    months = list(_DAYS_OF_MONTHS)
    before = months.index(month)
    passed = sum(_DAYS_OF_MONTHS[m] for m in months[:before])
    passed += is_leap and before > 1
    full = year - 1
    leap_days = full // 4 - full // 100 + full // 400
    total = full * 365 + leap_days + passed + day - _DAYS_BEFORE_1970
    return ((total * 24 + hour) * 60 + minute) * 60 + second


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
