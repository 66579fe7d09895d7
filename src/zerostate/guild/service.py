"""Guilds of one peer: create, join, send to a member, stay alive."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar, final

import trio
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage

from zerostate.clock import Clock
from zerostate.errors import (
    GuildError,
    GuildNotFormedError,
    GuildNotFoundError,
    NotAMemberError,
    PeerLostError,
    RemoteError,
    RequestTimeoutError,
    ZeroStateError,
)
from zerostate.guild import membership as wire
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.book import Guild, GuildBook
from zerostate.guild.config import GuildConfig
from zerostate.guild.membership import Membership, founded
from zerostate.guild.tracing import GuildTracer
from zerostate.ids import GuildId, PeerId, new_guild_id, parse_guild_id
from zerostate.p2p import Message, PeerNode
from zerostate.units import NS_PER_S

ANNOUNCE_TOPIC: Final = "zerostate/guilds/1"
"""Topic on which guilds are announced to everybody."""

FIRST_HEARTBEAT_S: Final = 0.1
"""A new member's first heartbeat comes this soon, to learn who joined after it."""

SWEEP_INTERVAL_S: Final = 30.0
"""Between two looks for guilds whose time is over, in seconds."""

GuildHandler = Callable[[GuildId, Message], Awaitable[None]]
"""Acts on a member's message, inside ``guild.receive_message``."""

_logger: Final = logging.getLogger("zerostate.guild")


