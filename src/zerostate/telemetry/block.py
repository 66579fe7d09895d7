"""A span as a ``with`` block, whose outcome is decided once, when the block is left.

Why not ``with tracer.start_span(...)``:

* it records ``trio.Cancelled`` as an ERROR; a cancelled task is not a failed one;
* a nursery raises ``ExceptionGroup``; recorded as is, ``exception.type`` would be
  "ExceptionGroup" for every failure in the system;
* a status of OK is final in OpenTelemetry, so success must not be written while a
  failure can still follow.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final, final

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue
from typing_extensions import override

from zerostate.telemetry.bound_ids import bind_new, ids_in, unbind
from zerostate.telemetry.outcome import record_ending
from zerostate.telemetry.suppression import is_suppressed, suppressed_span

if TYPE_CHECKING:
    from contextvars import Token

_OPEN_BLOCKS: Final[dict[int, "SpanBlock"]] = {}
"""The innermost open block of each recording span, by the span's ``id()``. Its size is
that of the spans open now; a block holds its span, so an id is not used again."""


@final
class SpanBlock(AbstractContextManager[Span]):
    """Opens one span, makes it current, and ends it. For one use.

    An exception that is a failure makes the status ERROR with ``error.type``;
    cancellation sets ``zerostate.cancelled`` and leaves the status unset. The domain
    ids among `attributes` are bound to log lines for the length of the block. While
    tracing is suppressed no span is started.

    Not for use around a ``yield``: a generator would leave the span current in its
    consumer.
    """

    __slots__ = (
        "_adopted",
        "_attributes",
        "_context",
        "_context_inside",
        "_ids_token",
        "_kind",
        "_links",
        "_name",
        "_outer_token",
        "_span",
        "_span_token",
        "_succeeded",
        "_tracer",
    )

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue],
        context: Context | None = None,
        links: Sequence[Link] = (),
        is_context_attached: bool = False,
    ) -> None:
        """Open nothing yet.

        Args:
            tracer: Who starts the span.
            name: Its name, of low cardinality.
            kind: Its kind.
            attributes: Set at start, so that samplers can see them.
            context: Parent context; None: the current one.
            links: Spans elsewhere that this one has to do with.
            is_context_attached: Whether all of `context` (its baggage too) is current
                inside, not only the new span.
        """
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._context = context
        self._links = links
        self._context_inside = context if is_context_attached else None
        self._succeeded = False
        self._adopted = False
        self._span_token: Token[Context] | None = None
        self._ids_token: Token[Mapping[str, str]] | None = None
        self._outer_token: Token[Context] | None = None

    @override
    def __enter__(self) -> Span:
        """Start the span; it is current inside."""
        if is_suppressed():
            span = self._stand_in()
        else:
            if self._context_inside is not None:
                self._outer_token = attach(self._context_inside)
            span = self._start()
            self._span_token = attach(set_span_in_context(span))
            if span.is_recording():
                _OPEN_BLOCKS[id(span)] = self
        self._span = span
        self._ids_token = bind_new(ids_in(self._attributes))
        return span

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Decide the outcome, end the span; the exception goes on."""
        try:
            if exc is not None and self._span.is_recording():
                record_ending(self._span, exc)
            elif self._succeeded:
                self._confirm_success()
        finally:
            self._close()

    def _start(self) -> Span:
        return self._tracer.start_span(
            self._name,
            context=self._context,
            kind=self._kind,
            attributes=self._attributes,
            links=self._links or None,
            record_exception=False,
            set_status_on_exception=False,
        )

    def _stand_in(self) -> Span:
        span = suppressed_span(self._context)
        self._context_inside = set_span_in_context(span, self._context_inside)
        self._outer_token = attach(self._context_inside)
        return span

    def _confirm_success(self) -> None:
        status = getattr(self._span, "status", None)
        # A span that does not tell its status may have failed: OK would hide that.
        if status is not None and status.status_code is not StatusCode.ERROR:
            self._span.set_status(Status(StatusCode.OK))

    def _close(self) -> None:
        if _OPEN_BLOCKS.get(key := id(self._span)) is self:
            del _OPEN_BLOCKS[key]
        if self._ids_token is not None:
            unbind(self._ids_token)
        if self._span_token is not None:
            detach(self._span_token)
            self._span.end()
        # Another context is current when a generator is finalised elsewhere; there is
        # nothing to give back there, and trying would be logged as a failure.
        if self._outer_token is not None and get_current() is self._context_inside:
            detach(self._outer_token)

    def adopt(self, name: str, attributes: Mapping[str, AttributeValue]) -> bool:
        """Let somebody else's call have this block's span, if it is about the same.

        Only once, only by the same name, and only if no attribute that both know
        differs; those that only the caller knows are added to the span.

        Returns:
            Whether the span is the caller's now.
        """
        if self._adopted or self._name != name:
            return False
        own = self._attributes
        if any(own.get(key, value) != value for key, value in attributes.items()):
            return False
        self._adopted = True
        self._span.set_attributes(dict(attributes))
        return True

    def succeed(self) -> None:
        """Have the status become OK at the end of the block, if nothing fails."""
        self._succeeded = True


@final
class QuietBlock(AbstractContextManager[Span]):
    """Stands for a `SpanBlock` where nothing is recorded, at a third of its cost.

    `span` is the current one, which records nothing either. Binds the domain ids just
    the same. For one use.
    """

    __slots__ = ("_attributes", "_ids_token", "_span")

    def __init__(self, span: Span, attributes: Mapping[str, AttributeValue]) -> None:
        self._span = span
        self._attributes = attributes
        self._ids_token: Token[Mapping[str, str]] | None = None

    @override
    def __enter__(self) -> Span:
        self._ids_token = bind_new(ids_in(self._attributes))
        return self._span

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ids_token is not None:
            unbind(self._ids_token)


def open_block(span: Span) -> SpanBlock | None:
    """Return the block that will end `span`; None if there is none."""
    return _OPEN_BLOCKS.get(id(span))
