"""The one span of the command line itself. Words, not deeds."""

from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.trace import Span, TracerProvider

from zerostate.semconv import spans
from zerostate.telemetry import LayerTracer


class DoctorTracer(LayerTracer):
    """Opens the span that ``zerostate doctor`` sends and looks for."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("doctor", provider)

    def trace_test(self) -> AbstractContextManager[Span]:
        """Cover nothing but itself: that it arrives is what is tested."""
        return self.span(spans.TELEMETRY_DOCTOR, {}, context=Context())
