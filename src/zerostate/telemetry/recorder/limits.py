"""How much one span may hold (OpenTelemetry specification, "Span Limits")."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Self

from zerostate.errors import ConfigError

DEFAULT_COUNT: Final = 128
"""Attributes, events and links, unless told otherwise (the specification's number)."""

_SPAN_COUNT: Final = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"
_EVENT_COUNT: Final = "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"
_LINK_COUNT: Final = "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"
_ANY_COUNT: Final = "OTEL_ATTRIBUTE_COUNT_LIMIT"
_SPAN_CHARS: Final = "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"
_ANY_CHARS: Final = "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLimits:
    """Bounds of one span. What exceeds them is dropped and counted on the span.

    A full span drops its oldest attribute, event or link for the new one, as the
    OpenTelemetry SDK for Python does.
    """

    max_attributes: int = DEFAULT_COUNT
    """Attributes of a span (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT)."""

    max_events: int = DEFAULT_COUNT
    """Events of a span (OTEL_SPAN_EVENT_COUNT_LIMIT)."""

    max_links: int = DEFAULT_COUNT
    """Links of a span (OTEL_SPAN_LINK_COUNT_LIMIT)."""

    max_event_attributes: int = DEFAULT_COUNT
    """Attributes of an event (OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT)."""

    max_link_attributes: int = DEFAULT_COUNT
    """Attributes of a link (OTEL_LINK_ATTRIBUTE_COUNT_LIMIT)."""

    max_value_chars: int | None = None
    """Characters of a string in a span's attribute; a longer one is cut. None: any
    number (OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT)."""

    max_detail_chars: int | None = None
    """The same in the attributes of events and links
    (OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT)."""

    def __post_init__(self) -> None:
        """Refuse negative limits.

        Raises:
            ConfigError: Naming each limit that is negative.
        """
        problems = [
            f"{field.name}: {value} is negative"
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None and value < 0
        ]
        if problems:
            raise ConfigError(*problems)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the limits that the ``OTEL_*`` variables ask for.

        An empty variable counts as unset. OTEL_ATTRIBUTE_COUNT_LIMIT and
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT stand in for the narrower ones.

        Raises:
            ConfigError: Naming each variable that is not a whole number of 0 or more.
        """
        problems: list[str] = []

        def read(name: str) -> int | None:
            text = environ.get(name, "").strip()
            if not text:
                return None
            if not (text.isascii() and text.isdecimal()):
                problems.append(f"{name}: {text!r} is not a whole number of 0 or more")
                return None
            return int(text)

        def count(name: str, general: int | None = None) -> int:
            own = read(name)
            if own is not None:
                return own
            return DEFAULT_COUNT if general is None else general

        every_count, every_chars = read(_ANY_COUNT), read(_ANY_CHARS)
        span_chars = read(_SPAN_CHARS)
        limits = cls(
            max_attributes=count(_SPAN_COUNT, every_count),
            max_events=count("OTEL_SPAN_EVENT_COUNT_LIMIT"),
            max_links=count("OTEL_SPAN_LINK_COUNT_LIMIT"),
            max_event_attributes=count(_EVENT_COUNT, every_count),
            max_link_attributes=count(_LINK_COUNT, every_count),
            max_value_chars=every_chars if span_chars is None else span_chars,
            max_detail_chars=every_chars,
        )
        if problems:
            raise ConfigError(*problems)
        return limits
