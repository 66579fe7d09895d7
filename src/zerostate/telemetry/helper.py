"""`TraceHelper`: spans for a component of a user's own program, as in the guide."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from zerostate.semconv import attributes as attr
from zerostate.telemetry.block import SpanBlock
from zerostate.telemetry.suppression import is_suppressed, suppressed_span

SpanOption = Mapping[str, AttributeValue]
"""Attributes that a span starts with. `with_task_id` and the others make them; any
mapping does."""


@final
class TraceHelper:
    """Opens spans for one component. Safe to share between tasks and threads.

    Args:
        component: Name of the component; the instrumentation scope is
            ``zerostate.<component>``, as for our own layers.
        provider: Where spans go; None: the process's provider, also when `init_tracer`
            is called only later, or again.

    Raises:
        ValueError: `component` is empty.
    """

    def __init__(
        self, component: str, *, provider: TracerProvider | None = None
    ) -> None:
        if not component:
            raise ValueError("component: empty; name the part of the program")
        self._tracer = trace.get_tracer(
            f"zerostate.{component}", tracer_provider=provider
        )

    def start_span(
        self,
        name: str,
        *options: SpanOption,
        kind: SpanKind = SpanKind.INTERNAL,
        context: Context | None = None,
        links: Sequence[Link] = (),
    ) -> AbstractContextManager[Span]:
        """Open a span for the length of a ``with`` block, in which it is current.

        The outcome is decided when the block is left: a failure makes it ERROR with
        ``error.type`` (looking into exception groups), cancellation does not. Not for
        use around a ``yield``.

        Args:
            name: Of low cardinality: what varies goes in attributes.
            options: Attributes to start with; later ones win.
            kind: The span's kind.
            context: Where it belongs, for example what `extract_trace_context`
                returned, baggage included; None: under the current span.
            links: Spans elsewhere that this one has to do with.

        Returns:
            A context manager that yields the span.
        """
        return SpanBlock(
            self._tracer,
            name,
            kind=kind,
            attributes=merged(options),
            context=context,
            links=links,
            is_context_attached=True,
        )

    def start_manual_span(
        self,
        name: str,
        *options: SpanOption,
        kind: SpanKind = SpanKind.INTERNAL,
        context: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        """Start a span that the caller ends with ``span.end()``; it is not current.

        For work that begins in one function and ends in another. Without ``end()`` it
        is never exported; failures are for the caller to record, with `record_error`.
        """
        if is_suppressed():
            return suppressed_span(context)
        return self._tracer.start_span(
            name,
            context=context,
            kind=kind,
            attributes=merged(options),
            links=links,
        )


def with_task_id(task_id: str) -> SpanOption:
    """Start the span with ``task.id``."""
    return {attr.TASK_ID: task_id}


def with_peer_id(peer_id: str) -> SpanOption:
    """Start the span with ``peer.id``."""
    return {attr.PEER_ID: peer_id}


def with_guild_id(guild_id: str) -> SpanOption:
    """Start the span with ``guild.id``."""
    return {attr.GUILD_ID: guild_id}


def with_channel_id(channel_id: str) -> SpanOption:
    """Start the span with ``channel.id``."""
    return {attr.CHANNEL_ID: channel_id}


def with_message_type(message_type: str) -> SpanOption:
    """Start the span with ``message.type``."""
    return {attr.MESSAGE_TYPE: message_type}


def merged(options: Sequence[SpanOption]) -> dict[str, AttributeValue]:
    """Return the attributes of all `options`; later ones win."""
    attributes: dict[str, AttributeValue] = {}
    for option in options:
        attributes.update(option)
    return attributes
