"""Lengths of time as users give them."""

from typing import Final

MAX_WAIT_S: Final = 86_400.0
"""Longest single wait, in seconds. Nobody waits a day for an export, and locks and
sockets refuse numbers that are much larger; what asks for more waits this long."""


def is_seconds(value: object) -> bool:
    """Tell whether `value` is a number, from 0 up to and with infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def is_some_seconds(value: object) -> bool:
    """Tell whether `value` is a number above 0, up to and with infinity."""
    return is_seconds(value) and value != 0


def wait_s(value: object, otherwise_s: float) -> float:
    """Return `value` as a wait that every clock and lock takes.

    Args:
        value: Seconds; below 0 counts as 0, above `MAX_WAIT_S` as that.
        otherwise_s: Taken if `value` is no number at all.
    """
    if not isinstance(value, int | float) or value != value:  # noqa: PLR0124  # only NaN differs from itself
        return otherwise_s
    return float(min(max(value, 0), MAX_WAIT_S))
