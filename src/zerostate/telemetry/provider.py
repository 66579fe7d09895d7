"""The process's tracer provider, which `init_tracer` may install more than once.

OpenTelemetry lets the global provider be set only once, but a process may shut tracing
down and start it again (tests do, and servers that reload). So the one that is set is
a switch in front of the current one.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.trace import (
    TracerProvider as TracerProvider,  # noqa: PLC0414  # part of our own API
)
from opentelemetry.util.types import Attributes
from typing_extensions import override


@final
class SwitchProvider(TracerProvider):
    """Hands every call to the provider that is current when the call is made."""

    def __init__(self) -> None:
        self._current: TracerProvider = trace.NoOpTracerProvider()
        self.generation = 0

    def switch(self, provider: TracerProvider) -> None:
        """Make `provider` the current one, also for tracers that exist already."""
        self._current = provider
        self.generation += 1

    @property
    def current(self) -> TracerProvider:
        """The provider that spans go to now."""
        return self._current

    @override
    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        name, version = instrumenting_module_name, instrumenting_library_version
        return _SwitchTracer(self, name, version, schema_url, attributes)


def is_off(provider: TracerProvider) -> bool:
    """Return whether `provider` is known to record nothing now."""
    if type(provider) is SwitchProvider:
        provider = provider.current
    return type(provider) is trace.NoOpTracerProvider


@final
class _SwitchTracer(Tracer):
    def __init__(
        self,
        switch: SwitchProvider,
        name: str,
        version: str | None,
        schema_url: str | None,
        attributes: Attributes,
    ) -> None:
        self._switch = switch
        self._scope = (name, version, schema_url, attributes)
        self._generation = -1
        self._tracer: Tracer = trace.NoOpTracer()

    def _current(self) -> Tracer:
        generation = self._switch.generation
        if self._generation != generation:
            self._tracer = self._switch.current.get_tracer(*self._scope)
            self._generation = generation
        return self._tracer

    @override
    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        return self._current().start_span(
            name,
            context,
            kind,
            attributes,
            links,
            start_time,
            record_exception,
            set_status_on_exception,
        )

    @override
    def start_as_current_span(  # type: ignore[override]  # the API's own decorator type
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> AbstractContextManager[Span] | Iterator[Span]:
        return self._current().start_as_current_span(
            name,
            context,
            kind,
            attributes,
            links,
            start_time,
            record_exception,
            set_status_on_exception,
            end_on_exit,
        )


_SWITCH: Final = SwitchProvider()
_LOCK: Final = threading.Lock()


def install(provider: TracerProvider) -> bool:
    """Make `provider` the process's provider.

    Returns:
        False if somebody else's provider is installed already; it is left alone.
    """
    with _LOCK:
        installed = trace.get_tracer_provider()
        if isinstance(installed, trace.ProxyTracerProvider):
            trace.set_tracer_provider(_SWITCH)
        elif installed is not _SWITCH:
            return False
        _SWITCH.switch(provider)
        return True


def uninstall(provider: TracerProvider) -> None:
    """Stop sending the process's spans to `provider`, if it is the current one."""
    with _LOCK:
        if _SWITCH.current is provider:
            _SWITCH.switch(trace.NoOpTracerProvider())


def foreign_provider() -> str | None:
    """Return the class of somebody else's installed provider; None if there is none."""
    installed = trace.get_tracer_provider()
    if installed is _SWITCH or isinstance(installed, trace.ProxyTracerProvider):
        return None
    return f"{type(installed).__module__}.{type(installed).__qualname__}"
