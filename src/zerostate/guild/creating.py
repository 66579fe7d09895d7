"""The creator's side: a guild's forming, its members, its keys, its end."""

import logging
from collections.abc import Sequence
from typing import Final, final

import trio

from zerostate.errors import (
    GuildError,
    GuildFullError,
    NotAMemberError,
    OverloadedError,
)
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.bodies import parse, parse_id
from zerostate.guild.book import EndReason, Guild
from zerostate.guild.budget import RequestBudget
from zerostate.guild.forming import Former
from zerostate.guild.keys import new_epoch_key, wrap_key
from zerostate.guild.log import GuildLog
from zerostate.guild.membership import Member, Membership
from zerostate.guild.parts import (
    MIN_HEARTBEAT_INTERVAL_S,
    Parts,
    topic_of,
)
from zerostate.guild.requests import SignedJoin, open_join, open_leave
from zerostate.guild.telling import Teller
from zerostate.guild.tracing import DissolveReason
from zerostate.guild.transitions import (
    MAX_MEMBERS,
    Kind,
    found,
    sign_transition,
)
from zerostate.ids import GuildId, PeerId, new_guild_id
from zerostate.p2p import Message
from zerostate.units import NS_PER_S

RETURN_RATE_PER_S: Final = 0.1
"""Times a second that one peer may ask to join a guild in which it is or was, in the long
run: each time it is sent the whole log, and if it comes anew, everybody else gets a new
key and one of the guild's joins is used up."""

RETURN_BURST: Final = 4.0
"""Times that one peer may do so at once."""

MAX_LOG_BYTES: Final = 8 << 20
"""Most of a guild's log that a joiner is sent at once, in bytes: half of what a direct
message may hold. A log of 4,000 entries has some 2 MB; see `RETURN_RATE_PER_S`."""

MISSED_HEARTBEATS: Final = 2
"""Heartbeats that a member may miss before it is evicted."""

MAX_LATENESS_S: Final = 5.0
"""How late a heartbeat may come and is not missed, in seconds; half of the interval if
that is less."""

_logger: Final = logging.getLogger("zerostate.guild")


