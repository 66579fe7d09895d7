"""A live span seen through the names of the SDK's ``ReadableSpan``.

Instrumentations, samplers and span processors written for the SDK read these. None of
it is on the hot path; what needs the SDK's classes loads the SDK when it is asked for.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AnyValue

from zerostate.telemetry.recorder.bits import FLAGS_MASK, TRACE_FLAGS

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import (
        InstrumentationInfo,
        InstrumentationScope,
    )
    from opentelemetry.trace import TraceState

    from zerostate.telemetry.recorder.detail import SpanDetail
    from zerostate.telemetry.recorder.origin import Origin

_UNSET: Final = Status()


class ReadableView:
    """The reading side of `RecordedSpan`. Every answer is a copy or immutable."""

    __slots__ = ()

    if TYPE_CHECKING:
        origin: Origin
        name: str
        kind: SpanKind
        trace_id: int
        parent_id: int
        given_parent: SpanContext | None
        trace_state: TraceState | None
        bits: int
        start_time: int
        end_time: int | None
        raw_attributes: dict[str, AnyValue]
        detail: SpanDetail | None

        def get_span_context(self) -> SpanContext:
            """Return the span's own context."""

    @property
    def context(self) -> SpanContext:
        """The span's own context."""
        return self.get_span_context()

    @property
    def parent(self) -> SpanContext | None:
        """The parent's context; None for a root span."""
        if self.given_parent is not None:
            return self.given_parent
        if not self.parent_id:
            return None
        return SpanContext(
            self.trace_id,
            self.parent_id,
            False,
            TRACE_FLAGS[self.bits & FLAGS_MASK],
            self.trace_state,
        )

    @property
    def attributes(self) -> Mapping[str, AnyValue]:
        """What is set now; cannot be written to."""
        return MappingProxyType(self.raw_attributes.copy())

    @property
    def status(self) -> Status:
        """What the status is now."""
        detail = self.detail
        if detail is None or detail.code is StatusCode.UNSET:
            return _UNSET
        return Status(detail.code, detail.description)

    @property
    def events(self) -> "Sequence[Event]":
        """The events so far, as the SDK has them."""
        return self.snapshot().events

    @property
    def links(self) -> Sequence[Link]:
        """The links so far, as the SDK has them."""
        return self.snapshot().links

    @property
    def dropped_attributes(self) -> int:
        """Attributes that limits or their own nature kept out."""
        return self.detail.dropped_attributes if self.detail else 0

    @property
    def dropped_events(self) -> int:
        """Events that made room for later ones."""
        return self.detail.dropped_events if self.detail else 0

    @property
    def dropped_links(self) -> int:
        """Links that made room for later ones."""
        return self.detail.dropped_links if self.detail else 0

    @property
    def resource(self) -> "Resource":
        """The provider's resource, as the SDK has it."""
        return self.origin.core.resource()

    @property
    def instrumentation_scope(self) -> "InstrumentationScope":
        """The tracer's scope, as the SDK has it."""
        return self.origin.scope.sdk_scope

    @property
    def instrumentation_info(self) -> "InstrumentationInfo | None":
        """Deprecated by OpenTelemetry in favour of `instrumentation_scope`."""
        return None

    def to_json(self, indent: int | None = 4) -> str:
        """Return the span as the SDK's console exporter writes it."""
        return str(self.snapshot().to_json(indent))

    def snapshot(self) -> "ReadableSpan":
        """Return a genuine SDK ``ReadableSpan`` that later changes do not reach.

        Dropped counts, ids, resource and scope are those of this span. Costs about what
        the SDK itself spends on a span, and loads the SDK at the first call.
        """
        from opentelemetry.sdk.trace import (  # noqa: PLC0415  # heavy; seldom
            Event,
            ReadableSpan,
        )
        from opentelemetry.sdk.util import BoundedList  # noqa: PLC0415  # ditto

        detail = self.detail
        events: BoundedList[Event] = BoundedList(None)
        links: BoundedList[Link] = BoundedList(None)
        if detail is not None:
            for event in detail.events[:]:
                attributes = _bounded(event.attributes, event.dropped_attributes)
                events.append(Event(event.name, attributes, event.time_ns))
            for link in detail.links[:]:
                attributes = _bounded(link.attributes, link.dropped_attributes)
                links.append(Link(link.context, attributes))
            events.dropped = detail.dropped_events
            links.dropped = detail.dropped_links
        return ReadableSpan(
            name=self.name,
            context=self.get_span_context(),
            parent=self.parent,
            resource=self.resource,
            attributes=_bounded(self.raw_attributes.copy(), self.dropped_attributes),
            events=events,
            links=links,
            kind=self.kind,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=self.instrumentation_scope,
        )


def _bounded(attributes: dict[str, AnyValue], dropped: int) -> BoundedAttributes:
    bounded = BoundedAttributes(attributes=attributes)
    bounded.dropped = dropped
    return bounded
