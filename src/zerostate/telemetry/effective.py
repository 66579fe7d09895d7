"""Which settings hold: arguments, environment and defaults, checked, with their origin."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, final
from urllib.parse import unquote

from zerostate.errors import ConfigError
from zerostate.telemetry.config import BatchConfig, TelemetryConfig
from zerostate.telemetry.recorder.limits import SpanLimits
from zerostate.telemetry.sampling import (
    AlwaysOff,
    Sampler,
    parent_based,
    sampler_from_environment,
)
from zerostate.telemetry.sampling.settings import (
    ARGUMENT_VARIABLE,
    DEFAULT_SAMPLER,
    SAMPLER_VARIABLE,
)
from zerostate.telemetry.setting_values import (
    is_http_url,
    is_number,
    one_of,
    parse_count,
    parse_disabled,
    parse_header_list,
    parse_ms,
    without_password,
)

if TYPE_CHECKING:
    from zerostate.telemetry.export import DestinationConfig
    from zerostate.telemetry.sanitising import SanitiseConfig

TRACES_PATH: Final = "/v1/traces"
"""Appended to a base URL (OTLP specification, "OTLP/HTTP Request")."""

DEFAULT_HTTP_ENDPOINT: Final = "http://localhost:4318"
"""OpenTelemetry protocol exporter specification, "Endpoint URLs for OTLP/HTTP"."""

DEFAULT_GRPC_ENDPOINT: Final = "http://localhost:4317"
"""The same, for OTLP/gRPC."""

MAX_TIMEOUT_S: Final = 600.0
"""Longest export that may be asked for, in seconds."""

MAX_DELAY_S: Final = 86_400.0
"""Longest wait before a partial batch is sent, in seconds."""

MIN_QUEUE_BYTES: Final = 64 << 10
"""Least that `BatchConfig.max_queue_bytes` may be: some 300 spans."""

_PROTOCOLS: Final = ("http/protobuf", "grpc")
_COMPRESSIONS: Final = ("none", "gzip", "zstd")
_HTTP_SCHEMES: Final = ("http", "https")
_MS_PER_S: Final = 1000.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting, for people."""

    name: str
    """Field of `TelemetryConfig`."""

    value: str
    """Printable; secrets are masked."""

    source: str
    """``argument``, the variable's name, or ``default``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveConfig:
    """A `TelemetryConfig` with environment and defaults applied, and checked."""

    service_name: str
    service_version: str | None
    traces_url: str
    protocol: str
    headers: Mapping[str, str]
    compression: str
    timeout_s: float
    ca_file: Path | None
    client_certificate_file: Path | None
    client_key_file: Path | None
    spool_dir: Path | None
    jaeger_ui: str | None
    enabled: bool
    sampler: Sampler
    batch: BatchConfig
    limits: SpanLimits
    sanitising: "SanitiseConfig | None"
    destinations: "tuple[DestinationConfig, ...] | None"
    more_destinations: "tuple[DestinationConfig, ...]"
    resource_attributes: Mapping[str, str]
    logger: logging.Logger
    origins: tuple[Origin, ...]


@final
class _Settings:
    """Picks each setting from where it was given, and remembers from where."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []
        self.origins: list[Origin] = []

    def pick(
        self,
        name: str,
        argument: _T | None,
        variables: tuple[str, ...],
        parse: Callable[[str], _T],
        default: _T,
        *,
        is_secret: bool = False,
    ) -> _T:
        """Return the setting; a variable that does not parse is a problem."""
        value, source = default, "default"
        if argument is not None:
            value, source = argument, "argument"
        else:
            for variable in variables:
                text = self.environ.get(variable, "").strip()
                if not text:
                    continue
                try:
                    value, source = parse(text), variable
                except (ValueError, ConfigError) as exc:
                    self.problems.append(f"{variable}: {exc}")
                break
        shown = "***" if is_secret and value else without_password(str(value))
        self.origins.append(Origin(name, shown, source))
        return value


