"""What a user of the telemetry library may set.

Precedence: an argument, then the ``OTEL_*`` variable, then the default. A field left at
None was not given. `zerostate.telemetry.effective` applies the precedence and checks.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from zerostate.telemetry.export import DestinationConfig
    from zerostate.telemetry.recorder.limits import SpanLimits
    from zerostate.telemetry.sampling import Sampler
    from zerostate.telemetry.sanitising import SanitiseConfig

Protocol = Literal["http/protobuf", "grpc"]
"""Transports of OTLP (OTEL_EXPORTER_OTLP_PROTOCOL)."""

Compression = Literal["none", "gzip", "zstd"]
"""Compressions of what is exported (OTEL_EXPORTER_OTLP_COMPRESSION)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """How finished spans are gathered before they are exported."""

    max_queue_spans: int = 2048
    """Spans held while waiting. When full, new spans are dropped and counted
    (OTEL_BSP_MAX_QUEUE_SIZE)."""

    max_batch_spans: int = 512
    """Spans per export, at most `max_queue_spans` (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)."""

    delay_s: float = 5.0
    """Longest wait before a partial batch is sent, in seconds
    (OTEL_BSP_SCHEDULE_DELAY, there in milliseconds)."""

    max_queue_bytes: int = 8 << 20
    """Encoded bytes that wait for the endpoint, at least 64 KiB. When full, batches go
    to the spool, or are dropped and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """How a process traces itself."""

    service_name: str | None = None
    """Becomes ``service.name`` (OTEL_SERVICE_NAME); required in one of the two."""

    service_version: str | None = None
    """Becomes ``service.version``."""

    otlp_endpoint: str | None = None
    """``host:port`` or a base URL; for HTTP ``/v1/traces`` is appended
    (OTEL_EXPORTER_OTLP_ENDPOINT). OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is taken as is."""

    jaeger_ui: str | None = None
    """Base URL of the page that shows traces; makes ``handle.trace_url`` work."""

    enabled: bool | None = None
    """False: nothing is recorded, context is still forwarded (OTEL_SDK_DISABLED)."""

    sampling_rate: float | None = None
    """Share of traces to record, from 0 (none) to 1 (all, the default), where this
    process starts them; a parent's decision is followed (OTEL_TRACES_SAMPLER,
    OTEL_TRACES_SAMPLER_ARG)."""

    sampler: "Sampler | None" = None
    """Which spans to record, in place of `sampling_rate`."""

    protocol: Protocol | None = None
    """``http/protobuf`` (the default) or ``grpc`` (OTEL_EXPORTER_OTLP_PROTOCOL)."""

    headers: Mapping[str, str] | None = None
    """Sent with every export (OTEL_EXPORTER_OTLP_HEADERS)."""

    compression: Compression | None = None
    """``none`` (the default), ``gzip`` or ``zstd`` (OTEL_EXPORTER_OTLP_COMPRESSION)."""

    timeout_s: float | None = None
    """Longest that one export may take, in seconds; 10 by default
    (OTEL_EXPORTER_OTLP_TIMEOUT, or OTEL_BSP_EXPORT_TIMEOUT if that is shorter; there in
    milliseconds, as the specification has it)."""

    ca_file: Path | None = None
    """Certificates that an https endpoint's must be signed by
    (OTEL_EXPORTER_OTLP_CERTIFICATE)."""

    client_certificate_file: Path | None = None
    """Our own certificate (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)."""

    client_key_file: Path | None = None
    """Its key (OTEL_EXPORTER_OTLP_CLIENT_KEY)."""

    spool_dir: Path | None = None
    """Where batches wait on disk that would be dropped otherwise; they are delivered
    after a restart too. None: no spool."""

    destinations: "tuple[DestinationConfig, ...] | None" = None
    """Where spans go in place of the endpoint: a vendor, a file. None: to the endpoint
    that the settings above describe."""

    more_destinations: "tuple[DestinationConfig, ...]" = ()
    """Where spans go besides the endpoint: another endpoint, a vendor, a file."""

    batch: BatchConfig | None = None
    """How spans are gathered; None takes OTEL_BSP_* and their defaults."""

    limits: "SpanLimits | None" = None
    """How much one span may hold; None takes OTEL_*_LIMIT and their defaults."""

    sanitising: "SanitiseConfig | None" = None
    """What is masked before export; None masks known shapes of secrets."""

    resource_attributes: Mapping[str, str] = field(default_factory=dict)
    """More about this process, beside OTEL_RESOURCE_ATTRIBUTES."""

    logger: logging.Logger | None = None
    """Where telemetry speaks of itself; None takes ``zerostate.telemetry``."""
