"""The telemetry library: what a Python service needs to be traced.

Receives spans from the program that uses it, hands them to an OTLP endpoint. Loads
neither the network, nor WebAssembly, nor the tracing stack.
"""

from zerostate.telemetry.config import BatchConfig as BatchConfig
from zerostate.telemetry.config import TelemetryConfig as TelemetryConfig
from zerostate.telemetry.propagation import TraceCarrier as TraceCarrier
from zerostate.telemetry.provider import TracerProvider as TracerProvider
from zerostate.telemetry.spans import LayerTracer as LayerTracer
from zerostate.telemetry.spans import record_error as record_error
from zerostate.telemetry.tracer import TelemetryHandle as TelemetryHandle
from zerostate.telemetry.tracer import init_tracer as init_tracer

__all__ = [
    "BatchConfig",
    "LayerTracer",
    "TelemetryConfig",
    "TelemetryHandle",
    "TraceCarrier",
    "TracerProvider",
    "init_tracer",
    "record_error",
]
