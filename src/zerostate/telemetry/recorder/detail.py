"""What only some spans have: events, links, a status, dropped counts."""

from typing import NamedTuple, final

from opentelemetry.trace import SpanContext, StatusCode
from opentelemetry.util.types import AnyValue


class SpanEvent(NamedTuple):
    """One event, cleaned."""

    name: str
    time_ns: int
    attributes: dict[str, AnyValue]
    dropped_attributes: int


class SpanLink(NamedTuple):
    """One link, cleaned."""

    context: SpanContext
    attributes: dict[str, AnyValue]
    dropped_attributes: int


@final
class SpanDetail:
    """Made when the first of these is recorded, so that other spans stay small."""

    __slots__ = (
        "code",
        "description",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "events",
        "links",
    )

    def __init__(self) -> None:
        self.events: list[SpanEvent] = []
        self.links: list[SpanLink] = []
        self.code: StatusCode = StatusCode.UNSET
        self.description: str | None = None
        self.dropped_attributes = 0
        self.dropped_events = 0
        self.dropped_links = 0
