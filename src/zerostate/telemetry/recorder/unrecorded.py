"""A span that the sampler did not want: it only carries context on."""

from typing import TYPE_CHECKING, final

from opentelemetry.trace import NonRecordingSpan, SpanContext
from typing_extensions import override

from zerostate.telemetry.recorder.bits import TRACE_FLAGS

if TYPE_CHECKING:
    from opentelemetry.trace import TraceState


@final
class UnrecordedSpan(NonRecordingSpan):
    """Has ids of its own, so that what is sent under it still forms a trace.

    Its context is built when it is first asked for; most are never.
    """

    __slots__ = ("bits", "built_context", "span_id", "trace_id", "trace_state")

    trace_id: int
    span_id: int
    bits: int
    """W3C trace flags, never with the sampled one."""
    trace_state: "TraceState | None"
    built_context: SpanContext | None

    @override
    def get_span_context(self) -> SpanContext:
        context = self.built_context
        if context is None:
            context = SpanContext(
                self.trace_id,
                self.span_id,
                False,
                TRACE_FLAGS[self.bits],
                self.trace_state,
            )
            self.built_context = context
        return context

    @override
    def __repr__(self) -> str:
        return f"UnrecordedSpan({self.get_span_context()!r})"