@final
class GuildService:
    """This peer's guilds. Made by `open_guilds`."""

    def __init__(
        self,
        peers: PeerNode,
        config: GuildConfig,
        *,
        tracer: GuildTracer,
        clock: Clock,
        nursery: trio.Nursery,
    ) -> None:
        self._peers = peers
        self._config = config
        self._tracer = tracer
        self._clock = clock
        self._nursery = nursery
        self._book = GuildBook(clock)
        self._joining: dict[GuildId, trio.Event] = {}
        peers.handle("guild_join", self._on_join)
        peers.handle("guild_heartbeat", self._on_heartbeat)
        peers.on_gossip("guild_announce", self._on_announce, continues=self._would_join)
        peers.on_gossip("guild_dissolve", self._on_dissolve)

    async def create(
        self, *, wanted: tuple[str, ...], members: int, timeout_s: float = 10.0
    ) -> Membership:
        """Announce a guild and wait until enough have joined.

        Args:
            wanted: Capabilities of which each member must have one.
            members: How many must join, the creator not counted.
            timeout_s: Longest wait, in seconds.

        Returns:
            The membership at the moment at which enough had joined. Later joins go on.

        Raises:
            GuildNotFormedError: Fewer than `members` joined in time. The guild stands,
                and dissolves by expiring.
        """
        guild_id = new_guild_id()
        max_members = min(self._config.max_members, members + 1)
        with self._tracer.trace_create_guild(
            guild_id, wanted=wanted, max_members=max_members
        ):
            await self._peers.subscribe(topic_of(guild_id))
            guild = self._found(guild_id, max_members)
            announcement = pb.Announce(
                guild_id=guild_id,
                creator=self._peers.peer_id,
                wanted=wanted,
                max_members=max_members,
                expires_unix_ns=guild.expires_unix_ns,
                addresses=self._peers.addresses,
            )
            body = announcement.SerializeToString()
            with trio.move_on_after(timeout_s) as scope:
                await self._peers.publish(ANNOUNCE_TOPIC, "guild_announce", body)
                while len(guild.membership.members) <= members:
                    await guild.changed.wait()
            if scope.cancelled_caught:
                joined = len(guild.membership.members) - 1
                raise GuildNotFormedError(
                    f"{joined} of {members} members joined within {timeout_s:.0f} s"
                )
            return guild.membership

    def dissolve_soon(self, guild_id: GuildId) -> None:
        """End a guild of our own, in the background; does nothing if it is unknown.

        Members are told by gossip. One that misses it learns at its next heartbeat.
        """
        guild = self._book.remove(guild_id)
        if guild is not None:
            self._nursery.start_soon(self._dissolve, guild_id, guild)

    async def send_message(
        self,
        guild_id: GuildId,
        to: PeerId,
        message_type: str,
        body: bytes,
        *,
        confirmed: trio.Event,
    ) -> None:
        """Send to one member and wait until it has confirmed.

        The message goes by gossip; without a confirmation in time, the same message
        (same id, so the receiver acts on it once) also goes on a direct stream.

        Args:
            guild_id: A guild that both belong to.
            to: The member.
            message_type: A registered type.
            body: Its body.
            confirmed: Set by whoever sees the member's confirmation.

        Raises:
            NotAMemberError: `to` does not belong to the guild; nothing was sent.
            PeerLostError: The member went away before it confirmed.
            RequestTimeoutError: It did not confirm; it may or may not have acted.
        """
        membership = self.membership(guild_id)
        if membership.find(to) is None:
            raise NotAMemberError(f"{to} is not a member of {guild_id}")
        with self._tracer.trace_send_message(
            guild_id, to=to, message_type=message_type, size_bytes=len(body)
        ):
            topic = topic_of(guild_id)
            published = await self._peers.publish(topic, message_type, body, to=to)
            if await self._is_confirmed(to, confirmed):
                return
            _logger.info("%s unconfirmed by gossip; sending it direct", message_type)
            await self._peers.deliver_direct(published, to)
            if not await self._is_confirmed(to, confirmed):
                raise RequestTimeoutError(f"{to} did not confirm {message_type}")

    def on_message(self, message_type: str, handler: GuildHandler) -> None:
        """Have `handler` act on each message of `message_type` that a member sends.

        A message of somebody who is not a member of the guild is refused and logged.
        """

        async def receive(message: Message) -> None:
            guild_id = _guild_of(message)
            with self._tracer.trace_receive_message(
                guild_id, author=message.author, message_type=message.type
            ):
                await self._until_joined(guild_id)
                if self.membership(guild_id).find(message.author) is None:
                    raise NotAMemberError(f"{message.author} is not in {guild_id}")
                await handler(guild_id, message)

        self._peers.on_gossip(message_type, receive)

    def membership(self, guild_id: GuildId) -> Membership:
        """Return who belongs to the guild, as far as this peer knows.

        Raises:
            GuildNotFoundError: This peer does not belong to it, or it has expired.
        """
        return self._book.find(guild_id).membership

    def is_member_of_a_guild(self, peer_id: PeerId) -> bool:
        """Whether `peer_id` shares a guild with this peer."""
        return self._book.has_member(peer_id)

    def _found(self, guild_id: GuildId, max_members: int) -> Guild:
        expires_unix_ns = self._clock.wall_ns() + round(self._config.ttl_s * NS_PER_S)
        membership = founded(guild_id, self._peers.peer_id)
        return self._book.add(Guild(membership, max_members, expires_unix_ns))

    async def _is_confirmed(self, to: PeerId, confirmed: trio.Event) -> bool:
        """Wait for the confirmation; fail at once when the member goes away."""
        async with trio.open_nursery() as nursery:
            lost = False

            async def watch() -> None:
                nonlocal lost
                await self._peers.wait_lost(to)
                lost = True
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            with trio.move_on_after(self._config.confirm_timeout_s):
                await confirmed.wait()
            nursery.cancel_scope.cancel()
        if lost and not confirmed.is_set():
            raise PeerLostError(f"{to} went away before it confirmed")
        return confirmed.is_set()

    # The creator's side

    async def _dissolve(self, guild_id: GuildId, guild: Guild) -> None:
        body = pb.Dissolve(guild_id=guild_id).SerializeToString()
        try:
            with self._tracer.trace_dissolve_guild(guild_id, guild=guild.entered):
                topic = topic_of(guild_id)
                await self._peers.publish(topic, "guild_dissolve", body)
        except ZeroStateError as exc:
            _logger.warning("members of %s were not told its end: %s", guild_id, exc)
        await self._peers.unsubscribe(topic_of(guild_id))

    async def _on_join(self, message: Message) -> bytes:
        request = _parse(pb.Join(), message.body)
        guild = self._book.find(_parse_id(request.guild_id))
        if guild.membership.creator.peer_id != self._peers.peer_id:
            raise GuildError("only the guild's creator takes joins")
        capabilities = tuple(request.capabilities)
        joined = guild.membership.joined(
            message.author, capabilities, max_members=guild.max_members
        )
        guild.update(joined)
        return wire.encode(guild.membership)

    async def _on_heartbeat(self, message: Message) -> bytes:
        request = _parse(pb.Heartbeat(), message.body)
        membership = self.membership(_parse_id(request.guild_id))
        if membership.find(message.author) is None:
            raise NotAMemberError(f"{message.author} is not in {request.guild_id}")
        return wire.encode(membership)

    # The member's side

    def _would_join(self, message: Message) -> bool:
        try:
            announcement = _parse(pb.Announce(), message.body)
        except GuildError:
            return False
        offered = set(self._config.capabilities) & set(announcement.wanted)
        return (
            bool(offered)
            and announcement.creator == message.author
            and announcement.expires_unix_ns > self._clock.wall_ns()
            and len(self._book) + len(self._joining) < self._config.max_guilds
        )

    async def _on_announce(self, message: Message) -> None:
        if not self._would_join(message):
            return
        announcement = _parse(pb.Announce(), message.body)
        guild_id = _parse_id(announcement.guild_id)
        if guild_id in self._joining or guild_id in self._book:
            return
        joined = self._joining[guild_id] = trio.Event()
        try:
            with self._tracer.trace_join_guild(guild_id, creator=message.author):
                guild = await self._join(guild_id, announcement)
        finally:
            del self._joining[guild_id]
            joined.set()
        self._nursery.start_soon(self._heartbeats, guild, message.author)

    async def _join(self, guild_id: GuildId, announcement: pb.Announce) -> Guild:
        # Before the request: the creator may send to the guild as soon as it knows.
        await self._peers.subscribe(topic_of(guild_id))
        try:
            return await self._ask_to_join(guild_id, announcement)
        except ZeroStateError:
            await self._peers.unsubscribe(topic_of(guild_id))
            raise

    async def _ask_to_join(self, guild_id: GuildId, announcement: pb.Announce) -> Guild:
        body = pb.Join(guild_id=guild_id, capabilities=self._config.capabilities)
        reply = await self._peers.request(
            PeerId(announcement.creator), "guild_join", body.SerializeToString()
        )
        membership = wire.decode(reply)
        if membership.guild_id != guild_id:
            raise GuildError(f"{announcement.creator} answered for another guild")
        return self._book.add(
            Guild(membership, announcement.max_members, announcement.expires_unix_ns)
        )

    async def _until_joined(self, guild_id: GuildId) -> None:
        """Wait for the answer to our join, which the guild's messages may overtake."""
        joined = self._joining.get(guild_id)
        if joined is not None:
            await joined.wait()

    async def _on_dissolve(self, message: Message) -> None:
        guild_id = _guild_of(message)
        await self._until_joined(guild_id)
        if self.membership(guild_id).creator.peer_id != message.author:
            raise NotAMemberError(f"{message.author} did not create {guild_id}")
        await self._forget(guild_id)

    async def _forget(self, guild_id: GuildId) -> None:
        if self._book.remove(guild_id) is not None:
            await self._peers.unsubscribe(topic_of(guild_id))

    async def forget_expired(self) -> None:
        """Leave the guilds whose time is over; then their topics cost nothing more."""
        for guild_id in self._book.expired():
            await self._forget(guild_id)

    async def sweep(self) -> None:
        """Call `forget_expired` now and then, until cancelled."""
        while True:
            await trio.sleep(SWEEP_INTERVAL_S)
            await self.forget_expired()

    async def _heartbeats(self, guild: Guild, creator: PeerId) -> None:
        guild_id = guild.membership.guild_id
        delay_s = min(FIRST_HEARTBEAT_S, self._config.heartbeat_interval_s)
        while self._book.is_current(guild):
            await trio.sleep(delay_s)
            delay_s = self._config.heartbeat_interval_s
            if not self._book.is_current(guild):
                return
            try:
                await self._heartbeat(guild, creator)
            except ZeroStateError as exc:
                _logger.warning("heartbeat to %s failed: %s", creator, exc)
                if _is_over(exc):
                    await self._forget(guild_id)
                    return

    async def _heartbeat(self, guild: Guild, creator: PeerId) -> None:
        guild_id = guild.membership.guild_id
        with self._tracer.trace_heartbeat(
            guild_id, creator=creator, guild=guild.entered
        ):
            version = guild.membership.version
            body = pb.Heartbeat(guild_id=guild_id, membership_version=version)
            reply = await self._peers.request(
                creator, "guild_heartbeat", body.SerializeToString()
            )
            guild.update(wire.decode(reply))


