"""What a user of the telemetry library may set, and where it comes from."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from zerostate.errors import ConfigError

DEFAULT_OTLP_ENDPOINT: Final = "http://localhost:4318"
"""Where OTLP/HTTP goes unless told otherwise (OpenTelemetry protocol exporter spec)."""

TRACES_PATH: Final = "/v1/traces"
"""Appended to a base URL (OTLP specification, "OTLP/HTTP Request")."""

_HTTP_SCHEMES: Final = ("http", "https")
_TRUE: Final = "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """How finished spans are gathered before they are exported."""

    max_queue_spans: int = 2048
    """Spans held while waiting (OTEL_BSP_MAX_QUEUE_SIZE)."""

    max_batch_spans: int = 512
    """Spans per export, at most `max_queue_spans` (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)."""

    delay_s: float = 5.0
    """Longest wait before a partial batch is sent, in seconds
    (OTEL_BSP_SCHEDULE_DELAY, there in milliseconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """How a process traces itself.

    Precedence: an argument, then the ``OTEL_*`` variable, then the default. A field
    left at None was not given as an argument.
    """

    service_name: str | None = None
    """Becomes ``service.name`` (OTEL_SERVICE_NAME); required in one of the two."""

    service_version: str | None = None
    """Becomes ``service.version``."""

    otlp_endpoint: str | None = None
    """``host:port`` or a base URL; ``/v1/traces`` is appended
    (OTEL_EXPORTER_OTLP_ENDPOINT). OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is taken as is."""

    jaeger_ui: str | None = None
    """Base URL of the page that shows traces; makes ``handle.trace_url`` work."""

    enabled: bool | None = None
    """False: nothing is recorded, context is still forwarded (OTEL_SDK_DISABLED)."""

    sampling_rate: float | None = None
    """Share of traces to record, from 0 (none) to 1 (all, the default), where this
    process starts them; a parent's decision is followed (OTEL_TRACES_SAMPLER,
    OTEL_TRACES_SAMPLER_ARG)."""

    batch: BatchConfig | None = None
    """How spans are gathered; None takes OTEL_BSP_* and their defaults."""

    resource_attributes: Mapping[str, str] = field(default_factory=dict)
    """More about this process, beside OTEL_RESOURCE_ATTRIBUTES."""

    logger: logging.Logger | None = None
    """Where telemetry speaks of itself; None takes ``zerostate.telemetry``."""


@dataclass(frozen=True, slots=True)
class EffectiveConfig:
    """A `TelemetryConfig` with environment and defaults applied, and checked."""

    service_name: str
    service_version: str | None
    traces_url: str
    jaeger_ui: str | None
    enabled: bool
    sampling_rate: float | None
    """None: OTEL_TRACES_SAMPLER decides."""
    batch: BatchConfig | None
    resource_attributes: Mapping[str, str]
    logger: logging.Logger


def resolve(
    config: TelemetryConfig, environ: Mapping[str, str] = os.environ
) -> EffectiveConfig:
    """Apply `environ` and the defaults to `config`.

    Raises:
        ConfigError: With every problem at once, each saying what to write instead.
    """
    problems: list[str] = []
    service_name = config.service_name or _service_name(environ)
    if not service_name:
        problems.append("service_name: missing; pass it or set OTEL_SERVICE_NAME")
    rate = config.sampling_rate
    if rate is not None and not 0.0 <= rate <= 1.0:
        problems.append(f"sampling_rate: {rate} is not between 0 and 1")
    problems += _batch_problems(config.batch)
    traces_url = _traces_url(config, environ, problems)
    jaeger_ui = config.jaeger_ui
    if jaeger_ui is not None and urlsplit(jaeger_ui).scheme not in _HTTP_SCHEMES:
        problems.append(f"jaeger_ui: {jaeger_ui!r} is not an http or https URL")
    if problems:
        raise ConfigError(*problems)
    enabled = config.enabled
    if enabled is None:
        enabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() != _TRUE
    return EffectiveConfig(
        service_name=service_name,
        service_version=config.service_version,
        traces_url=traces_url,
        jaeger_ui=jaeger_ui.rstrip("/") if jaeger_ui else None,
        enabled=enabled,
        sampling_rate=rate,
        batch=config.batch,
        resource_attributes=dict(config.resource_attributes),
        logger=config.logger or logging.getLogger("zerostate.telemetry"),
    )


def _service_name(environ: Mapping[str, str]) -> str:
    if name := environ.get("OTEL_SERVICE_NAME", "").strip():
        return name
    pairs = environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    found = (pair.partition("=") for pair in pairs)
    return next((v.strip() for k, _, v in found if k.strip() == "service.name"), "")


def _batch_problems(batch: BatchConfig | None) -> list[str]:
    if batch is None:
        return []
    problems = []
    if batch.max_queue_spans < 1:
        problems.append(f"batch.max_queue_spans: {batch.max_queue_spans} is below 1")
    if not 1 <= batch.max_batch_spans <= batch.max_queue_spans:
        problems.append(
            f"batch.max_batch_spans: {batch.max_batch_spans} is not between 1 and"
            f" max_queue_spans ({batch.max_queue_spans})"
        )
    if not batch.delay_s > 0:
        problems.append(f"batch.delay_s: {batch.delay_s} is not above 0")
    return problems


def _traces_url(
    config: TelemetryConfig, environ: Mapping[str, str], problems: list[str]
) -> str:
    own = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if config.otlp_endpoint is None and own:
        if not _is_http_url(own):
            problems.append(f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {own!r} is no URL")
        return own
    endpoint = (
        config.otlp_endpoint
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        or DEFAULT_OTLP_ENDPOINT
    )
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    if not _is_http_url(url):
        problems.append(
            f"otlp_endpoint: {endpoint!r} is neither host:port nor an http(s) URL"
        )
    base = url.rstrip("/")
    return base if base.endswith(TRACES_PATH) else base + TRACES_PATH


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in _HTTP_SCHEMES and bool(parts.hostname) and port_is_valid
