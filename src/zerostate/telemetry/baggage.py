"""W3C Baggage: the header's grammar, its limits, and its percent-encoding.

Values meet OpenTelemetry's baggage API as plain text. Properties (``k=v;p=1``), which
that API does not know, ride on the value and go out with it again.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, final
from urllib.parse import quote, unquote

from opentelemetry.baggage import set_baggage
from opentelemetry.context import Context

MAX_BAGGAGE_CHARS: Final = 8192
"""Longest baggage that is propagated, in characters, which are all ASCII (W3C Baggage,
section 3.3.2: at least that much)."""

MAX_BAGGAGE_MEMBERS: Final = 64
"""Most members that are propagated (section 3.3.2: at least that many)."""

# Possessive quantifiers: no text makes these backtrack.
_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE: Final = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*+"
_PROPERTY: Final = rf"[ \t]*+;[ \t]*+{_NAME}(?:[ \t]*+=[ \t]*+{_VALUE})?+"
_IS_TOKEN: Final = re.compile(_NAME).fullmatch
_IS_MEMBER: Final = re.compile(
    rf"({_NAME})[ \t]*+=[ \t]*+({_VALUE})((?:{_PROPERTY})*+)"
).fullmatch

_LITERAL: Final = "!#$&'()*-./:<=>?@[]^_`{|}~"
"""Left as they are in a value. "+" could be, and is not: OpenTelemetry's Python SDK
reads it as a space."""


@final
class BaggageValue(str):
    """A baggage value that came with properties.

    Attributes:
        properties: As on the wire, ``;p=1;q``; opaque.
    """

    __slots__ = ("properties",)

    properties: str


class ParsedBaggage(NamedTuple):
    """What was good in a baggage header."""

    members: list[re.Match[str]]
    """Each with the groups key, value (encoded) and properties."""

    is_complete: bool
    """Whether nothing was left out."""

    def render(self) -> str:
        """Return the members as a header value."""
        return ",".join([member[0] for member in self.members])

    def into(self, context: Context) -> Context:
        """Return `context` with these entries added to its baggage."""
        for member in self.members:
            key, value, properties = member.groups()
            text = unquote(value) if "%" in value else value
            if properties:
                text = BaggageValue(text)
                text.properties = properties
            context = set_baggage(key, text, context)
        return context


def parse_baggage(value: str) -> ParsedBaggage:
    """Return the well-formed members of a combined header, as far as the limits go."""
    is_complete = True
    if len(value) > MAX_BAGGAGE_CHARS:
        # The comma after the last whole member may be the first character too many.
        value = value[: MAX_BAGGAGE_CHARS + 1].rpartition(",")[0]
        is_complete = False
    members: list[re.Match[str]] = []
    for part in value.split(","):
        text = part.strip(" \t")
        if not text:
            continue
        match = _IS_MEMBER(text)
        if match is None or len(members) == MAX_BAGGAGE_MEMBERS:
            is_complete = False
        else:
            members.append(match)
    return ParsedBaggage(members, is_complete)


def encode_baggage(entries: Mapping[str, object]) -> tuple[str, bool]:
    """Return `entries` as a header value, and whether all of them are in it.

    A key that is no token (RFC 7230, section 3.2.6) cannot go; of more than the limits
    allow, the first go.
    """
    members: list[str] = []
    length = -1
    for key, value in entries.items():
        member = _encode(key, value)
        if member is None:
            continue
        length += len(member) + 1
        if length > MAX_BAGGAGE_CHARS or len(members) == MAX_BAGGAGE_MEMBERS:
            break
        members.append(member)
    return ",".join(members), len(members) == len(entries)


def _encode(key: object, value: object) -> str | None:
    if not isinstance(key, str) or _IS_TOKEN(key) is None:
        return None
    properties = value.properties if isinstance(value, BaggageValue) else ""
    text = value if isinstance(value, str) else _text(value)
    if text is None:
        return None
    return f"{key}={quote(text, safe=_LITERAL, errors='replace')}{properties}"


def _text(value: object) -> str | None:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # foreign code; its caller counts the loss
        return None