@asynccontextmanager
async def open_guilds(
    peers: PeerNode, config: GuildConfig, *, tracer: GuildTracer, clock: Clock
) -> AsyncIterator[GuildService]:
    """Take part in guilds until the block is left; then heartbeats stop."""
    async with trio.open_nursery() as nursery:
        service = GuildService(
            peers, config, tracer=tracer, clock=clock, nursery=nursery
        )
        await peers.subscribe(ANNOUNCE_TOPIC)
        nursery.start_soon(service.sweep)
        yield service
        nursery.cancel_scope.cancel()


def topic_of(guild_id: GuildId) -> str:
    """Return the gossip topic of a guild."""
    return f"zerostate/guild/1/{guild_id}"


def _is_over(failure: ZeroStateError) -> bool:
    """Whether a heartbeat's failure says that the guild is no more."""
    if isinstance(failure, RemoteError):
        return failure.remote_code == GuildNotFoundError.code
    return isinstance(failure, PeerLostError)


def _guild_of(message: Message) -> GuildId:
    return _parse_id((message.topic or "").rpartition("/")[2])


_Body = TypeVar("_Body", bound=ProtobufMessage)


def _parse(body: _Body, data: bytes) -> _Body:
    try:
        body.ParseFromString(data)
    except DecodeError as exc:
        raise GuildError(f"not a {type(body).__name__} message") from exc
    return body


def _parse_id(text: str) -> GuildId:
    try:
        return parse_guild_id(text)
    except ValueError as exc:
        raise GuildError(str(exc)) from exc
