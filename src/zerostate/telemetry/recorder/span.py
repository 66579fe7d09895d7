"""The live span: what happens on the traced thread, and as little of it as possible.

No lock is taken. What must happen once (`RecordedSpan.end`) is a test and a store with
no call between them, which the interpreter does not interrupt.
"""

import sys
from collections.abc import Mapping
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Final, final

from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AnyValue, Attributes
from typing_extensions import override

from zerostate.telemetry.export.snapshot import DropReason
from zerostate.telemetry.recorder.attributes import clean_mapping, evict, store
from zerostate.telemetry.recorder.bits import (
    FLAGS_MASK,
    RECORDS_EXCEPTIONS,
    SAMPLED,
    SETS_STATUS,
    TRACE_FLAGS,
)
from zerostate.telemetry.recorder.detail import SpanDetail, SpanEvent, SpanLink
from zerostate.telemetry.recorder.readable import ReadableView
from zerostate.telemetry.recorder.stacktrace import (
    format_exception,
    message_of,
    qualified_name,
)

if TYPE_CHECKING:
    from opentelemetry.trace import TraceState

    from zerostate.telemetry.recorder.given_links import GivenLinks
    from zerostate.telemetry.recorder.origin import Origin

BACKEND: Final = "python"
"""Which implementation of the hot path this is."""

EXCEPTION_EVENT: Final = "exception"
"""Name of the event (OpenTelemetry semantic conventions, "Exceptions")."""

_MAX_NS: Final = 2**64 - 1
"""Largest time that OTLP carries (fixed64)."""


