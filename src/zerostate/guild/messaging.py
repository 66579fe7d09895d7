"""What the members of a guild say to each other: sealed, to one or to all."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, final

import trio

from zerostate.errors import (
    GuildError,
    GuildRoleError,
    NotAMemberError,
    P2PError,
    PeerLostError,
    RequestTimeoutError,
    UnknownEpochError,
)
from zerostate.guild.bodies import guild_of
from zerostate.guild.book import Guild
from zerostate.guild.liveness import Heart
from zerostate.guild.parts import Parts, topic_of
from zerostate.guild.sealing import Opened, epoch_of, open_body, seal_body
from zerostate.ids import GuildId, PeerId
from zerostate.p2p import Message, Published
from zerostate.telemetry import TraceCarrier

KEY_WAIT_S: Final = 0.25
"""Wait for a newer key before the creator is asked for it, in seconds: who sends with it
has most often only just been told it, as have we."""

TASK_PREFIX: Final = "task_"
"""Begins the message types that ask a member to work."""

GuildHandler = Callable[[GuildId, Message], Awaitable[None]]
"""Acts on a member's message, inside ``guild.receive_message``."""

GuildContinues = Callable[[GuildId, Message], bool]
"""Tells whether a member's message goes on with its author's trace here."""

_logger: Final = logging.getLogger("zerostate.guild")


