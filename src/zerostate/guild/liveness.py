"""A member's link to its guild's creator: heartbeats, updates, and what was missed."""

import logging
from collections.abc import Sequence
from typing import Final, final

import trio

from zerostate.errors import (
    GuildError,
    GuildLogError,
    GuildNotFoundError,
    NotAMemberError,
    OldEpochError,
    PeerLostError,
    PeerUnreachableError,
    RemoteError,
    RequestTimeoutError,
    ZeroStateError,
)
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.bodies import guild_of, parse, wrapped_for
from zerostate.guild.book import EndReason, Guild
from zerostate.guild.keys import unwrap_key
from zerostate.guild.log import MAX_SINCE_BYTES
from zerostate.guild.parts import Parts
from zerostate.ids import PeerId
from zerostate.p2p import Message
from zerostate.units import NS_PER_S

MAX_FAILED_HEARTBEATS: Final = 2
"""Heartbeats in a row that the creator may leave unanswered before it counts as lost."""

AWAY_AT_WORK_S: Final = 3.0
"""Longest that the creator may be gone while this peer works for it, in seconds: what is
worked meanwhile may be for nobody. Without work, `MAX_FAILED_HEARTBEATS` alone says."""

RETURN_POLL_S: Final = 0.25
"""Between two looks whether a creator that is gone is back, in seconds."""

CATCH_UP_PAUSE_S: Final = 1.0
"""Least time between two requests for what was missed, in seconds: anybody can send us
what looks sealed with a key that we do not have."""

MAX_PAGES: Final = 64
"""Answers read at once while catching up: more than the longest log has."""

MAX_ANSWER_BYTES: Final = 2 * MAX_SINCE_BYTES
"""Longest answer to a heartbeat that is looked into, in bytes: twice the entries that a
creator sends at once. To check them takes up to 0.5 s, in which nobody else is answered."""

_ENDS: Final[dict[str, EndReason]] = {
    GuildNotFoundError.code: "dissolved",
    NotAMemberError.code: "evicted",
}
"""What the creator's refusal of a heartbeat says of the guild."""

_TWO_STORIES: Final = frozenset({"fork", "chain"})
"""Refusals of an entry that its creator signed, and that contradicts what we hold, which
it signed too. Another's signature proves nothing of it."""

_SILENCE: Final = (PeerLostError, PeerUnreachableError, RequestTimeoutError)

_logger: Final = logging.getLogger("zerostate.guild")