def resolve(
    config: TelemetryConfig, environ: Mapping[str, str] = os.environ
) -> EffectiveConfig:
    """Apply `environ` and the defaults to `config`.

    Raises:
        ConfigError: With every problem at once, each saying what to write instead.
    """
    settings = _Settings(environ)
    problems = settings.problems
    service_name = _service_name(config, settings)
    enabled = settings.pick(
        "enabled", config.enabled, ("OTEL_SDK_DISABLED",), parse_disabled, default=True
    )
    protocol = settings.pick(
        "protocol",
        config.protocol,
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        one_of(_PROTOCOLS),
        "http/protobuf",
    )
    effective = EffectiveConfig(
        service_name=service_name,
        service_version=config.service_version,
        traces_url=_traces_url(config, settings, protocol),
        protocol=protocol,
        headers=settings.pick(
            "headers",
            config.headers,
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
            parse_header_list,
            {},
            is_secret=True,
        ),
        compression=settings.pick(
            "compression",
            config.compression,
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"),
            one_of(_COMPRESSIONS),
            "none",
        ),
        timeout_s=_timeout(config, settings),
        ca_file=_file(settings, "ca_file", config.ca_file, "CERTIFICATE"),
        client_certificate_file=_file(
            settings,
            "client_certificate_file",
            config.client_certificate_file,
            "CLIENT_CERTIFICATE",
        ),
        client_key_file=_file(
            settings, "client_key_file", config.client_key_file, "CLIENT_KEY"
        ),
        spool_dir=settings.pick("spool_dir", config.spool_dir, (), Path, None),
        jaeger_ui=_jaeger_ui(config, settings),
        enabled=enabled,
        sampler=_sampler(config, settings),
        batch=_batch(config.batch, settings),
        limits=_limits(config.limits, settings),
        sanitising=config.sanitising,
        destinations=config.destinations,
        more_destinations=config.more_destinations,
        resource_attributes=dict(config.resource_attributes),
        logger=config.logger or logging.getLogger("zerostate.telemetry"),
        origins=tuple(settings.origins),
    )
    _check(effective, problems)
    if problems:
        raise ConfigError(*problems)
    return effective


def _service_name(config: TelemetryConfig, settings: _Settings) -> str:
    pairs = settings.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    found = (pair.partition("=") for pair in pairs)
    in_resource = next((v for k, _, v in found if k.strip() == "service.name"), "")
    name = settings.pick(
        "service_name",
        config.service_name or None,
        ("OTEL_SERVICE_NAME",),
        str,
        unquote(in_resource).strip(),
    )
    if not name:
        settings.problems.append(
            "service_name: missing; pass it or set OTEL_SERVICE_NAME"
        )
    return name


def _traces_url(config: TelemetryConfig, settings: _Settings, protocol: str) -> str:
    is_grpc = protocol == "grpc"
    own = settings.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if config.otlp_endpoint is None and own:
        name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
        settings.origins.append(Origin("otlp_endpoint", without_password(own), name))
        if not is_http_url(own):
            settings.problems.append(f"{name}: {own!r} is no http or https URL")
        return own
    endpoint = settings.pick(
        "otlp_endpoint",
        config.otlp_endpoint,
        ("OTEL_EXPORTER_OTLP_ENDPOINT",),
        str,
        DEFAULT_GRPC_ENDPOINT if is_grpc else DEFAULT_HTTP_ENDPOINT,
    )
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    if not is_http_url(url):
        settings.problems.append(
            f"otlp_endpoint: {endpoint!r} is neither host:port nor an http(s) URL"
        )
    base = url.rstrip("/")
    return base if is_grpc or base.endswith(TRACES_PATH) else base + TRACES_PATH


def _timeout(config: TelemetryConfig, settings: _Settings) -> float:
    given = settings.environ.get("OTEL_BSP_EXPORT_TIMEOUT", "").strip()
    longest_s = MAX_TIMEOUT_S
    if given and config.timeout_s is None:
        longest_s = settings.pick(
            "batch.export_timeout_s",
            None,
            ("OTEL_BSP_EXPORT_TIMEOUT",),
            parse_ms,
            MAX_TIMEOUT_S,
        )
    timeout_s = settings.pick(
        "timeout_s",
        config.timeout_s,
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"),
        parse_ms,
        10.0,
    )
    if not is_number(timeout_s) or not 0 < timeout_s <= MAX_TIMEOUT_S:
        settings.problems.append(
            f"timeout_s: {timeout_s!r} is not above 0, up to {MAX_TIMEOUT_S:g} s"
        )
        return MAX_TIMEOUT_S
    return min(timeout_s, longest_s)


def _jaeger_ui(config: TelemetryConfig, settings: _Settings) -> str | None:
    url = settings.pick("jaeger_ui", config.jaeger_ui, (), str, None)
    if url is not None and not is_http_url(url):
        settings.problems.append(f"jaeger_ui: {url!r} is not an http or https URL")
    return url.rstrip("/") if url else None


