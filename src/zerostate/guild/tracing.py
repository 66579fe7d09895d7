"""The spans of the guild layer, one typed method each. Words, not deeds."""

from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.trace import Span, TracerProvider

from zerostate.ids import GuildId, PeerId
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry import LayerTracer, TraceCarrier


class GuildTracer(LayerTracer):
    """Opens ``guild.*`` spans."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("guild", provider)

    def trace_create_guild(
        self, guild_id: GuildId, *, wanted: tuple[str, ...], max_members: int
    ) -> AbstractContextManager[Span]:
        """Cover a guild's forming, from the announcement until enough have joined."""
        return self.span(
            spans.GUILD_CREATE,
            {
                attr.GUILD_ID: guild_id,
                attr.GUILD_CAPABILITIES: wanted,
                attr.GUILD_MAX_MEMBERS: max_members,
            },
        )

    def trace_join_guild(
        self, guild_id: GuildId, *, creator: PeerId
    ) -> AbstractContextManager[Span]:
        """Cover joining, from the decision to the creator's answer."""
        return self.span(
            spans.GUILD_JOIN, {attr.GUILD_ID: guild_id, attr.PEER_ID: creator}
        )

    def trace_dissolve_guild(
        self, guild_id: GuildId, *, guild: TraceCarrier
    ) -> AbstractContextManager[Span]:
        """Cover the end of a guild, a root of its own linked to the guild's trace.

        Args:
            guild_id: Which guild.
            guild: The context in which it was created.
        """
        return self.span(
            spans.GUILD_DISSOLVE,
            {attr.GUILD_ID: guild_id},
            context=Context(),
            links=guild.link({attr.LINK_TRUST: "own"}),
        )

    def trace_send_message(
        self, guild_id: GuildId, *, to: PeerId, message_type: str, size_bytes: int
    ) -> AbstractContextManager[Span]:
        """Cover a message to a member, until the member has confirmed it."""
        return self.span(
            spans.GUILD_SEND_MESSAGE,
            {
                attr.GUILD_ID: guild_id,
                attr.PEER_ID: to,
                attr.MESSAGE_TYPE: message_type,
                attr.MESSAGING_BODY_SIZE: size_bytes,
            },
        )

    def trace_receive_message(
        self, guild_id: GuildId, *, author: PeerId, message_type: str
    ) -> AbstractContextManager[Span]:
        """Cover acting on a member's message."""
        return self.span(
            spans.GUILD_RECEIVE_MESSAGE,
            {
                attr.GUILD_ID: guild_id,
                attr.PEER_ID: author,
                attr.MESSAGE_TYPE: message_type,
            },
        )

    def trace_heartbeat(
        self, guild_id: GuildId, *, creator: PeerId, guild: TraceCarrier
    ) -> AbstractContextManager[Span]:
        """Cover one heartbeat, a root of its own linked to the guild's trace.

        Args:
            guild_id: Which guild.
            creator: To whom the heartbeat goes.
            guild: The context in which this member joined.
        """
        return self.span(
            spans.GUILD_HEARTBEAT,
            {attr.GUILD_ID: guild_id, attr.PEER_ID: creator},
            context=Context(),
            links=guild.link({attr.LINK_TRUST: "own"}),
        )