@final
class Heart:
    """Keeps this peer a member of the guilds that it has joined."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._me = parts.identity.peer_id
        for message_type in ("guild_update", "guild_dissolve"):
            parts.peers.on_gossip(
                message_type,
                parts.counted(self._on_update),
                continues=self._is_from_creator,
            )

    def start(self, guild: Guild) -> None:
        """Send heartbeats and watch the creator until the guild ends here."""
        self._parts.spawn_clean(self._live, guild)

    async def catch_up(self, guild: Guild) -> None:
        """Ask the creator for what this peer has missed, unless that was just done.

        Raises:
            P2PError: The creator did not answer.
            GuildError: Its answer makes no sense.
        """
        async with guild.catching_up:
            now_ns = self._parts.clock.monotonic_ns()
            last_ns = guild.caught_up_ns
            if last_ns is not None and now_ns - last_ns < CATCH_UP_PAUSE_S * NS_PER_S:
                return
            guild.caught_up_ns = now_ns
            self._parts.counts["guild.catch_ups"] += 1
            for _ in range(MAX_PAGES):
                known = guild.log.version
                await self._beat(guild)
                # A long log comes in parts; the newest key comes with the first.
                is_all = guild.log.version == known or guild.log.epoch >= guild.epoch
                if is_all or guild.end_reason is not None:
                    return

    def _is_from_creator(self, message: Message) -> bool:
        try:
            guild_id = guild_of(message)
            return (
                guild_id in self._parts.joining
                or self._parts.book.find(guild_id).creator == message.author
            )
        except ZeroStateError:
            return False

    async def _on_update(self, message: Message) -> None:
        guild_id = guild_of(message)
        await self._parts.until_joined(guild_id)
        guild = self._parts.book.find(guild_id)
        if message.author != guild.creator:
            raise GuildLogError("signer", f"{message.author} did not create {guild_id}")
        update = parse(pb.Update(), message.body)
        try:
            self._apply(guild, update.log, wrapped_for(self._me, update))
        except GuildLogError as exc:
            if exc.reason != "gap":
                raise
            _logger.info("missed a part of %s: %s", guild_id, exc)
            await self.catch_up(guild)

    def _apply(
        self, guild: Guild, entries: Sequence[bytes], wrapped_key: bytes
    ) -> None:
        """Take what the creator has sent; entries that are held already change nothing.

        Raises:
            GuildError: One does not continue the log, or the key is not for us; what
                came before it was taken. One that proves that the creator tells
                different members different things has ended the guild here.
        """
        if guild.end_reason is not None:
            return
        try:
            for entry in entries:
                self._append(guild, entry)
            if wrapped_key and not guild.log.dissolved:
                self._take_key(guild, wrapped_key)
        finally:
            guild.wake()
            if guild.membership.find(self._me) is None:
                self._parts.end(guild, "evicted")
            elif guild.log.dissolved:
                self._parts.end(guild, "dissolved")

    def _append(self, guild: Guild, entry: bytes) -> None:
        try:
            guild.log.append(entry)
        except GuildLogError as exc:
            if exc.reason in _TWO_STORIES:
                _logger.warning("%s tells two stories: %s", guild.creator, exc)
                self._parts.end(guild, "forked")
            if exc.reason != "known":
                raise

    def _take_key(self, guild: Guild, wrapped_key: bytes) -> None:
        if guild.member_key is None:
            return
        key = unwrap_key(
            wrapped_key,
            guild_id=guild.guild_id,
            me=self._me,
            member_key=guild.member_key,
        )
        try:
            guild.ring.add(key, now_ns=self._parts.clock.monotonic_ns())
        except OldEpochError:
            # An update that was overtaken by a later one.
            key.clear()

    async def _live(self, guild: Guild) -> None:
        creator = guild.creator
        try:
            with guild.loops:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch, guild, creator)
                    await self._beats(guild)
        except Exception:
            self._parts.counts["guild.errors"] += 1
            _logger.exception("a guild cannot be kept up: %s", guild.guild_id)
            self._parts.end(guild, "creator_lost")

    async def _watch(self, guild: Guild, creator: PeerId) -> None:
        """Beat as soon as a creator that was gone is back; work does not wait long."""
        while True:
            await self._parts.peers.wait_lost(creator)
            self._parts.counts["guild.creators.gone"] += 1
            _logger.warning("%s, who created %s, is gone", creator, guild.guild_id)
            await self._until_back(guild, creator)
            await self._try_beat(guild)

    async def _until_back(self, guild: Guild, creator: PeerId) -> None:
        gone_s = trio.current_time()
        while creator not in self._parts.peers.connected():
            if guild.at_work and trio.current_time() - gone_s >= AWAY_AT_WORK_S:
                self._parts.end(guild, "creator_lost")
            await trio.sleep(RETURN_POLL_S)

    async def _beats(self, guild: Guild) -> None:
        while True:
            await trio.sleep(guild.heartbeat_interval_s)
            await self._try_beat(guild)
            if guild.unanswered >= MAX_FAILED_HEARTBEATS:
                self._parts.end(guild, "creator_lost")

    async def _try_beat(self, guild: Guild) -> None:
        try:
            await self._beat(guild)
        except _SILENCE as exc:
            guild.unanswered += 1
            _logger.warning("no heartbeat with %s: %s", guild.creator, exc)
        except ZeroStateError as exc:
            guild.unanswered = 0
            _logger.warning("heartbeat in %s: %s", guild.guild_id, exc)
        else:
            guild.unanswered = 0

    async def _beat(self, guild: Guild) -> None:
        """Tell the creator that we live, and take what it answers.

        Raises:
            P2PError: No answer, or a refusal; one that ends the guild has done so.
            GuildError: The answer makes no sense.
        """
        guild_id, creator = guild.guild_id, guild.creator
        body = pb.Heartbeat(
            guild_id=guild_id, version=guild.log.version, epoch=guild.epoch
        )
        try:
            with self._parts.tracer.trace_heartbeat(
                guild_id, creator=creator, guild=guild.entered
            ):
                reply = await self._parts.peers.request(
                    creator, "guild_heartbeat", body.SerializeToString()
                )
                if len(reply) > MAX_ANSWER_BYTES:
                    raise GuildError(f"{len(reply)} bytes answer a heartbeat")
                answer = parse(pb.HeartbeatReply(), reply)
                self._apply(guild, answer.log, answer.wrapped_key)
        except RemoteError as exc:
            self._parts.counts["guild.heartbeats.failed"] += 1
            if exc.remote_code in _ENDS:
                self._parts.end(guild, _ENDS[exc.remote_code])
            raise
        except ZeroStateError:
            self._parts.counts["guild.heartbeats.failed"] += 1
            raise
        self._parts.counts["guild.heartbeats.answered"] += 1
        guild.heard_ns[creator] = self._parts.clock.monotonic_ns()
