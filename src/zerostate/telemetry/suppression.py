"""Sections of a program in which no spans are started."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, TracerProvider

from zerostate.telemetry.provider import SwitchProvider

# Not a key of OpenTelemetry's own context: a span opened on an empty context, or on one
# that came from another peer, must be suppressed too.
_SUPPRESSED: Final = ContextVar("zerostate.tracing_suppressed", default=False)


@contextmanager
def suppress_tracing() -> Iterator[None]:
    """Start no spans inside the block, for a section in which they cost too much.

    What is opened inside does not record, and stands for the span around the block:
    what is sent from inside still carries that span's context, and attributes set
    inside do not end up on it. Goes with the task: into tasks and coroutines started
    inside (trio, asyncio) and into ``to_thread.run_sync`` and ``asyncio.to_thread``;
    into a bare thread only with ``contextvars.copy_context().run``.
    """
    token = _SUPPRESSED.set(True)
    try:
        yield
    finally:
        # Left in another context than entered (a generator finalised elsewhere), there
        # is nothing to restore here.
        with suppress(ValueError):
            _SUPPRESSED.reset(token)


def is_suppressed() -> bool:
    """Return whether the caller is inside `suppress_tracing`."""
    return _SUPPRESSED.get()


def suppressed_span(context: Context | None = None) -> Span:
    """Return what to use in place of a new span while suppressed.

    Returns:
        A span that records nothing and has the ids of the one in `context` (None: the
        current one), so that propagation goes on.
    """
    return NonRecordingSpan(trace.get_current_span(context).get_span_context())


def is_tracing_enabled(provider: TracerProvider | None = None) -> bool:
    """Return whether a span started here and now has somewhere to go.

    For skipping work that only a span needs. A trace that the sampler left out is not
    looked at: ask ``span.is_recording()`` of the span for that.

    Args:
        provider: Whose spans; None: the process's provider, so False before
            `init_tracer`, after its shutdown, and with ``enabled=False``.
    """
    if is_suppressed():
        return False
    asked = trace.get_tracer_provider() if provider is None else provider
    if isinstance(asked, SwitchProvider):
        asked = asked.current
    return not isinstance(asked, trace.NoOpTracerProvider | trace.ProxyTracerProvider)
