"""What the spans of one provider share: limits, sink, ledger, foreign processors."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from opentelemetry.context import Context
from opentelemetry.util.types import AnyValue

from zerostate.telemetry.export.snapshot import DropReason
from zerostate.telemetry.recorder.limits import SpanLimits
from zerostate.telemetry.recorder.warned import OnceLogger

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor


class Snapshotable(Protocol):
    """A span that can be had as the SDK's ``ReadableSpan``."""

    def snapshot(self) -> "ReadableSpan":
        """Return the span as it is now."""


class SpanCounter(Protocol):
    """The part of the ledger that the recorder tells. Exact under threads."""

    @property
    def started(self) -> Callable[[], object]:
        """Counts a span that records."""

    @property
    def ended(self) -> Callable[[], object]:
        """Counts its end; called at most once for each that started."""

    @property
    def sampled_out(self) -> Callable[[], object]:
        """Counts a span that is not recorded."""

    def dropped(self, reason: DropReason, spans: int = 1) -> None:
        """Count spans that ended and go nowhere."""


@final
class RecorderCore:
    """State of one provider that tracers and spans look at on the hot path."""

    __slots__ = (
        "__weakref__",
        "count_ended",
        "count_sampled_out",
        "count_started",
        "dropped",
        "limits",
        "once",
        "processors",
        "put",
        "resource_attributes",
        "sdk_resource",
    )

    def __init__(
        self,
        *,
        resource_attributes: Mapping[str, AnyValue],
        put: Callable[[Any], None] | None,
        ledger: SpanCounter,
        limits: SpanLimits,
        logger: logging.Logger,
    ) -> None:
        self.resource_attributes = resource_attributes
        self.sdk_resource: Resource | None = None
        self.limits: Final = limits
        self.once: Final = OnceLogger(logger)
        self.processors: tuple[SpanProcessor, ...] = ()
        self.put: Final = put
        self.count_started = ledger.started
        self.count_ended = ledger.ended
        self.count_sampled_out = ledger.sampled_out
        self.dropped = ledger.dropped

    def resource(self) -> "Resource":
        """Return the SDK's form of the resource. Loads the SDK at the first call."""
        if self.sdk_resource is None:
            from opentelemetry.sdk.resources import (  # noqa: PLC0415  # heavy; seldom
                Resource,
            )

            self.sdk_resource = Resource(self.resource_attributes)
        return self.sdk_resource

    def on_start(self, span: object, parent_context: Context | None) -> None:
        """Show the live span to foreign processors; what they raise is logged once."""
        for processor in self.processors:
            try:
                processor.on_start(span, parent_context)  # type: ignore[arg-type]  # ours stands in for the SDK's Span
            except Exception as exc:  # noqa: BLE001  # foreign code on our caller's thread; logged
                self._processor_failed(exc, processor, "on_start")

    def on_end(self, span: Snapshotable) -> None:
        """Hand a genuine ``ReadableSpan`` to foreign processors, as `on_start` does."""
        processors = self.processors
        for processor in processors:
            on_ending = getattr(processor, "_on_ending", None)
            if on_ending is None:
                continue
            try:
                on_ending(span)
            except Exception as exc:  # noqa: BLE001  # foreign code on our caller's thread; logged
                self._processor_failed(exc, processor, "_on_ending")
        readable = span.snapshot()
        for processor in processors:
            try:
                processor.on_end(readable)
            except Exception as exc:  # noqa: BLE001  # foreign code on our caller's thread; logged
                self._processor_failed(exc, processor, "on_end")

    def _processor_failed(
        self, error: Exception, processor: object, method: str
    ) -> None:
        name = type(processor).__qualname__
        self.once.failed(
            error, f"{name}.{method}", "telemetry: %s.%s raised", name, method
        )
