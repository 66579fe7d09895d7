"""Trace context inside one's own messages: the guide's inject, extract and remote span.

Form of the text and of the bytes: the values of ``traceparent``, ``tracestate`` and
``baggage``, one a line, trailing empty lines left out. Without tracestate and baggage
that is the bare traceparent, which is what the guide's Go library sends and reads.

Whoever extracts continues the sender's trace with the sender's sampling decision and
baggage. For messages of strangers there is `zerostate.telemetry.trust`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, TracerProvider

from zerostate.telemetry.helper import SpanOption, TraceHelper
from zerostate.telemetry.propagation import TraceCarrier, is_context

TraceContext = str | bytes | Mapping[str, str] | TraceCarrier | None
"""A trace context as a message may hold it; None: the message has none."""


def inject_trace_context(context: Context | None = None) -> str:
    """Return `context` (None: the current one) as ASCII text, to go into a message.

    Empty if there is neither a span nor baggage. Holds line breaks when there is
    tracestate or baggage: in HTTP headers use `inject_trace_context_map`. Never raises,
    as `zerostate.telemetry.propagation.TraceCarrier.inject` has it.
    """
    return inject_trace_context_bytes(context).decode("ascii")


def inject_trace_context_bytes(context: Context | None = None) -> bytes:
    """Return what `inject_trace_context` does, as bytes."""
    return TraceCarrier.inject(context).to_bytes()


def inject_trace_context_map(context: Context | None = None) -> dict[str, str]:
    """Return `context` (None: the current one) as W3C headers, empty ones left out."""
    return TraceCarrier.inject(context).headers()


def extract_trace_context(text: str, context: Context | None = None) -> Context:
    """Return a context with the span and baggage that `text` holds.

    Never raises: what is malformed is dropped and counted in
    `zerostate.telemetry.propagation.dropped_headers`.

    Args:
        text: From `inject_trace_context`, or a bare traceparent.
        context: What to add them to; None: an empty context, not the current one,
            since the task that receives a message may be inside somebody else's span.
    """
    return _extract(text, context)


def extract_trace_context_bytes(data: bytes, context: Context | None = None) -> Context:
    """Return a context with what `data` holds; otherwise as `extract_trace_context`."""
    return _extract(data, context)


def extract_trace_context_map(
    headers: Mapping[str, str], context: Context | None = None
) -> Context:
    """Return a context with what the W3C headers among `headers` hold.

    Otherwise as `extract_trace_context`.
    """
    return _extract(headers, context)


def with_remote_span(
    tracer_name: str,
    operation: str,
    trace_context: TraceContext,
    *options: SpanOption,
    kind: SpanKind = SpanKind.SERVER,
    provider: TracerProvider | None = None,
) -> AbstractContextManager[Span]:
    """Open a span under the one that `trace_context` holds, for a ``with`` block.

    The block yields the span, so that attributes and errors can be recorded on it; the
    sender's baggage is current inside, and nothing else of the receiving task's
    context. Without a usable context the span starts a trace of its own. Outcome as for
    `TraceHelper.start_span`.

    Args:
        tracer_name: The component, as for `TraceHelper`.
        operation: The span's name, of low cardinality.
        trace_context: As the message holds it: text, bytes, headers or a carrier.
        options: Attributes to start with.
        kind: SERVER for a request, CONSUMER for a message from a queue or topic.
        provider: Where the span goes; None: the process's provider.
    """
    return TraceHelper(tracer_name, provider=provider).start_span(
        operation, *options, kind=kind, context=_extract(trace_context, None)
    )


def _extract(trace_context: TraceContext, context: Context | None) -> Context:
    remote = _carrier(trace_context).extract()
    if context is None or not is_context(context):
        return remote
    span = trace.get_current_span(remote)
    if span.get_span_context().is_valid:
        context = trace.set_span_in_context(span, context)
    for name, value in baggage.get_all(remote).items():
        context = baggage.set_baggage(name, value, context)
    return context


def _carrier(trace_context: TraceContext) -> TraceCarrier:
    if isinstance(trace_context, TraceCarrier):
        return trace_context
    if isinstance(trace_context, str):
        return TraceCarrier.from_bytes(trace_context.encode("utf-8", "replace"))
    if isinstance(trace_context, bytes):
        return TraceCarrier.from_bytes(trace_context)
    return (
        TraceCarrier()
        if trace_context is None
        else TraceCarrier.from_headers(trace_context)
    )
