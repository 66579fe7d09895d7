"""`init_tracer`: start tracing this process, and the handle that ends it."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio, Sampler
from opentelemetry.trace import NoOpTracerProvider, Tracer, TracerProvider

from zerostate.errors import ConfigError
from zerostate.telemetry import provider as process_provider
from zerostate.telemetry.config import EffectiveConfig, TelemetryConfig, resolve
from zerostate.telemetry.propagation import install_propagator

EXPORT_TIMEOUT_S: Final = 10.0
"""Longest one export may take, in seconds (OTEL_EXPORTER_OTLP_TIMEOUT's default)."""


@final
class TelemetryHandle:
    """Tracing of this process, from `init_tracer` to `shutdown`.

    Usable as a context manager, which shuts down when the block is left. After
    `init_tracer` nothing here raises or blocks for longer than it is told.
    """

    def __init__(self, config: EffectiveConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._is_shut_down = False
        self._sdk: SdkTracerProvider | None = None
        if config.enabled:
            self._sdk = _build_provider(config)
        self.provider: Final[TracerProvider] = self._sdk or NoOpTracerProvider()
        """Give this to layers and instrumentations."""

    @property
    def is_enabled(self) -> bool:
        """Whether spans are recorded."""
        return self._sdk is not None and not self._is_shut_down

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

    def force_flush(self, timeout_s: float = 30.0) -> bool:
        """Export what has ended so far.

        Returns:
            True if all was handed over within `timeout_s` seconds.
        """
        sdk = self._sdk
        if sdk is None or self._is_shut_down:
            return True
        timeout_ms = max(1, int(timeout_s * 1000))
        return self._bounded(lambda: sdk.force_flush(timeout_ms), timeout_s)

    def shutdown(self, timeout_s: float = 30.0) -> bool:
        """Export what is left and stop. Safe to call twice, and from any thread.

        Returns:
            True if all was handed over within `timeout_s` seconds. After False,
            a daemon thread may still be trying; spans that ended are not waited for.
        """
        with self._lock:
            if self._is_shut_down:
                return True
            self._is_shut_down = True
        process_provider.uninstall(self.provider)
        sdk = self._sdk
        if sdk is None:
            return True

        def stop() -> bool:
            sdk.shutdown()
            return True

        return self._bounded(stop, timeout_s)

    def _bounded(self, work: Callable[[], bool], timeout_s: float) -> bool:
        # The SDK's batch processor ignores the timeouts it is given
        # (opentelemetry-python #4568), so that the wait is bounded here.
        outcome: list[bool] = []
        thread = threading.Thread(
            target=lambda: outcome.append(self._guarded(work)),
            name="zerostate-telemetry-flush",
            daemon=True,
        )
        thread.start()
        thread.join(timeout_s)
        if not outcome:
            self._config.logger.warning(
                "telemetry: spans not handed over within %.1f s", timeout_s
            )
        return bool(outcome) and outcome[0]

    def _guarded(self, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except Exception:  # top of a thread: telemetry must not break its program
            self._config.logger.exception("telemetry: export failed")
            return False

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
    try:
        handle = TelemetryHandle(effective)
    except ValueError as exc:
        raise ConfigError(f"OTEL_*: {exc}") from exc
    install_propagator()
    if effective.enabled and not process_provider.install(handle.provider):
        effective.logger.warning(
            "telemetry: another tracer provider is installed already and was left;"
            " use the handle's get_tracer or provider"
        )
    return handle


def _build_provider(config: EffectiveConfig) -> SdkTracerProvider:
    attributes: dict[str, str] = dict(config.resource_attributes)
    attributes["service.name"] = config.service_name
    if config.service_version is not None:
        attributes["service.version"] = config.service_version
    provider = SdkTracerProvider(
        resource=Resource.create(attributes),
        sampler=_sampler(config.sampling_rate),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(_processor(config))
    return provider


def _sampler(sampling_rate: float | None) -> Sampler | None:
    # None leaves the choice to OTEL_TRACES_SAMPLER, whose default is parent-based
    # always-on.
    return None if sampling_rate is None else ParentBasedTraceIdRatio(sampling_rate)


def _processor(config: EffectiveConfig) -> BatchSpanProcessor:
    exporter = OTLPSpanExporter(endpoint=config.traces_url, timeout=EXPORT_TIMEOUT_S)
    batch = config.batch
    if batch is None:
        return BatchSpanProcessor(exporter)
    return BatchSpanProcessor(
        exporter,
        max_queue_size=batch.max_queue_spans,
        schedule_delay_millis=batch.delay_s * 1000,
        max_export_batch_size=batch.max_batch_spans,
    )
