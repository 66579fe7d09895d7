"""The tracer provider: what `init_tracer` installs, and where tracers come from."""

import logging
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, final, runtime_checkable

from opentelemetry.trace import TracerProvider
from opentelemetry.util.types import AnyValue, Attributes
from typing_extensions import override

from zerostate.telemetry.locks import ForkSafeLock
from zerostate.telemetry.recorder.attributes import clean_mapping
from zerostate.telemetry.recorder.core import RecorderCore, SpanCounter
from zerostate.telemetry.recorder.ids import RandomIds
from zerostate.telemetry.recorder.limits import SpanLimits
from zerostate.telemetry.recorder.processors import Processors
from zerostate.telemetry.recorder.scope import Scope
from zerostate.telemetry.recorder.span import RecordedSpan, as_text
from zerostate.telemetry.recorder.tracer import RecorderTracer
from zerostate.telemetry.recorder.verdict import Verdicts

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor

    from zerostate.telemetry.sampling import Sampler

MAX_TRACERS: Final = 1024
"""Tracers that are kept to be handed out again; more scopes than that work, but each
`get_tracer` makes a new one."""

MAX_SCOPE_ATTRIBUTES: Final = 128
"""Attributes of a scope (the specification's number for any collection)."""

DEFAULT_TIMEOUT_S: Final = 30.0
"""Longest wait of `shutdown`, as the SDK's ``force_flush`` has it."""

_Key = tuple[str, str, str, tuple[tuple[str, str], ...]]


class SpanSink(Protocol):
    """Where recorded spans go when they end."""

    def put(self, span: RecordedSpan) -> None:
        """Take `span`. Never raises, never blocks; called on the ending thread."""


@runtime_checkable
class Drainable(SpanSink, Protocol):
    """A sink that holds spans back, and can be told to hand them over."""

    def force_flush(self, timeout_s: float) -> bool:
        """Hand over what has ended; True if that was done within `timeout_s`."""

    def shutdown(self, timeout_s: float) -> bool:
        """Hand over what has ended, and stop."""


@final
class RecorderProvider(TracerProvider):
    """Makes tracers whose spans go to `sink` when they end.

    Stands where the SDK's ``TracerProvider`` can: it has `resource`, `id_generator`,
    `add_span_processor`, `force_flush` and `shutdown`.

    Args:
        resource: What is traced; cleaned like any attributes.
        sampler: Which spans are recorded.
        sink: Where they go; None: only to span processors.
        ledger: Told of every start and end.
        limits: Bounds of each span.
        logger: Where misuse is told, once for each kind.
    """

    def __init__(
        self,
        *,
        resource: Mapping[str, AnyValue],
        sampler: "Sampler",
        sink: SpanSink | None,
        ledger: SpanCounter,
        limits: SpanLimits,
        logger: logging.Logger | None = None,
    ) -> None:
        attributes, _ = clean_mapping(resource, max(len(resource), 1), None)
        self._sink: Final = sink
        self._core: Final = RecorderCore(
            resource_attributes=attributes,
            put=None if sink is None else sink.put,
            ledger=ledger,
            limits=limits,
            logger=logger or logging.getLogger("zerostate.telemetry"),
        )
        self._processors: Final = Processors(self._core)
        self._verdicts: Final = Verdicts(sampler, self._core.once)
        self._lock: Final = ForkSafeLock()
        self._tracers: dict[_Key, RecorderTracer] = {}
        self.sampler: Final = sampler
        self.id_generator: Final = RandomIds()

    @property
    def resource(self) -> "Resource":
        """What is traced, as the SDK has it. Loads the SDK at the first call."""
        return self._core.resource()

    @property
    def resource_attributes(self) -> Mapping[str, AnyValue]:
        """The same without the SDK; for the encoder."""
        return self._core.resource_attributes

    @property
    def misuse(self) -> Mapping[str, int]:
        """How often each kind of misuse, or of a processor's failure, occurred."""
        return self._core.once.counts

    @override
    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> RecorderTracer:
        name = as_text(instrumenting_module_name or "")
        if not name:
            self._core.once.warn("scope", "telemetry: a tracer without a name")
        version = as_text(instrumenting_library_version or "")
        url = as_text(schema_url or "")
        kept, _ = clean_mapping(attributes, MAX_SCOPE_ATTRIBUTES, None)
        pairs = tuple(sorted((key, repr(value)) for key, value in kept.items()))
        key = (name, version, url, pairs)
        with self._lock:
            tracer = self._tracers.get(key)
            if tracer is None:
                scope = Scope(name, version, url, kept)
                tracer = RecorderTracer(self._core, scope, self._verdicts)
                if len(self._tracers) < MAX_TRACERS:
                    self._tracers[key] = tracer
            return tracer

    def add_span_processor(self, span_processor: "SpanProcessor") -> None:
        """Show spans to `span_processor` too, from those that start now on.

        ``on_start`` gets the live span, ``on_end`` a genuine SDK ``ReadableSpan``, both
        on the traced thread. Building that costs about what the SDK spends on a span.
        Where nobody calls `shutdown`, it is shut down when the program ends, which
        waits for that no longer than five seconds.
        """
        self._processors.add(span_processor)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand over what has ended so far.

        Returns:
            True if the sink and every processor did so within `timeout_millis` of
            milliseconds. After False, a daemon thread may still be at it.
        """
        deadline_s = monotonic() + timeout_millis / 1000
        done = True
        if isinstance(self._sink, Drainable):
            done = self._sink.force_flush(max(0.0, deadline_s - monotonic()))
        return self._processors.force_flush(max(0.0, deadline_s - monotonic())) and done

    def shutdown(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Hand over what is left, and stop the sink and the processors.

        Spans may still be made afterwards; what becomes of them is the sink's to say.

        Returns:
            True if all that was done within `timeout_s`.
        """
        deadline_s = monotonic() + timeout_s
        done = True
        if isinstance(self._sink, Drainable):
            done = self._sink.shutdown(timeout_s)
        return self._processors.shutdown(max(0.0, deadline_s - monotonic())) and done
