"""The one way our layers open a span. `SpanBlock` says why there is one way only.

Success leaves the status unset, as the OpenTelemetry specification asks of
instrumentation.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    NoOpTracerProvider,
    Span,
    SpanKind,
    TracerProvider,
    get_current_span,
)
from opentelemetry.util.types import AttributeValue

from zerostate.semconv.spans import SpanSpec
from zerostate.telemetry.block import QuietBlock, SpanBlock, open_block
from zerostate.telemetry.outcome import (
    MAX_MESSAGE_CHARS,
    error_type,
    first_failure,
    record_error,
)
from zerostate.telemetry.provider import is_off

__all__ = [
    "MAX_MESSAGE_CHARS",
    "LayerTracer",
    "error_type",
    "first_failure",
    "record_error",
]


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
        self._provider = source
        self._tracer = source.get_tracer(f"zerostate.{layer}")

    def span(
        self,
        spec: SpanSpec,
        attributes: Mapping[str, AttributeValue],
        *,
        context: Context | None = None,
        links: Sequence[Link] = (),
        adopts: bool = False,
        **fields: str,
    ) -> AbstractContextManager[Span]:
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
            adopts: Take over the current span if the caller opened the same one by
                hand around this call, so that there is one span and not two; the
                caller's block then decides the outcome.
            fields: Values for the placeholders in ``spec.name``.

        Returns:
            A context manager that yields the span, already current.
        """
        name = spec.name.format(**fields)
        if context is None:
            current = get_current_span()
            if type(current) is NonRecordingSpan and is_off(self._provider):
                return QuietBlock(current, attributes)
            if adopts:
                block = open_block(current)
                if block is not None and block.adopt(name, attributes):
                    return nullcontext(current)
        return SpanBlock(
            self._tracer,
            name,
            kind=SpanKind[spec.kind],
            attributes=attributes,
            context=context,
            links=links,
        )
