"""The recorder: our own tracer provider, tracer and span behind the OpenTelemetry API.

Receives what the traced program says about its spans, hands the ended ones to a
`SpanSink`, and encodes them as OTLP when the pipeline asks. Loads the OpenTelemetry API,
not its SDK, which is loaded only for foreign span processors and for reading a span the
SDK's way.
"""

from zerostate.telemetry.recorder.core import SpanCounter as SpanCounter
from zerostate.telemetry.recorder.limits import SpanLimits as SpanLimits
from zerostate.telemetry.recorder.provider import RecorderProvider as RecorderProvider
from zerostate.telemetry.recorder.provider import SpanSink as SpanSink
from zerostate.telemetry.recorder.span import BACKEND as BACKEND
from zerostate.telemetry.recorder.span import RecordedSpan as RecordedSpan
from zerostate.telemetry.recorder.tracer import RecorderTracer as RecorderTracer

__all__ = [
    "BACKEND",
    "RecordedSpan",
    "RecorderProvider",
    "RecorderTracer",
    "SpanCounter",
    "SpanLimits",
    "SpanSink",
]