@final
class RecordedSpan(ReadableView, Span):
    """A span that records. Made by `RecorderTracer`; none of its methods raises.

    Besides the OpenTelemetry API it answers what the SDK's ``ReadableSpan`` does, live.
    After `end` nothing changes any more: attempts are ignored, the first of each kind
    is logged. Safe to use from several threads at once.
    """

    # Written by the tracer and by the methods below; read by the encoder.
    __slots__ = (
        "bits",
        "built_context",
        "detail",
        "end_time",
        "given_parent",
        "kind",
        "name",
        "origin",
        "parent_id",
        "raw_attributes",
        "span_id",
        "start_time",
        "trace_id",
        "trace_state",
    )

    origin: "Origin"
    name: str
    kind: SpanKind
    trace_id: int
    span_id: int
    parent_id: int
    """0 for a root span."""
    given_parent: SpanContext | None
    """The parent's context where it cannot be derived from the span's own."""
    trace_state: "TraceState | None"
    """None means empty."""
    bits: int
    """See `zerostate.telemetry.recorder.bits`."""
    start_time: int
    """Nanoseconds since the Unix epoch."""
    end_time: int | None
    """The same; None while the span is live."""
    raw_attributes: dict[str, AnyValue]
    """Cleaned; not to be changed from outside."""
    detail: SpanDetail | None
    built_context: SpanContext | None

    @override
    def get_span_context(self) -> SpanContext:
        context = self.built_context
        if context is None:
            context = SpanContext(
                self.trace_id,
                self.span_id,
                False,
                TRACE_FLAGS[self.bits & FLAGS_MASK],
                self.trace_state,
            )
            self.built_context = context
        return context

    @override
    def is_recording(self) -> bool:
        return self.end_time is None

    @override
    def set_attribute(self, key: str, value: AnyValue) -> None:
        origin = self.origin
        if (
            value.__class__ in origin.plain_types
            and key.__class__ is str
            and key
            and self.end_time is None
        ):
            attributes = self.raw_attributes
            if key in attributes:
                # What is set again is the youngest, for `evict`. Two steps, but with no
                # call between them.
                del attributes[key]
            attributes[key] = value
            if len(attributes) > origin.max_attributes:
                self._evict()
        else:
            self._set_carefully(key, value)

    def begin_with(self, attributes: Mapping[str, AnyValue]) -> None:
        """Set the first attributes, before anybody else has the span."""
        origin = self.origin
        self.raw_attributes, dropped = clean_mapping(
            attributes, origin.max_attributes, origin.core.limits.max_value_chars
        )
        if dropped:
            self._more().dropped_attributes += dropped

    def begin_with_links(self, links: "GivenLinks") -> None:
        """Add the first links; those that nobody looked at count as dropped."""
        for link in links:
            self.add_link(link.context, link.attributes)
        if links.unread:
            self._more().dropped_links += links.unread

    @override
    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        if self.end_time is not None:
            self._too_late("set_attributes")
            return
        kept, dropped = clean_mapping(
            attributes, sys.maxsize, self.origin.core.limits.max_value_chars
        )
        if dropped:
            self._more().dropped_attributes += dropped
        self._merge(kept)

    @override
    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        time = time_ns() if timestamp is None else as_time_ns(timestamp)
        if self.end_time is not None:
            self._too_late("add_event")
            return
        limits = self.origin.core.limits
        kept, dropped = clean_mapping(
            attributes, limits.max_event_attributes, limits.max_detail_chars
        )
        detail = self._more()
        events = detail.events
        events.append(SpanEvent(as_text(name), time, kept, dropped))
        if len(events) > limits.max_events:
            del events[0]
            detail.dropped_events += 1

    @override
    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if self.end_time is not None:
            self._too_late("add_link")
            return
        given: object = context
        if not isinstance(given, SpanContext):
            self.origin.core.once.warn(
                "link", "telemetry: a link needs a SpanContext, not %r", type(given)
            )
            return
        limits = self.origin.core.limits
        kept, dropped = clean_mapping(
            attributes, limits.max_link_attributes, limits.max_detail_chars
        )
        if not (context.is_valid or kept or dropped or context.trace_state):
            return
        detail = self._more()
        links = detail.links
        links.append(SpanLink(context, kept, dropped))
        if len(links) > limits.max_links:
            del links[0]
            detail.dropped_links += 1

    @override
    def update_name(self, name: str) -> None:
        if self.end_time is not None:
            self._too_late("update_name")
            return
        self.name = as_text(name)

    @override
    def set_status(
        self, status: Status | StatusCode, description: str | None = None
    ) -> None:
        if self.end_time is not None:
            self._too_late("set_status")
            return
        code: object = status
        if isinstance(status, Status):
            code, description = status.status_code, status.description
        if not isinstance(code, StatusCode) or code is StatusCode.UNSET:
            return
        detail = self._more()
        if detail.code is StatusCode.OK:
            return
        detail.code = code
        # Only an error has something to tell ("Set Status" in the specification).
        is_told = code is StatusCode.ERROR and description is not None
        detail.description = as_text(description) if is_told else None

    @override
    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        if self.end_time is not None:
            self._too_late("record_exception")
            return
        told: dict[str, AnyValue] = {
            "exception.type": qualified_name(type(exception)),
            "exception.message": message_of(exception),
            "exception.stacktrace": format_exception(exception),
            "exception.escaped": as_text(escaped),
        }
        try:
            told.update(attributes or {})
        except Exception:  # noqa: BLE001  # anybody's mapping; the exception is told
            self.origin.core.once.warn("exception", "telemetry: attributes unreadable")
        self.add_event(EXCEPTION_EVENT, told, timestamp)

    def record_failure(
        self, failure: BaseException, *, records: bool, sets_status: bool, escaped: bool
    ) -> None:
        """Write down what left a block, as far as the block was told to."""
        if self.end_time is not None:
            return
        if records:
            self.record_exception(failure, escaped=escaped)
        if sets_status:
            described = f"{type(failure).__name__}: {message_of(failure)}"
            self.set_status(StatusCode.ERROR, described)

    @override
    def end(self, end_time: int | None = None) -> None:
        ended = time_ns() if end_time is None else as_time_ns(end_time)
        if self.end_time is not None:
            self._too_late("end")
            return
        self.end_time = ended
        core = self.origin.core
        if core.processors:
            core.on_end(self)
        core.count_ended()
        if self.bits & SAMPLED and core.put is not None:
            core.put(self)
        else:
            self._end_unsent()

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Record what failed in the block, and end.

        A cancellation, an exit and a generator being closed are no failures; the SDK
        takes them for one here.
        """
        if isinstance(exc_val, Exception):
            bits = self.bits
            self.record_failure(
                exc_val,
                records=bool(bits & RECORDS_EXCEPTIONS),
                sets_status=bool(bits & SETS_STATUS),
                escaped=True,
            )
        self.end()

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, context={self.context!r})"

    def _set_carefully(self, key: object, value: object) -> None:
        if self.end_time is not None:
            self._too_late("set_attribute")
            return
        kept: dict[str, AnyValue] = {}
        max_chars = self.origin.core.limits.max_value_chars
        if not isinstance(key, str) or not store(kept, key, value, max_chars):
            self._more().dropped_attributes += 1
            self.origin.core.once.warn(
                "attribute", "telemetry: attribute %r cannot be recorded", type(key)
            )
            return
        self._merge(kept)

    def _merge(self, kept: dict[str, AnyValue]) -> None:
        attributes = self.raw_attributes
        for key, value in kept.items():
            if key in attributes:
                del attributes[key]
            attributes[key] = value
            if len(attributes) > self.origin.max_attributes:
                self._evict()

    def _evict(self) -> None:
        dropped = evict(self.raw_attributes, self.origin.max_attributes)
        if dropped:
            self._more().dropped_attributes += dropped

    def _more(self) -> SpanDetail:
        if self.detail is None:
            made = SpanDetail()
            # Another thread may have been faster; what it recorded must not be lost.
            if self.detail is None:
                self.detail = made
        return self.detail

    def _end_unsent(self) -> None:
        if not self.bits & SAMPLED:
            self.origin.core.dropped(DropReason.NOT_SAMPLED)

    def _too_late(self, method: str) -> None:
        self.origin.core.once.warn(
            method, "telemetry: %s on the ended span %r is ignored", method, self.name
        )


def as_time_ns(time: object) -> int:
    """Return `time` as OTLP can carry it; what is no time at all becomes now."""
    if isinstance(time, int | float):
        try:
            return min(max(int(time), 0), _MAX_NS)
        except (ValueError, OverflowError):  # NaN, infinity
            pass
    return time_ns()


def as_text(value: object) -> str:
    """Return `value` if it is a plain string, else its text; never raises."""
    if value.__class__ is str:
        return value
    try:
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001  # their __str__; the text says so
        return "<str() failed>"
