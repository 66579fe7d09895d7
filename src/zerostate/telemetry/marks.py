"""What to say on a span that is open: success, ids, sizes. The guide's ``Record…``.

Failure is `zerostate.telemetry.outcome.record_error`. Each works on any OpenTelemetry span, and has no effect on one that has ended or does not
record.
"""

from opentelemetry.trace import Span

from zerostate.semconv import attributes as attr
from zerostate.telemetry.block import open_block


def record_success(span: Span, duration_ms: float | None = None) -> None:
    """Say that the work of `span` succeeded, as far as its caller knows.

    A failure always wins, before this call or after it. The status OK, which
    OpenTelemetry never lets go of, is therefore written only when the block that
    opened the span (`TraceHelper.start_span`, `with_remote_span`, `traced`,
    `LayerTracer.span`) is left without a failure. A span opened in any other way keeps
    the status unset: OpenTelemetry's own way to say "no error".

    Args:
        span: The span.
        duration_ms: How long the work took by the caller's own clock, in milliseconds,
            where that differs from the span's duration.
    """
    if duration_ms is not None:
        span.set_attribute(attr.DURATION_MS, duration_ms)
    block = open_block(span)
    if block is not None:
        block.succeed()


def record_peer_id(span: Span, peer_id: str) -> None:
    """Say which other peer this is about (``peer.id``)."""
    span.set_attribute(attr.PEER_ID, peer_id)


def record_guild_id(span: Span, guild_id: str) -> None:
    """Say which guild this is about (``guild.id``)."""
    span.set_attribute(attr.GUILD_ID, guild_id)


def record_task_id(span: Span, task_id: str) -> None:
    """Say which task this is about (``task.id``)."""
    span.set_attribute(attr.TASK_ID, task_id)


def record_channel_id(span: Span, channel_id: str) -> None:
    """Say which payment channel this is about (``channel.id``)."""
    span.set_attribute(attr.CHANNEL_ID, channel_id)


def record_message_type(span: Span, message_type: str) -> None:
    """Say which type of message this is about (``message.type``), of low cardinality."""
    span.set_attribute(attr.MESSAGE_TYPE, message_type)


def record_size(span: Span, size_bytes: int) -> None:
    """Say how large what was handled is, in bytes (``size.bytes``)."""
    span.set_attribute(attr.SIZE_BYTES, size_bytes)


def record_count(span: Span, count: int) -> None:
    """Say how many things were handled (``count``)."""
    span.set_attribute(attr.COUNT, count)
