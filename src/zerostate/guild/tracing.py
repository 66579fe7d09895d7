"""The spans of the guild layer, one typed method each. Words, not deeds."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    TracerProvider,
)
from opentelemetry.util.types import AttributeValue

from zerostate.ids import GuildId, PeerId
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry import LayerTracer, TraceCarrier

ParentContext = Context
"""A context of OpenTelemetry that a guild keeps, for a span that opens elsewhere."""

LeaveReason = Literal["requested", "evicted", "expired", "creator_lost", "forked"]
"""Why a member is one no longer."""

DissolveReason = Literal["requested", "not_formed", "expired", "failed"]
"""Why a guild is dissolved by its creator."""


class GuildTracer(LayerTracer):
    """Opens ``guild.*`` spans."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("guild", provider)

    def trace_create_guild(
        self,
        guild_id: GuildId | None = None,
        *,
        wanted: tuple[str, ...] | None = None,
        max_members: int | None = None,
    ) -> AbstractContextManager[Span]:
        """Cover a guild's forming, from the announcement until enough have joined.

        Opened by hand around `GuildService.create`, without arguments, it is the one
        span of that call.
        """
        attributes = _known(
            {
                attr.GUILD_ID: guild_id,
                attr.GUILD_CAPABILITIES: wanted,
                attr.GUILD_MAX_MEMBERS: max_members,
            }
        )
        return self.span(spans.GUILD_CREATE, attributes, adopts=True)

    def trace_join_guild(
        self, guild_id: GuildId, *, creator: PeerId | None = None
    ) -> AbstractContextManager[Span]:
        """Cover joining, from the decision to the creator's answer."""
        attributes = _known({attr.GUILD_ID: guild_id, attr.PEER_ID: creator})
        return self.span(spans.GUILD_JOIN, attributes, adopts=True)

    def trace_leave_guild(
        self,
        guild_id: GuildId,
        reason: LeaveReason = "requested",
        *,
        member: PeerId | None = None,
        guild: TraceCarrier | None = None,
    ) -> AbstractContextManager[Span]:
        """Cover a member's going, at whoever makes it go.

        Args:
            guild_id: Which guild.
            reason: Why.
            member: Who goes.
            guild: The context in which this peer created or joined the guild. Given,
                the span is a root of its own, linked to it; otherwise it is part of
                what goes on.
        """
        return self._ending(
            spans.GUILD_LEAVE,
            {attr.GUILD_ID: guild_id, attr.LEAVE_REASON: reason, attr.PEER_ID: member},
            guild,
        )

    def trace_dissolve_guild(
        self,
        guild_id: GuildId,
        reason: DissolveReason = "requested",
        *,
        guild: TraceCarrier | None = None,
    ) -> AbstractContextManager[Span]:
        """Cover the end of a guild, at its creator; `guild` as in `trace_leave_guild`."""
        return self._ending(
            spans.GUILD_DISSOLVE,
            {attr.GUILD_ID: guild_id, attr.DISSOLVE_REASON: reason},
            guild,
        )

    def trace_send_message(
        self,
        guild_id: GuildId,
        message_type: str,
        size_bytes: int,
        *,
        to: PeerId | None = None,
        recipients: int = 1,
    ) -> AbstractContextManager[Span]:
        """Cover a message to one member, until it has confirmed it, or to all others.

        Args:
            guild_id: Which guild.
            message_type: A registered type.
            size_bytes: Size of the body before it is sealed.
            to: The member; None: all others.
            recipients: For how many members it is.
        """
        attributes = _known(
            {
                attr.GUILD_ID: guild_id,
                attr.MESSAGE_TYPE: message_type,
                attr.MESSAGING_BODY_SIZE: size_bytes,
                attr.MESSAGE_RECIPIENTS: recipients,
                attr.PEER_ID: to,
            }
        )
        return self.span(spans.GUILD_SEND_MESSAGE, attributes)

    @contextmanager
    def trace_receive_message(
        self,
        guild_id: GuildId,
        message_type: str,
        author: PeerId,
        *,
        sealed: TraceCarrier | None = None,
    ) -> Iterator[Span]:
        """Cover acting on a member's message.

        Args:
            guild_id: Which guild.
            message_type: Its type.
            author: The member.
            sealed: Tracestate and baggage that were sealed with the body: they are the
                current ones inside, in the place of what came in the clear.
        """
        context = None if sealed is None else _with_sealed(sealed)
        token = None if context is None else attach(context)
        attributes = {
            attr.GUILD_ID: guild_id,
            attr.PEER_ID: author,
            attr.MESSAGE_TYPE: message_type,
        }
        try:
            with self.span(
                spans.GUILD_RECEIVE_MESSAGE, attributes, context=context
            ) as span:
                yield span
        finally:
            if token is not None:
                detach(token)

    def trace_heartbeat(
        self,
        guild_id: GuildId,
        *,
        creator: PeerId | None = None,
        guild: TraceCarrier | None = None,
    ) -> AbstractContextManager[Span]:
        """Cover one heartbeat, a root of its own linked to the guild's trace.

        Args:
            guild_id: Which guild.
            creator: To whom the heartbeat goes.
            guild: The context in which this member joined.
        """
        return self.span(
            spans.GUILD_HEARTBEAT,
            _known({attr.GUILD_ID: guild_id, attr.PEER_ID: creator}),
            context=Context(),
            links=_own(guild),
        )

    def trace_key_exchange(
        self,
        guild_id: GuildId,
        peer: PeerId | None = None,
        *,
        epoch: int | None = None,
        recipients: int | None = None,
        forming: ParentContext | None = None,
    ) -> AbstractContextManager[Span]:
        """Cover making a new key of the guild and wrapping it to each member.

        Args:
            guild_id: Which guild.
            peer: The member that has joined and gave its public key; None: the key is
                new because one is no longer a member.
            epoch: The new key's.
            recipients: To how many members it is wrapped.
            forming: The context of ``guild.create``, if the guild forms as yet: the
                exchange is a part of that, wherever the request came from. None: of
                what goes on.
        """
        attributes = {
            attr.GUILD_ID: guild_id,
            attr.PEER_ID: peer,
            attr.GUILD_EPOCH: epoch,
            attr.GUILD_KEY_RECIPIENTS: recipients,
        }
        return self.span(spans.GUILD_KEY_EXCHANGE, _known(attributes), context=forming)

    def here(self) -> ParentContext:
        """Return the current context, for `trace_key_exchange`."""
        return get_current()

    def _ending(
        self,
        spec: spans.SpanSpec,
        attributes: Mapping[str, AttributeValue | None],
        guild: TraceCarrier | None,
    ) -> AbstractContextManager[Span]:
        return self.span(
            spec,
            _known(attributes),
            context=None if guild is None else Context(),
            links=_own(guild),
            adopts=True,
        )


def _own(guild: TraceCarrier | None) -> tuple[Link, ...]:
    return () if guild is None else guild.link({attr.LINK_TRUST: "own"})


def _known(
    attributes: Mapping[str, AttributeValue | None],
) -> dict[str, AttributeValue]:
    return {key: value for key, value in attributes.items() if value is not None}


def _with_sealed(sealed: TraceCarrier) -> Context | None:
    """Return the current span with what was sealed; None if the trace is another one.

    Then the author's trace was not continued, and nothing of it belongs into ours. A
    span's tracestate cannot change; so what opens next gets as its parent the same span
    under the sealed tracestate.
    """
    current = trace.get_current_span().get_span_context()
    received = sealed.span_context()
    if received.is_valid and received.trace_id != current.trace_id:
        return None
    context = sealed.extract()
    if not received.is_valid:
        return trace.set_span_in_context(trace.get_current_span(), context)
    parent = SpanContext(
        current.trace_id,
        current.span_id,
        is_remote=False,
        trace_flags=current.trace_flags,
        trace_state=received.trace_state,
    )
    return trace.set_span_in_context(NonRecordingSpan(parent), context)