def _file(
    settings: _Settings, name: str, argument: Path | None, suffix: str
) -> Path | None:
    variables = (
        f"OTEL_EXPORTER_OTLP_TRACES_{suffix}",
        f"OTEL_EXPORTER_OTLP_{suffix}",
    )
    return settings.pick(name, argument, variables, Path, None)


def _batch(argument: BatchConfig | None, settings: _Settings) -> BatchConfig:
    given, default = argument, BatchConfig()
    return BatchConfig(
        max_queue_spans=settings.pick(
            "batch.max_queue_spans",
            None if given is None else given.max_queue_spans,
            ("OTEL_BSP_MAX_QUEUE_SIZE",),
            parse_count,
            default.max_queue_spans,
        ),
        max_batch_spans=settings.pick(
            "batch.max_batch_spans",
            None if given is None else given.max_batch_spans,
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE",),
            parse_count,
            default.max_batch_spans,
        ),
        delay_s=settings.pick(
            "batch.delay_s",
            None if given is None else given.delay_s,
            ("OTEL_BSP_SCHEDULE_DELAY",),
            parse_ms,
            default.delay_s,
        ),
        max_queue_bytes=(given or default).max_queue_bytes,
    )


def _sampler(config: TelemetryConfig, settings: _Settings) -> Sampler:
    rate = config.sampling_rate
    if config.sampler is not None:
        if rate is not None:
            settings.problems.append("sampler: give either sampler or sampling_rate")
        settings.origins.append(Origin("sampler", repr(config.sampler), "argument"))
        return _own_sampler(config.sampler, settings)
    if rate is not None:
        settings.origins.append(Origin("sampling_rate", str(rate), "argument"))
        if is_number(rate) and 0.0 <= rate <= 1.0:
            return parent_based(rate)
        settings.problems.append(f"sampling_rate: {rate!r} is not between 0 and 1")
        return AlwaysOff()
    name = settings.environ.get(SAMPLER_VARIABLE, "").strip()
    argument = settings.environ.get(ARGUMENT_VARIABLE, "").strip()
    shown = f"{name or DEFAULT_SAMPLER} {argument}".rstrip()
    source = SAMPLER_VARIABLE if name else "default"
    settings.origins.append(Origin("sampler", shown, source))
    try:
        return sampler_from_environment(settings.environ)
    except ConfigError as exc:
        settings.problems += exc.problems
        return AlwaysOff()


def _own_sampler(given: object, settings: _Settings) -> Sampler:
    """Return `given` as a sampler of ours; the SDK's are taken too."""
    if callable(getattr(given, "decide", None)):
        return cast("Sampler", given)
    if callable(getattr(given, "should_sample", None)):
        from zerostate.telemetry.sampling.adapters import (  # noqa: PLC0415  # loads the SDK
            FromSdk,
        )

        return FromSdk(cast("Any", given))
    settings.problems.append(
        f"sampler: {given!r} is neither a Sampler of ours nor the SDK's"
    )
    return AlwaysOff()


def _limits(argument: SpanLimits | None, settings: _Settings) -> SpanLimits:
    if argument is not None:
        return argument
    try:
        return SpanLimits.from_environ(settings.environ)
    except ConfigError as exc:
        settings.problems += exc.problems
        return SpanLimits()


def _check(effective: EffectiveConfig, problems: list[str]) -> None:
    batch = effective.batch
    if batch.max_queue_spans < 1:
        problems.append(f"batch.max_queue_spans: {batch.max_queue_spans} is below 1")
    if not 1 <= batch.max_batch_spans <= batch.max_queue_spans:
        problems.append(
            f"batch.max_batch_spans: {batch.max_batch_spans} is not between 1 and"
            f" max_queue_spans ({batch.max_queue_spans})"
        )
    if not 0 < batch.delay_s <= MAX_DELAY_S:
        problems.append(
            f"batch.delay_s: {batch.delay_s} is not above 0, up to {MAX_DELAY_S:g}"
        )
    if batch.max_queue_bytes < MIN_QUEUE_BYTES:
        problems.append(
            f"batch.max_queue_bytes: {batch.max_queue_bytes} is below {MIN_QUEUE_BYTES}"
        )
    if effective.protocol not in _PROTOCOLS:
        problems.append(f"protocol: {effective.protocol!r} is none of {_PROTOCOLS}")
    if effective.compression not in _COMPRESSIONS:
        problems.append(
            f"compression: {effective.compression!r} is none of {_COMPRESSIONS}"
        )
