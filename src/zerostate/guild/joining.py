"""The member's side: joining what is announced, and leaving."""

import logging
from typing import Final, final

import trio

from zerostate.errors import (
    GuildError,
    GuildRoleError,
    PeerUnreachableError,
    ZeroStateError,
)
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.bodies import parse, parse_id
from zerostate.guild.book import Guild
from zerostate.guild.budget import RequestBudget
from zerostate.guild.config import MAX_TTL_S
from zerostate.guild.keys import MemberKey, new_member_key, unwrap_key
from zerostate.guild.liveness import Heart
from zerostate.guild.log import GuildLog
from zerostate.guild.parts import MIN_HEARTBEAT_INTERVAL_S, Parts, topic_of
from zerostate.guild.requests import JoinRequest, sign_join, sign_leave
from zerostate.ids import GuildId, PeerId
from zerostate.p2p import Message
from zerostate.units import NS_PER_S

MAX_DIALS: Final = 2
"""Addresses of an announcement that are tried, if its author is not connected."""

ANNOUNCEMENT_FRESH_S: Final = 60
"""Age of an announcement whose author may be dialled, in seconds: its addresses may be
somebody else's by then."""

DIAL_RATE_PER_S: Final = 0.1
"""Dials a second that one announcing peer may make us do, in the long run."""

DIAL_BURST: Final = 4.0
"""Dials that one announcing peer may make us do at once."""

IDLE_S: Final = 60.0
"""A guild that this peer joined and has not worked for during that time, in seconds,
makes room for another. Otherwise two strangers whose guilds last long and do nothing
would keep it out of all others. Work is offered within seconds of a guild's forming."""

TELL_S: Final = 1.0
"""Longest that the creator of a guild that is left for another is waited for, in
seconds. Untold, it evicts us after two heartbeats."""

MAX_CLOCKS_APART_S: Final = 120.0
"""By how much a guild's life may seem longer than `MAX_TTL_S`, in seconds: as far apart as
two peers' clocks may be for one to join the other."""

_logger: Final = logging.getLogger("zerostate.guild")