@final
class Messenger:
    """Sends to members and receives from them."""

    def __init__(self, parts: Parts, heart: Heart) -> None:
        self._parts = parts
        self._heart = heart
        self._me = parts.identity.peer_id

    async def send(
        self,
        guild_id: GuildId,
        to: PeerId,
        message_type: str,
        body: bytes,
        confirmed: trio.Event,
    ) -> None:
        """See `zerostate.guild.service.GuildService.send_message`."""
        guild = self._parts.book.find(guild_id)
        self._check_sender(guild, self._me)
        self._check_addressee(guild, to, message_type)
        with self._parts.tracer.trace_send_message(
            guild_id, message_type, len(body), to=to
        ):
            sealed = self._seal(guild, message_type, body)
            published = await self._parts.peers.publish(
                topic_of(guild_id), message_type, sealed, to=to
            )
            if await self._is_confirmed(guild, to, confirmed):
                return
            _logger.info("%s unconfirmed by gossip; sending it direct", message_type)
            await self._parts.peers.deliver_direct(published, to)
            if not await self._is_confirmed(guild, to, confirmed):
                raise RequestTimeoutError(f"{to} did not confirm {message_type}")

    async def broadcast(
        self, guild_id: GuildId, message_type: str, body: bytes
    ) -> Published:
        """See `zerostate.guild.service.GuildService.broadcast`."""
        guild = self._parts.book.find(guild_id)
        self._check_sender(guild, self._me)
        recipients = len(guild.membership.members) - 1
        if not recipients:
            raise GuildError(f"{guild_id} has no other members yet")
        with self._parts.tracer.trace_send_message(
            guild_id, message_type, len(body), recipients=recipients
        ):
            sealed = self._seal(guild, message_type, body)
            return await self._parts.peers.publish(
                topic_of(guild_id), message_type, sealed
            )

    def on_message(
        self, message_type: str, handler: GuildHandler, continues: GuildContinues
    ) -> None:
        """See `zerostate.guild.service.GuildService.on_message`."""

        async def receive(message: Message) -> None:
            guild_id = guild_of(message)
            opened, refusal = await self._try_open(guild_id, message)
            with self._parts.tracer.trace_receive_message(
                guild_id,
                message.type,
                message.author,
                sealed=None if opened is None else opened.carrier,
            ):
                if opened is None:
                    raise refusal or GuildError("nothing was sealed")
                await handler(guild_id, opened)

        def goes_on(message: Message) -> bool:
            try:
                guild_id = guild_of(message)
                opened = self._unseal(self._parts.book.find(guild_id), message)
            except GuildError:
                # `receive` waits for what is not there yet, and refuses the rest.
                return True
            return continues(guild_id, replace(message, body=opened.body))

        self._parts.peers.on_gossip(message_type, receive, continues=goes_on)

    async def _try_open(
        self, guild_id: GuildId, message: Message
    ) -> tuple[Message | None, GuildError | None]:
        """Return `message` as it was before it was sealed, or why it is refused.

        Before any span opens: what is sealed says which tracestate it has.
        """
        try:
            await self._parts.until_joined(guild_id)
            guild = self._parts.book.find(guild_id)
            await self._meet(guild, message)
            self._check_sender(guild, message.author)
            if message.to is not None:
                self._check_addressee(guild, message.to, message.type)
            opened = await self._open(guild, message)
        except GuildError as exc:
            self._parts.refuse(exc)
            return None, exc
        headers = {
            "traceparent": message.carrier.traceparent,
            "tracestate": opened.tracestate,
            "baggage": opened.baggage,
        }
        carrier = TraceCarrier.from_headers(headers)
        return replace(message, body=opened.body, carrier=carrier), None

    async def _meet(self, guild: Guild, message: Message) -> None:
        """Let a member's message overtake the news that it has joined.

        Each join begins an epoch: who is unknown and names a newer one may be new.
        """
        epoch = epoch_of(message.body)
        if guild.membership.find(message.author) is None and epoch > guild.epoch:
            await self._await_key(guild, epoch)

    async def _open(self, guild: Guild, message: Message) -> Opened:
        try:
            return self._unseal(guild, message)
        except UnknownEpochError as exc:
            await self._await_key(guild, exc.epoch)
        return self._unseal(guild, message)

    async def _await_key(self, guild: Guild, epoch: int) -> None:
        """Give the key of a newer epoch the time to come, then ask for it, once."""
        with trio.move_on_after(KEY_WAIT_S):
            while guild.end_reason is None and guild.epoch < epoch:
                await guild.changed.wait()
        guild.require_open()
        if guild.epoch >= epoch or guild.creator == self._me:
            return
        try:
            await self._heart.catch_up(guild)
        except P2PError as exc:
            _logger.warning("no key of %s: %s", guild.guild_id, exc)
        guild.require_open()

    def _unseal(self, guild: Guild, message: Message) -> Opened:
        return open_body(
            guild.ring,
            message.body,
            guild_id=guild.guild_id,
            author=message.author,
            message_type=message.type,
            now_ns=self._parts.clock.monotonic_ns(),
        )

    def _seal(self, guild: Guild, message_type: str, body: bytes) -> bytes:
        return seal_body(
            guild.ring.current,
            guild_id=guild.guild_id,
            author=self._me,
            message_type=message_type,
            body=body,
            carrier=TraceCarrier.inject(),
        )

    def _check_sender(self, guild: Guild, peer_id: PeerId) -> None:
        member = guild.membership.find(peer_id)
        if member is None:
            raise NotAMemberError(f"{peer_id} is not in {guild.guild_id}")
        if member.role == "observer":
            raise GuildRoleError(
                f"{peer_id} observes {guild.guild_id}; it says nothing"
            )

    def _check_addressee(
        self, guild: Guild, peer_id: PeerId, message_type: str
    ) -> None:
        member = guild.membership.find(peer_id)
        if member is None:
            raise NotAMemberError(f"{peer_id} is not a member of {guild.guild_id}")
        if member.role == "observer" and message_type.startswith(TASK_PREFIX):
            raise GuildRoleError(f"{peer_id} observes {guild.guild_id}; no task for it")

    async def _is_confirmed(
        self, guild: Guild, to: PeerId, confirmed: trio.Event
    ) -> bool:
        """Wait for the confirmation; fail at once when member or guild go away."""
        lost = trio.Event()

        async def watch() -> None:
            await self._parts.peers.wait_lost(to)
            lost.set()

        async with trio.open_nursery() as nursery:

            async def until(happened: Callable[[], Awaitable[None]]) -> None:
                await happened()
                nursery.cancel_scope.cancel()

            nursery.start_soon(until, watch)
            nursery.start_soon(until, guild.over.wait)
            with trio.move_on_after(self._parts.config.confirm_timeout_s):
                await confirmed.wait()
            nursery.cancel_scope.cancel()
        if confirmed.is_set():
            return True
        guild.require_open()
        if lost.is_set():
            raise PeerLostError(f"{to} went away before it confirmed")
        return False
