"""`init_tracer`: start tracing this process, and the handle that ends it."""

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, final

from opentelemetry.trace import NoOpTracerProvider, Tracer, TracerProvider

from zerostate.telemetry import provider as process_provider
from zerostate.telemetry.config import TelemetryConfig
from zerostate.telemetry.effective import EffectiveConfig, resolve
from zerostate.telemetry.export import (
    Compression,
    DestinationConfig,
    ExportPipeline,
    GrpcTarget,
    HttpTarget,
    LedgerSnapshot,
    SpanLedger,
    SpoolConfig,
    TlsConfig,
)
from zerostate.telemetry.export.destination import DEFAULT_MAX_REQUEST_BYTES
from zerostate.telemetry.propagation import install_propagator
from zerostate.telemetry.recorder import RecordedSpan, RecorderProvider
from zerostate.telemetry.recorder.encode import SpanEncoder
from zerostate.telemetry.resource import resource_attributes
from zerostate.telemetry.sanitising import build_sanitiser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.metrics import MeterProvider

    from zerostate.telemetry.export.metrics import MetricPoint

MAX_WAIT_S: Final = 86_400.0
"""Longest wait that can be asked for, in seconds: a day stands for ever."""

DEFAULT_TIMEOUT_S: Final = 30.0
"""Longest that `TelemetryHandle.force_flush` and `shutdown` wait unless told."""


@final
class TelemetryHandle:
    """Tracing of this process, from `init_tracer` to `shutdown`.

    Usable as a context manager, which shuts down when the block is left. After
    `init_tracer` nothing here raises, blocks for longer than it is told, or drops a
    span without counting it in `stats`.
    """

    def __init__(self, config: EffectiveConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._is_shut_down = False
        self._ended = threading.Event()
        self._handed_over = True
        self._ledger = SpanLedger()
        self._recorder = _recorder(config, self._ledger) if config.enabled else None
        self.provider: Final[TracerProvider] = self._recorder or NoOpTracerProvider()
        """Give this to layers and instrumentations."""

    @property
    def is_enabled(self) -> bool:
        """Whether spans are recorded."""
        return self._recorder is not None and not self._is_shut_down

    def get_tracer(self, name: str, version: str | None = None) -> Tracer:
        """Return a tracer of this handle's provider for the scope `name`."""
        return self.provider.get_tracer(name, version)

    def trace_url(self, trace_id: int | str) -> str | None:
        """Return the page of a trace; None if ``jaeger_ui`` was not configured.

        Args:
            trace_id: As in a span context (int), or 32 hex digits.
        """
        if self._config.jaeger_ui is None:
            return None
        text = trace_id if isinstance(trace_id, str) else f"{trace_id:032x}"
        return f"{self._config.jaeger_ui}/trace/{text}"

    def stats(self) -> LedgerSnapshot:
        """Return what became of every span so far, to the span."""
        return self._ledger.snapshot()

    def metrics(self) -> "Iterator[MetricPoint]":
        """Yield `stats` as OpenTelemetry's ``otel.sdk.*`` metrics, now."""
        return self._ledger.metrics()

    def observe(self, provider: "MeterProvider") -> None:
        """Report `stats` as metrics of `provider`, from now on.

        Args:
            provider: An OpenTelemetry meter provider; ours records traces only.
        """
        self._ledger.observe(provider)

    def force_flush(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Export what has ended so far.

        Returns:
            True if all was handed over within `timeout_s` seconds.
        """
        recorder = self._recorder
        if recorder is None:
            return True
        if self._is_shut_down:
            return self._wait_for_end(timeout_s)
        return recorder.force_flush(max(1, int(_bounded_s(timeout_s) * 1000)))

    def shutdown(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Export what is left and stop. Safe to call twice, and from any thread.

        A second call waits for the first and returns the same.

        Returns:
            True if all was handed over within `timeout_s` seconds. What was not is
            in the spool, where there is one, or counted as dropped.
        """
        with self._lock:
            is_first = not self._is_shut_down
            self._is_shut_down = True
        if not is_first:
            return self._wait_for_end(timeout_s)
        try:
            process_provider.uninstall(self.provider)
            if self._recorder is not None:
                self._handed_over = self._recorder.shutdown(_bounded_s(timeout_s))
        finally:
            self._ended.set()
        return self._handed_over

    def _wait_for_end(self, timeout_s: float) -> bool:
        return self._ended.wait(_bounded_s(timeout_s)) and self._handed_over

    def __enter__(self) -> Self:
        """Return the handle itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut down."""
        self.shutdown()


def init_tracer(config: TelemetryConfig) -> TelemetryHandle:
    """Start tracing this process.

    Installs the tracer provider and, also when disabled, the W3C propagator, so that a
    process that does not trace still forwards context. Where somebody else's provider
    is installed already, it is left alone and a warning says so; spans made through
    the returned handle are exported all the same. May be called again after
    `TelemetryHandle.shutdown`.

    Raises:
        ConfigError: `config` or an ``OTEL_*`` variable cannot be used; nothing was
            installed.
    """
    effective = resolve(config)
    handle = TelemetryHandle(effective)
    install_propagator()
    if effective.enabled and not process_provider.install(handle.provider):
        effective.logger.warning(
            "telemetry: another tracer provider is installed already and was left;"
            " use the handle's get_tracer or provider"
        )
    return handle


def _recorder(config: EffectiveConfig, ledger: SpanLedger) -> RecorderProvider:
    resource = resource_attributes(config)
    encoder = SpanEncoder(
        resource, sanitise=build_sanitiser(config.sanitising), logger=config.logger
    )
    destinations = config.destinations
    if destinations is None:
        destinations = (_endpoint(config),)
    pipeline: ExportPipeline[RecordedSpan] = ExportPipeline(
        encoder.encode,
        (*destinations, *config.more_destinations),
        config.batch,
        ledger,
        config.logger,
    )
    return RecorderProvider(
        resource=resource,
        sampler=config.sampler,
        sink=pipeline,
        ledger=ledger,
        limits=config.limits,
        logger=config.logger,
    )


def _endpoint(config: EffectiveConfig) -> DestinationConfig:
    tls = TlsConfig(
        ca_file=_text(config.ca_file),
        client_certificate_file=_text(config.client_certificate_file),
        client_key_file=_text(config.client_key_file),
    )
    make = GrpcTarget if config.protocol == "grpc" else HttpTarget
    target = make(
        url=config.traces_url,
        headers=config.headers,
        compression=Compression(config.compression),
        tls=tls,
    )
    spool = config.spool_dir
    return DestinationConfig(
        target=target,
        timeout_s=config.timeout_s,
        max_pending_bytes=config.batch.max_queue_bytes,
        max_request_bytes=min(DEFAULT_MAX_REQUEST_BYTES, config.batch.max_queue_bytes),
        spool=SpoolConfig(directory=str(spool)) if spool is not None else None,
    )


def _bounded_s(timeout_s: object) -> float:
    """Return a wait that every clock takes: nothing here may raise."""
    if not isinstance(timeout_s, int | float) or timeout_s != timeout_s:  # noqa: PLR0124  # only NaN differs from itself
        return DEFAULT_TIMEOUT_S
    return min(max(0.0, float(timeout_s)), MAX_WAIT_S)


def _text(path: object) -> str | None:
    return None if path is None else str(path)