@final
class Joiner:
    """The guilds of others that this peer joins."""

    def __init__(self, parts: Parts, heart: Heart) -> None:
        self._parts = parts
        self._heart = heart
        self._me = parts.identity.peer_id
        self._dials = RequestBudget(
            parts.clock, "dials", rate_per_s=DIAL_RATE_PER_S, burst=DIAL_BURST
        )
        parts.peers.on_gossip(
            "guild_announce",
            parts.counted(self._on_announce),
            continues=self._would_join,
        )

    def _would_join(self, message: Message) -> bool:
        try:
            announcement = parse(pb.Announce(), message.body)
        except GuildError:
            return False
        book, config = self._parts.book, self._parts.config
        offers = set(config.capabilities) & set(announcement.wanted)
        left_s = (announcement.expires_unix_ns - self._parts.clock.wall_ns()) / NS_PER_S
        return (
            (bool(offers) or config.observes)
            and announcement.creator == message.author
            and 0 < left_s <= MAX_TTL_S + MAX_CLOCKS_APART_S
            and (self._has_room(1) or self._idlest() is not None)
            and book.created_by(message.author) < max(1, config.max_guilds // 2)
        )

    def _has_room(self, more: int) -> bool:
        taken = len(self._parts.book) + len(self._parts.joining)
        return taken + more <= self._parts.config.max_guilds

    def _idlest(self) -> Guild | None:
        """Return the guild that can best be left for another, if any can."""
        now_ns = self._parts.clock.monotonic_ns()
        idle = (
            guild
            for guild in self._parts.book.guilds()
            if guild.creator != self._me
            and not guild.at_work
            and now_ns - guild.used_ns >= IDLE_S * NS_PER_S
        )
        return min(idle, key=lambda guild: guild.used_ns, default=None)

    async def make_room(self, more: int = 1) -> None:
        """Leave the idlest guild if there is no room for `more`. Never raises."""
        idlest = None if self._has_room(more) else self._idlest()
        if idlest is None:
            return
        self._parts.counts["guild.left_idle"] += 1
        with trio.move_on_after(TELL_S):
            try:
                await self.leave(idlest)
            except ZeroStateError as exc:
                _logger.debug("creator of an idle guild not told: %s", exc)

    async def _on_announce(self, message: Message) -> None:
        if not self._would_join(message):
            return
        announcement = parse(pb.Announce(), message.body)
        guild_id = parse_id(announcement.guild_id)
        if guild_id in self._parts.joining or guild_id in self._parts.book:
            return
        joined = self._parts.joining[guild_id] = trio.Event()
        try:
            await self.make_room(0)
            with self._parts.tracer.trace_join_guild(guild_id, creator=message.author):
                await self._dial(message, announcement)
                await self._join(guild_id, announcement)
        finally:
            del self._parts.joining[guild_id]
            joined.set()

    async def _dial(self, message: Message, announcement: pb.Announce) -> None:
        """Connect to the creator at an address that it has announced just now."""
        creator = message.author
        if creator in self._parts.peers.connected():
            return
        age_ns = self._parts.clock.wall_ns() - message.sent_unix_ns
        if age_ns > ANNOUNCEMENT_FRESH_S * NS_PER_S:
            raise PeerUnreachableError(f"{creator}'s announcement is too old to dial")
        own = [a for a in announcement.addresses if a.endswith(f"/p2p/{creator}")]
        for address in own[:MAX_DIALS]:
            self._dials.charge(creator)
            try:
                await self._parts.peers.connect(address)
            except (PeerUnreachableError, ValueError) as exc:
                _logger.debug("creator %s not at %s: %s", creator, address, exc)
            else:
                return
        raise PeerUnreachableError(f"{creator} is at none of its announced addresses")

    async def _join(self, guild_id: GuildId, announcement: pb.Announce) -> None:
        # Before the request: the creator may send to the guild as soon as it knows.
        await self._parts.peers.subscribe(topic_of(guild_id))
        try:
            guild = await self._ask_to_join(guild_id, announcement)
        except ZeroStateError:
            await self._parts.peers.unsubscribe(topic_of(guild_id))
            raise
        self._parts.book.add(guild)
        self._heart.start(guild)

    async def _ask_to_join(self, guild_id: GuildId, announcement: pb.Announce) -> Guild:
        parts, creator = self._parts, PeerId(announcement.creator)
        key = new_member_key()
        body = pb.Join(guild_id=guild_id, request=self._request(guild_id, creator, key))
        reply = await parts.peers.request(
            creator, "guild_join", body.SerializeToString()
        )
        joined = parse(pb.Joined(), reply)
        log = GuildLog(guild_id, creator)
        for entry in joined.log:
            log.append(entry)
            # Two signatures each: a long log must not hold up everybody else.
            await trio.lowlevel.checkpoint()
        if log.expires_unix_ns != announcement.expires_unix_ns:
            raise GuildError(f"{guild_id} lasts for another time than was announced")
        member = log.membership.find(self._me)
        if member is None or member.public_key != key.public:
            raise GuildError(
                f"{creator} answered, but did not enter us into {guild_id}"
            )
        guild = Guild(
            log,
            self._pace_s(announcement.heartbeat_ms),
            member_key=key,
        )
        secret = unwrap_key(
            joined.wrapped_key, guild_id=guild_id, me=self._me, member_key=key
        )
        now_ns = parts.clock.monotonic_ns()
        guild.ring.add(secret, now_ns=now_ns)
        guild.heard_ns[creator] = now_ns
        guild.used_ns = now_ns
        return guild

    def _request(self, guild_id: GuildId, creator: PeerId, key: MemberKey) -> bytes:
        config = self._parts.config
        return sign_join(
            self._parts.identity,
            JoinRequest(
                guild_id=guild_id,
                creator=creator,
                public_key=key.public,
                capabilities=config.capabilities,
                observer=config.observes,
                price_base=config.price_base,
                price_per_gigafuel=config.price_per_gigafuel,
                at_unix_ns=self._parts.clock.wall_ns(),
            ),
        )

    def _pace_s(self, announced_ms: int) -> float:
        """Return the interval of our heartbeats: the creator's, within reason."""
        own_s = self._parts.config.heartbeat_interval_s
        if not announced_ms:
            return own_s
        return min(own_s, max(announced_ms / 1000, MIN_HEARTBEAT_INTERVAL_S))

    async def leave(self, guild: Guild) -> None:
        """See `zerostate.guild.service.GuildService.leave`."""
        if guild.creator == self._me:
            raise GuildRoleError("who created a guild does not leave it; dissolve it")
        guild_id, creator = guild.guild_id, guild.creator
        join_sha256 = guild.log.join_sha256(self._me) or ""
        body = pb.Leave(
            guild_id=guild_id,
            request=sign_leave(
                self._parts.identity, guild_id=guild_id, join_sha256=join_sha256
            ),
        )
        with self._parts.tracer.trace_leave_guild(guild_id, member=self._me):
            self._parts.end(guild, "left")
            await self._parts.peers.request(
                creator, "guild_leave", body.SerializeToString()
            )
