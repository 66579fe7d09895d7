"""Query parameters, read strictly: what is malformed is an error that names it."""

import base64
import binascii
import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from zerostate.errors import InvalidQueryError
from zerostate.ids import parse_trace_id
from zerostate.stack.otlp import SpanKind
from zerostate.stack.store import TagCondition
from zerostate.units import NS_PER_MS, NS_PER_S, NS_PER_US

MAX_TAGS: Final = 32
"""Tags in one search; each is looked up in every span that meets the rest."""

MAX_TEXT_CHARS: Final = 4_096
"""Longest parameter, in characters."""

MAX_TIME_NS: Final = 2**63 - 1
"""Latest time and longest duration understood, as in Jaeger: a signed 64-bit number."""

_GO_UNITS_NS: Final = {
    "ns": 1,
    "us": NS_PER_US,
    "µs": NS_PER_US,  # the micro sign
    "\u03bcs": NS_PER_US,  # the Greek letter
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
}
_GO_TERM: Final = re.compile(
    r"([0-9]{0,19})(?:\.([0-9]{0,18}))?(ns|us|µs|\u03bcs|ms|s|m|h)"
)
_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[-+]\d{2}:\d{2})",
    re.ASCII,
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_KINDS: Final = {kind.name.lower(): int(kind) for kind in SpanKind}


def bounded(name: str, text: str) -> str:
    """Return `text` unless it is too long."""
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidQueryError(
            f"parameter '{name}' is longer than {MAX_TEXT_CHARS} characters"
        )
    return text


def parse_int(name: str, text: str, lowest: int, highest: int) -> int:
    """Return a decimal integer within bounds."""
    if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        number = int(text)
        if lowest <= number <= highest:
            return number
    raise InvalidQueryError(
        f"parameter '{name}' must be an integer from {lowest} to {highest}, "
        f"is {text[:80]!r}"
    )


def parse_duration_ns(name: str, text: str) -> int:
    """Return a duration as Go writes it (``1.5ms``, ``1h30m``), not negative."""
    if text == "0":
        return 0
    total_ns = position = 0
    while position < len(text):
        term = _GO_TERM.match(text, position)
        if term is None or not (term[1] or term[2]):
            break
        unit_ns = _GO_UNITS_NS[term[3]]
        fraction = term[2] or ""
        total_ns += int(term[1] or "0") * unit_ns
        total_ns += int(fraction or "0") * unit_ns // 10 ** len(fraction)
        position = term.end()
    if not text or position < len(text) or total_ns > MAX_TIME_NS:
        raise InvalidQueryError(
            f"parameter '{name}' must be a duration such as 1.5ms or 2s, "
            f"is {text[:80]!r}"
        )
    return total_ns


def parse_rfc3339_ns(name: str, text: str) -> int:
    """Return a time as nanoseconds since the epoch, losing none (RFC 3339)."""
    # A '+' that was not percent-encoded arrives as a blank.
    found = _RFC3339.fullmatch(text.replace(" ", "+"))
    if found is None:
        raise _not_a_time(name, text)
    zone = "+00:00" if found[4] in "Zz" else found[4]
    try:
        moment = dt.datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}")
        whole_s = (moment - _EPOCH) // dt.timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise _not_a_time(name, text) from error
    return max(0, whole_s * NS_PER_S + int((found[3] or "0").ljust(9, "0")))


def parse_kind(name: str, text: str) -> int:
    """Return a span kind's number, given its name in any case."""
    kind = _KINDS.get(text.lower().removeprefix("span_kind_"))
    if kind is None:
        raise InvalidQueryError(
            f"parameter '{name}' must be one of {', '.join(_KINDS)}, is {text[:80]!r}"
        )
    return kind


def parse_trace(name: str, text: str) -> bytes:
    """Return a trace id, given as hex or, as Jaeger's v3 also takes it, base64."""
    try:
        return bytes.fromhex(parse_trace_id(text))
    except ValueError:
        pass
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != 16 or not any(decoded):  # noqa: PLR2004 - bytes of a trace id
        raise InvalidQueryError(
            f"parameter '{name}' must be a trace id of 1 to 32 hex digits, "
            f"is {text[:80]!r}"
        )
    return decoded


def parse_tag_map(name: str, text: str) -> Iterable[TagCondition]:
    """Return the conditions of a JSON object ``{"key": value}``.

    A value in quotes is of any type that it can be read as; a number or truth value
    is of that type.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_a_tag_map(name) from error
    if not isinstance(raw, dict):
        raise _not_a_tag_map(name)
    return [_condition(name, key, value) for key, value in raw.items()]


def parse_tag_pair(name: str, text: str) -> TagCondition:
    """Return the condition of ``key:value``."""
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise InvalidQueryError(
            f"parameter '{name}' must be key:value, is {text[:80]!r}"
        )
    return TagCondition.from_text(key, value)


def check_tags(conditions: Iterable[TagCondition]) -> tuple[TagCondition, ...]:
    """Return the conditions as a tuple unless there are too many."""
    checked = tuple(conditions)
    if len(checked) > MAX_TAGS:
        raise InvalidQueryError(f"at most {MAX_TAGS} tags can be searched at once")
    return checked


def first(params: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    """Return name and text of the first parameter of `names` that is given."""
    for name in names:
        if text := params.get(name):
            return name, bounded(name, text)
    return None


def _condition(name: str, key: str, value: object) -> TagCondition:
    if isinstance(value, str):
        return TagCondition.from_text(key, value)
    if isinstance(value, (bool, int, float)):
        return TagCondition.from_value(key, value)
    raise _not_a_tag_map(name)


def _not_a_tag_map(name: str) -> InvalidQueryError:
    return InvalidQueryError(
        f"parameter '{name}' must be a JSON object of keys and plain values, "
        'such as {"error":"true"}'
    )


def _not_a_time(name: str, text: str) -> InvalidQueryError:
    return InvalidQueryError(
        f"parameter '{name}' must be a time such as 2026-11-22T09:00:00Z, "
        f"is {text[:80]!r}"
    )