@final
class Founder:
    """The guilds that this peer creates."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._me = parts.identity.peer_id
        self._teller = Teller(parts)
        self._former: Final = Former(parts)
        self._joins = RequestBudget(parts.clock, "joins")
        self._returns = RequestBudget(
            parts.clock, "joins anew", rate_per_s=RETURN_RATE_PER_S, burst=RETURN_BURST
        )
        self._leaves = RequestBudget(parts.clock, "leaves")
        self._heartbeats = RequestBudget(parts.clock, "heartbeats")
        peers = parts.peers
        peers.handle("guild_join", parts.counted(self._on_join))
        peers.handle("guild_leave", parts.counted(self._on_leave))
        peers.handle("guild_heartbeat", parts.counted(self._on_heartbeat))

    async def create(
        self,
        *,
        wanted: tuple[str, ...],
        members: int,
        ttl_s: float,
        max_members: int,
        timeout_s: float,
        needs: tuple[str, ...] = (),
    ) -> Membership:
        """See `zerostate.guild.service.GuildService.create`."""
        if not members < max_members <= MAX_MEMBERS:
            raise ValueError(
                f"max_members is {max_members}; it is above members ({members}, the"
                f" creator not counted) and at most {MAX_MEMBERS}"
            )
        if len(self._parts.book) >= self._parts.config.max_guilds:
            raise OverloadedError(
                f"this peer takes part in {len(self._parts.book)} guilds already"
            )
        guild_id = new_guild_id()
        tracer = self._parts.tracer
        with tracer.trace_create_guild(
            guild_id, wanted=wanted, max_members=max_members
        ):
            guild = self._found(guild_id, max_members, ttl_s)
            guild.forming = tracer.here()
            is_formed = False
            try:
                await self._parts.peers.subscribe(topic_of(guild_id))
                guild.wanted, guild.needed, guild.needs = wanted, members, needs
                await self._former.form(guild, timeout_s)
                is_formed = True
            finally:
                guild.forming = None
                if not is_formed:
                    self.dissolve_soon(guild, "not_formed")
            return guild.membership

    def _found(self, guild_id: GuildId, max_members: int, ttl_s: float) -> Guild:
        parts = self._parts
        now_ns = parts.clock.wall_ns()
        founding = found(
            guild_id,
            self._me,
            max_members=max_members,
            expires_unix_ns=now_ns + round(ttl_s * NS_PER_S),
            at_unix_ns=now_ns,
        )
        log = GuildLog(guild_id, self._me)
        log.append(sign_transition(parts.identity, founding))
        pace_s = max(parts.config.heartbeat_interval_s, MIN_HEARTBEAT_INTERVAL_S)
        guild = Guild(log, pace_s)
        guild.ring.add(new_epoch_key(log.epoch), now_ns=parts.clock.monotonic_ns())
        parts.book.add(guild)
        parts.spawn_clean(self._look_after, guild)
        return guild

    # What members ask

    async def _on_join(self, message: Message) -> bytes:
        self._joins.charge(message.author)
        body = parse(pb.Join(), message.body)
        guild = self._parts.own(parse_id(body.guild_id))
        asked = open_join(body.request)
        if asked.subject != message.author or asked.request.guild_id != guild.guild_id:
            raise GuildError("the request to join is another peer's or guild's")
        if guild.log.has_joined(message.author):
            self._returns.charge(message.author)
        if guild.membership.find(message.author) == asked.member:
            wrapped_key = self._wrap(guild, asked.member)
        else:
            wrapped_key = self._take_in(guild, asked, body.request)
        guild.heard_ns[message.author] = self._parts.clock.monotonic_ns()
        return pb.Joined(
            log=guild.log.since(0, limit_bytes=MAX_LOG_BYTES), wrapped_key=wrapped_key
        ).SerializeToString()

    def _take_in(self, guild: Guild, asked: SignedJoin, evidence: bytes) -> bytes:
        """Enter a new member, or one that has lost its key, under a new epoch.

        Returns:
            The new epoch's key, wrapped to the member.
        """
        member = asked.member
        is_back = guild.membership.find(member.peer_id) is not None
        self._check_fits(guild, member, is_back=is_back)
        at_unix_ns = self._parts.clock.wall_ns()
        # Before anything is signed: nobody is evicted for a join that is refused.
        guild.log.check_join(asked, at_unix_ns=at_unix_ns)
        others = [m for m in self._others(guild) if m.peer_id != member.peer_id]
        with self._parts.tracer.trace_key_exchange(
            guild.guild_id,
            member.peer_id,
            epoch=guild.log.epoch + 1 + is_back,
            recipients=len(others) + 1,
            forming=guild.forming,
        ):
            entries: list[bytes] = []
            if is_back:
                gone = self._append(guild, "evict", at_unix_ns, subject=member.peer_id)
                entries.append(gone)
            entries.append(self._append(guild, "join", at_unix_ns, evidence=evidence))
            self._tell(guild, entries, others)
            return self._wrap(guild, member)

    def _check_fits(self, guild: Guild, member: Member, *, is_back: bool) -> None:
        """Check that the guild has a use for a member, and room.

        An observer takes none of the last places that the guild forms with; and the
        very last is kept for who meets the guild's needs, until somebody does.
        """
        is_observer = member.role == "observer"
        if not is_observer and not set(member.capabilities) & set(guild.wanted):
            raise GuildError(f"{guild.guild_id} wants one of {', '.join(guild.wanted)}")
        free = guild.log.max_members - len(guild.membership.members) + is_back
        kept = max(0, guild.needed - len(guild.workers)) if is_observer else 0
        if not (guild.has_needs() or guild.meets_needs(member)):
            kept = max(kept, 1)
        if free <= kept:
            raise GuildFullError(
                f"{guild.guild_id} has its {guild.log.max_members} members, or keeps"
                " the last places for who works"
            )

    async def _on_leave(self, message: Message) -> bytes:
        body = parse(pb.Leave(), message.body)
        guild = self._parts.own(parse_id(body.guild_id))
        self._require_member(guild, message.author)
        self._leaves.charge(message.author)
        if open_leave(body.request).subject != message.author:
            raise GuildError("the request to leave is another peer's")
        self._strike_off(guild, "leave", evidence=body.request)
        return b""

    async def _on_heartbeat(self, message: Message) -> bytes:
        body = parse(pb.Heartbeat(), message.body)
        guild = self._parts.own(parse_id(body.guild_id))
        member = self._require_member(guild, message.author)
        self._heartbeats.charge(message.author)
        guild.heard_ns[member.peer_id] = self._parts.clock.monotonic_ns()
        needs_key = body.epoch < guild.epoch
        return pb.HeartbeatReply(
            log=guild.log.since(body.version),
            wrapped_key=self._wrap(guild, member) if needs_key else b"",
        ).SerializeToString()

    def _require_member(self, guild: Guild, peer_id: PeerId) -> Member:
        member = guild.membership.find(peer_id)
        if member is None:
            raise NotAMemberError(f"{peer_id} is not in {guild.guild_id}")
        return member

    # What changes the guild

    def _append(
        self,
        guild: Guild,
        kind: Kind,
        at_unix_ns: int | None = None,
        *,
        subject: PeerId | None = None,
        evidence: bytes = b"",
    ) -> bytes:
        """Sign and take the next transition, with a new key if it begins an epoch.

        Its time is `at_unix_ns`, or now.

        Raises:
            GuildError: The log's rules do not allow it; nothing was changed.
        """
        parts = self._parts
        draft = guild.log.draft(
            kind,
            at_unix_ns=parts.clock.wall_ns() if at_unix_ns is None else at_unix_ns,
            subject=subject,
            evidence=evidence,
        )
        data = sign_transition(parts.identity, draft)
        guild.log.append(data)
        if kind in {"leave", "evict"}:
            guild.heard_ns.pop(draft.subject, None)
        if guild.log.epoch > guild.epoch:
            key = new_epoch_key(guild.log.epoch)
            guild.ring.add(key, now_ns=parts.clock.monotonic_ns())
        guild.wake()
        return data

    def _strike_off(
        self,
        guild: Guild,
        kind: Kind,
        *,
        subject: PeerId | None = None,
        evidence: bytes = b"",
    ) -> None:
        entry = self._append(guild, kind, subject=subject, evidence=evidence)
        others = self._others(guild)
        if not others:
            return
        with self._parts.tracer.trace_key_exchange(
            guild.guild_id, epoch=guild.epoch, recipients=len(others)
        ):
            self._tell(guild, [entry], others, is_secret=True)

    def _others(self, guild: Guild) -> list[Member]:
        return [m for m in guild.membership.members if m.peer_id != self._me]

    def _wrap(self, guild: Guild, member: Member) -> bytes:
        return wrap_key(
            guild.ring.current,
            guild_id=guild.guild_id,
            to=member.peer_id,
            member_public=member.public_key,
        )

    def _tell(
        self,
        guild: Guild,
        entries: Sequence[bytes],
        others: Sequence[Member],
        *,
        is_secret: bool = False,
    ) -> None:
        """Send transitions and the new key to members, in the background.

        Args:
            guild: Which guild.
            entries: The transitions.
            others: Who is told.
            is_secret: Somebody has gone who must not read on: nobody of `others` may
                miss it.
        """
        if not others:
            return
        keys = [
            pb.WrappedKey(peer_id=m.peer_id, wrapped_key=self._wrap(guild, m))
            for m in others
        ]
        update = pb.Update(log=entries, keys=keys)
        if is_secret:
            to = [m.peer_id for m in others]
            self._parts.spawn(self._teller.tell_surely, guild, update, to)
        else:
            self._parts.spawn(self._teller.publish, guild, "guild_update", update)

    # What ends

    async def _look_after(self, guild: Guild) -> None:
        """Evict who is silent; a guild in which nobody can be evicted ends."""
        try:
            await self._evict_silent(guild)
        except Exception:
            self._parts.counts["guild.errors"] += 1
            _logger.exception("a guild cannot be kept up: %s", guild.guild_id)
            self.dissolve_soon(guild, "failed")

    async def _evict_silent(self, guild: Guild) -> None:
        """Evict who has missed its heartbeats, until the guild ends."""
        interval_s = guild.heartbeat_interval_s
        patience_s = MISSED_HEARTBEATS * interval_s + min(
            interval_s / 2, MAX_LATENESS_S
        )
        with guild.loops:
            while True:
                now_ns = self._parts.clock.monotonic_ns()
                waits_s = [interval_s]
                for peer_id, heard_ns in list(guild.heard_ns.items()):
                    left_s = patience_s - (now_ns - heard_ns) / NS_PER_S
                    if left_s > 0:
                        waits_s.append(left_s)
                    else:
                        self._evict(guild, peer_id)
                await trio.sleep(min(waits_s))

    def _evict(self, guild: Guild, peer_id: PeerId) -> None:
        """Evict a member; if that fails, the others are looked after all the same."""
        try:
            with self._parts.tracer.trace_leave_guild(
                guild.guild_id, "evicted", member=peer_id, guild=guild.entered
            ):
                self._strike_off(guild, "evict", subject=peer_id)
        except GuildError as exc:
            guild.heard_ns.pop(peer_id, None)
            self._parts.counts["guild.evictions.failed"] += 1
            _logger.warning("%s not evicted: %s", peer_id, exc)
        else:
            self._parts.counts["guild.evicted"] += 1
            _logger.info("%s is silent; evicted from %s", peer_id, guild.guild_id)

    def dissolve_soon(self, guild: Guild, reason: DissolveReason) -> None:
        """End a guild of our own, in the background."""
        if guild.end_reason is None:
            entry = self._end(guild, reason)
            self._parts.spawn_clean(self._dissolve, guild, reason, entry)

    async def dissolve(self, guild: Guild) -> None:
        """End a guild of our own, and tell its members."""
        with self._parts.tracer.trace_dissolve_guild(guild.guild_id):
            entry = self._end(guild, "requested")
            await self._publish_end(guild, entry)

    async def _dissolve(
        self, guild: Guild, reason: DissolveReason, entry: bytes
    ) -> None:
        with self._parts.tracer.trace_dissolve_guild(
            guild.guild_id, reason, guild=guild.entered
        ):
            if reason == "expired":
                # Members tell the time themselves, and have left the topic by now.
                await self._parts.peers.unsubscribe(topic_of(guild.guild_id))
            else:
                await self._publish_end(guild, entry)

    def _end(self, guild: Guild, reason: DissolveReason) -> bytes:
        entry = self._append(guild, "dissolve")
        ending: EndReason = "expired" if reason == "expired" else "dissolved"
        self._parts.book.end(guild, ending)
        self._parts.counts[f"guild.ended.{ending}"] += 1
        return entry

    async def _publish_end(self, guild: Guild, entry: bytes) -> None:
        # Who is not told learns it from the answer to its next heartbeat, or expires.
        if guild.log.membership.members[1:]:
            await self._teller.publish(guild, "guild_dissolve", pb.Update(log=[entry]))
        await self._parts.peers.unsubscribe(topic_of(guild.guild_id))
