"""W3C tracestate, level 2: the grammar, the limits, and a `TraceState` that keeps it.

OpenTelemetry's own `TraceState` validates keys by the level-1 grammar: it drops a
member such as ``foo@bar@baz`` or ``1a``, which level 2 allows.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Self

from opentelemetry.trace import TraceState
from typing_extensions import override

MAX_TRACESTATE_CHARS: Final = 512
"""Longest tracestate that is propagated (W3C Trace Context level 2, section 3.3.1.5:
at least that much)."""

MAX_TRACESTATE_PARSED_CHARS: Final = 8192
"""Longest tracestate looked at, in characters; common HTTP servers refuse more. What is
longer than `MAX_TRACESTATE_CHARS` is trimmed by whole members."""

MAX_TRACESTATE_MEMBERS: Final = 32
"""Most members of one tracestate (section 3.3.1.1)."""

LARGE_MEMBER_CHARS: Final = 128
"""Members above this go first when a tracestate is trimmed (section 3.3.1.5)."""

_KEY: Final = r"[a-z0-9][a-z0-9_\-*/@]{0,255}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_IS_KEY: Final = re.compile(_KEY).fullmatch
_IS_VALUE: Final = re.compile(_VALUE).fullmatch
_IS_MEMBER: Final = re.compile(f"({_KEY})=({_VALUE})").fullmatch


class W3CTraceState(TraceState):
    """An immutable tracestate by the level-2 grammar; usable as OpenTelemetry's.

    Changing it returns another one, with the changed member first, as the
    specification wants; what would break the grammar or the limits changes nothing.

    Args:
        entries: Members in order. Invalid and repeated ones are left out, and all from
            the 33rd on.
        checked: Members known to be valid, taken over without a look.
    """

    def __init__(
        self,
        entries: Sequence[tuple[str, str]] | None = None,
        *,
        checked: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._dict = checked if checked is not None else _valid(entries or ())

    @override
    def add(self, key: str, value: str) -> "W3CTraceState":
        """Return it with a new member in front; itself if `key` is there already."""
        return self if key in self else self.update(key, value)

    @override
    def update(self, key: str, value: str) -> "W3CTraceState":
        """Return it with the member `key` set to `value` and moved to the front.

        Returns:
            Itself if `key` or `value` is invalid, or `key` would be the 33rd.
        """
        if _IS_KEY(key) is None or _IS_VALUE(value) is None:
            return self
        if key not in self and len(self) >= MAX_TRACESTATE_MEMBERS:
            return self
        others = {name: old for name, old in self.items() if name != key}
        return W3CTraceState(checked={key: value} | others)

    @override
    def delete(self, key: str) -> "W3CTraceState":
        """Return it without the member `key`; itself if there is none."""
        if key not in self:
            return self
        others = {name: old for name, old in self.items() if name != key}
        return W3CTraceState(checked=others)

    @classmethod
    @override
    def from_header(cls, header_list: list[str]) -> Self:
        """Return the state of one or more header fields; empty if they are malformed.

        Longer than `MAX_TRACESTATE_CHARS`, it is kept whole; `trim` shortens it.
        """
        return cls(checked=parse_tracestate(",".join(header_list)) or {})


EMPTY_TRACESTATE: Final = W3CTraceState(checked={})
"""No members."""


def parse_tracestate(value: str) -> dict[str, str] | None:
    """Return the members of a combined tracestate header, in order.

    Returns:
        None if it is malformed in any place: by section 3.3 it is then dropped whole.
    """
    if len(value) > MAX_TRACESTATE_PARSED_CHARS:
        return None
    members: dict[str, str] = {}
    count = 0
    for part in value.split(","):
        member = part.strip(" \t")
        if not member:
            continue
        match = _IS_MEMBER(member)
        if match is None:
            return None
        key, text = match.groups()
        members[key] = text
        count += 1
    if count > MAX_TRACESTATE_MEMBERS or len(members) < count:
        return None
    return members


def trim(members: dict[str, str]) -> dict[str, str]:
    """Return the members that fit into `MAX_TRACESTATE_CHARS`.

    Whole members go, by section 3.3.1.5: the large ones first, then from the end.
    """
    excess = sum(map(_size, members.items())) - 1 - MAX_TRACESTATE_CHARS
    if excess <= 0:
        return members
    kept = dict(members)
    large = [item for item in members.items() if _size(item) - 1 > LARGE_MEMBER_CHARS]
    small = [item for item in members.items() if item not in large]
    for item in [*reversed(large), *reversed(small)]:
        del kept[item[0]]
        excess -= _size(item)
        if excess <= 0:
            break
    return kept


def render(members: dict[str, str]) -> str:
    """Return `members` as a header value."""
    return ",".join([f"{key}={value}" for key, value in members.items()])


def _size(item: tuple[str, str]) -> int:
    # With the "=" and the comma before the next member.
    return len(item[0]) + len(item[1]) + 2


def _valid(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    members: dict[str, str] = {}
    for key, value in entries:
        if len(members) == MAX_TRACESTATE_MEMBERS:
            break
        if key not in members and _IS_KEY(key) and _IS_VALUE(value):
            members[key] = value
    return members
