"""The telemetry library: what a Python service needs to be traced.

Receives spans from the program that uses it, hands them to OTLP endpoints. Loads
neither the network, nor WebAssembly, nor the tracing stack, nor the OpenTelemetry SDK.

Exporters and vendors' presets are in `zerostate.telemetry.export`, samplers in
`zerostate.telemetry.sampling`, logs in `zerostate.telemetry.logs`.
"""

from zerostate.telemetry.bound_ids import bind_ids as bind_ids
from zerostate.telemetry.config import BatchConfig as BatchConfig
from zerostate.telemetry.config import TelemetryConfig as TelemetryConfig
from zerostate.telemetry.decorator import traced as traced
from zerostate.telemetry.helper import TraceHelper as TraceHelper
from zerostate.telemetry.helper import with_channel_id as with_channel_id
from zerostate.telemetry.helper import with_guild_id as with_guild_id
from zerostate.telemetry.helper import with_message_type as with_message_type
from zerostate.telemetry.helper import with_peer_id as with_peer_id
from zerostate.telemetry.helper import with_task_id as with_task_id
from zerostate.telemetry.marks import record_channel_id as record_channel_id
from zerostate.telemetry.marks import record_count as record_count
from zerostate.telemetry.marks import record_guild_id as record_guild_id
from zerostate.telemetry.marks import record_message_type as record_message_type
from zerostate.telemetry.marks import record_peer_id as record_peer_id
from zerostate.telemetry.marks import record_size as record_size
from zerostate.telemetry.marks import record_success as record_success
from zerostate.telemetry.marks import record_task_id as record_task_id
from zerostate.telemetry.outcome import record_error as record_error
from zerostate.telemetry.propagation import TraceCarrier as TraceCarrier
from zerostate.telemetry.provider import TracerProvider as TracerProvider
from zerostate.telemetry.remote import extract_trace_context as extract_trace_context
from zerostate.telemetry.remote import inject_trace_context as inject_trace_context
from zerostate.telemetry.remote import with_remote_span as with_remote_span
from zerostate.telemetry.spans import LayerTracer as LayerTracer
from zerostate.telemetry.suppression import is_tracing_enabled as is_tracing_enabled
from zerostate.telemetry.suppression import suppress_tracing as suppress_tracing
from zerostate.telemetry.tracer import TelemetryHandle as TelemetryHandle
from zerostate.telemetry.tracer import init_tracer as init_tracer

__all__ = [
    "BatchConfig",
    "LayerTracer",
    "TelemetryConfig",
    "TelemetryHandle",
    "TraceCarrier",
    "TraceHelper",
    "TracerProvider",
    "bind_ids",
    "extract_trace_context",
    "init_tracer",
    "inject_trace_context",
    "is_tracing_enabled",
    "record_channel_id",
    "record_count",
    "record_error",
    "record_guild_id",
    "record_message_type",
    "record_peer_id",
    "record_size",
    "record_success",
    "record_task_id",
    "suppress_tracing",
    "traced",
    "with_channel_id",
    "with_guild_id",
    "with_message_type",
    "with_peer_id",
    "with_remote_span",
    "with_task_id",
]
