"""The one way to open a span, and the functions that mark one opened by hand.

Why `LayerTracer.span` and not ``tracer.start_span`` at the call site:

* ``with tracer.start_span(...)`` records ``trio.Cancelled`` as an ERROR; a cancelled
  task is not a failed one.
* A nursery raises ``ExceptionGroup``; recorded as is, ``exception.type`` would be
  "ExceptionGroup" for every failure in the system.
* A status of OK is final, so nothing here sets it: success leaves the status unset, as
  the OpenTelemetry specification asks of instrumentation.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NoOpTracerProvider,
    Span,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
)
from opentelemetry.util.types import AttributeValue

from zerostate.errors import RemoteError, ZeroStateError
from zerostate.semconv import attributes as attr
from zerostate.semconv.spans import SpanSpec

MAX_MESSAGE_CHARS: Final = 1024
"""Longest status message and exception message that is kept, in characters."""


class LayerTracer:
    """Opens spans for one layer ("p2p", "guild", "execution", "payment", "node").

    Subclassed in each layer's ``tracing.py``, which gives every span of the layer a
    typed method. Safe to share between tasks and threads.

    Args:
        layer: Name of the layer; the instrumentation scope is ``zerostate.<layer>``.
        provider: Where spans go; None gives spans that record nothing. Never the
            global provider: what a layer emits must not depend on import order.
    """

    def __init__(self, layer: str, provider: TracerProvider | None = None) -> None:
        source = provider if provider is not None else NoOpTracerProvider()
        self._tracer = source.get_tracer(f"zerostate.{layer}")

    @contextmanager
    def span(
        self,
        spec: SpanSpec,
        attributes: Mapping[str, AttributeValue],
        *,
        context: Context | None = None,
        links: Sequence[Link] = (),
        **fields: str,
    ) -> Iterator[Span]:
        """Open the span that `spec` describes, current inside the block.

        The outcome is decided once, when the block is left: an exception that is a
        failure makes the status ERROR with ``error.type``; cancellation sets
        ``zerostate.cancelled`` and leaves the status unset.

        Not for use around a ``yield``: an async generator would leave the span current
        in its consumer.

        Args:
            spec: Which span, from `zerostate.semconv.spans`.
            attributes: Values to set at start, so that samplers can see them.
            context: Parent context; None takes the current one, an empty `Context`
                starts a trace of its own.
            links: Spans elsewhere that this one has to do with.
            fields: Values for the placeholders in ``spec.name``.

        Yields:
            The span, already current.
        """
        with self._tracer.start_as_current_span(
            spec.name.format(**fields),
            context=context,
            kind=SpanKind[spec.kind],
            attributes=dict(attributes),
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as exc:
                failure = first_failure(exc)
                if failure is None:
                    span.set_attribute(attr.CANCELLED, True)
                else:
                    record_error(span, failure)
                raise


def record_error(span: Span, failure: BaseException) -> None:
    """Mark `span` failed with `failure`.

    Args:
        span: The span to mark; if it has ended, nothing happens.
        failure: What went wrong; ``error.type`` becomes its ``code`` (for an error that
            another peer answered with, that peer's code), or its class name when it is
            not one of ours.
    """
    span.record_exception(failure)
    span.set_attribute(attr.ERROR_TYPE, error_type(failure))
    span.set_status(Status(StatusCode.ERROR, str(failure)[:MAX_MESSAGE_CHARS]))


def error_type(failure: BaseException) -> str:
    """Return the low-cardinality name of `failure`, for ``error.type``."""
    if isinstance(failure, RemoteError):
        return failure.remote_code
    if isinstance(failure, ZeroStateError):
        return failure.code
    return type(failure).__name__


def first_failure(exc: BaseException) -> Exception | None:
    """Return the first real failure in `exc`, depth first.

    Returns:
        The first leaf that is an `Exception`; None if `exc` only asks us to stop
        (`trio.Cancelled`, `KeyboardInterrupt`), alone or in a group.
    """
    if isinstance(exc, BaseExceptionGroup):
        found = (first_failure(inner) for inner in exc.exceptions)
        return next((failure for failure in found if failure is not None), None)
    return exc if isinstance(exc, Exception) else None
