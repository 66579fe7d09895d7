"""What the parts of the guild service share."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar, TypeVarTuple

import trio

from zerostate.clock import Clock
from zerostate.errors import GuildError, OverloadedError, WireError, ZeroStateError
from zerostate.evidence.identity import Identity
from zerostate.guild.book import EndReason, Guild, GuildBook
from zerostate.guild.config import GuildConfig
from zerostate.guild.tracing import GuildTracer, LeaveReason
from zerostate.ids import GuildId
from zerostate.p2p import Message, PeerNode
from zerostate.p2p.tasks import start_clean

ANNOUNCE_TOPIC: Final = "zerostate/guilds/1"
"""Topic on which guilds are announced to everybody."""

MIN_HEARTBEAT_INTERVAL_S: Final = 1.0
"""Fastest pace of heartbeats that a creator can set for its members, in seconds:
announcements come from anybody."""

_logger: Final = logging.getLogger("zerostate.guild")

_Result = TypeVar("_Result")
_Args = TypeVarTuple("_Args")

_TOLD_REASONS: Final[dict[EndReason, LeaveReason]] = {
    "evicted": "evicted",
    "expired": "expired",
    "creator_lost": "creator_lost",
    "forked": "forked",
}
"""Ends of another's guild for which this peer opens a span: nothing else tells of
them. That a guild was dissolved, or that we left, has its span already."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Surroundings, and the state that all parts look at."""

    peers: PeerNode
    identity: Identity
    config: GuildConfig
    tracer: GuildTracer
    clock: Clock
    nursery: trio.Nursery
    book: GuildBook
    counts: Counter[str] = field(default_factory=Counter)

    joining: dict[GuildId, trio.Event] = field(default_factory=dict)
    """Guilds to which our request to join is under way."""

    closing: trio.Event = field(default_factory=trio.Event)
    """Set when the guild service stops; handlers of the last messages may go on."""

    def spawn(self, run: Callable[[*_Args], Awaitable[object]], *args: *_Args) -> None:
        """Start ``run(*args)`` as a part of what goes on, unless the service stops."""
        if not self.closing.is_set():
            self.nursery.start_soon(self._guard, run, *args)

    def spawn_clean(
        self, run: Callable[[*_Args], Awaitable[object]], *args: *_Args
    ) -> None:
        """Start ``run(*args)`` apart from what goes on, unless the service stops."""
        if not self.closing.is_set():
            start_clean(self.nursery, self._guard, run, *args)

    async def _guard(
        self, run: Callable[[*_Args], Awaitable[object]], *args: *_Args
    ) -> None:
        try:
            await run(*args)
        except Exception:
            self.counts["guild.errors"] += 1
            _logger.exception("%s failed", getattr(run, "__qualname__", run))

    async def until_joined(self, guild_id: GuildId) -> None:
        """Wait for the answer to our join, which the guild's messages may overtake."""
        joined = self.joining.get(guild_id)
        if joined is not None:
            await joined.wait()

    def own(self, guild_id: GuildId) -> Guild:
        """Return a guild that this peer has created.

        Raises:
            GuildNotFoundError: There is none with that id.
            GuildError: Somebody else created it.
        """
        guild = self.book.find(guild_id)
        if guild.creator != self.identity.peer_id:
            raise GuildError(
                f"only {guild.creator}, its creator, decides in {guild_id}"
            )
        return guild

    def end(self, guild: Guild, reason: EndReason) -> None:
        """Let a guild be over for this peer; does nothing if it is.

        At once: it is unknown, its keys are cleared, its loops cancelled, and whoever
        waits in it is told. In the background its topic is left.
        """
        if not self.book.end(guild, reason):
            return
        self.counts[f"guild.ended.{reason}"] += 1
        _logger.info("guild %s is over: %s", guild.guild_id, reason)
        self.spawn_clean(self._go, guild, reason)

    async def _go(self, guild: Guild, reason: EndReason) -> None:
        me = self.identity.peer_id
        told = _TOLD_REASONS.get(reason)
        if guild.creator == me or told is None:
            await self.peers.unsubscribe(topic_of(guild.guild_id))
            return
        with self.tracer.trace_leave_guild(
            guild.guild_id, told, member=me, guild=guild.entered
        ):
            await self.peers.unsubscribe(topic_of(guild.guild_id))

    def counted(
        self, handler: Callable[[Message], Awaitable[_Result]]
    ) -> Callable[[Message], Awaitable[_Result]]:
        """Return `handler`, with its refusals counted by their code."""

        async def run(message: Message) -> _Result:
            try:
                return await handler(message)
            except (GuildError, OverloadedError, WireError) as exc:
                self.refuse(exc)
                raise

        return run

    def refuse(self, refusal: ZeroStateError) -> None:
        """Count a refusal, as ``guild.refused.<code>`` and with its reason, if any."""
        self.counts[f"guild.refused.{refusal.code}"] += 1
        reason = getattr(refusal, "reason", "")
        if reason:
            self.counts[f"guild.refused.{refusal.code}.{reason}"] += 1


def topic_of(guild_id: GuildId) -> str:
    """Return the gossip topic of a guild."""
    return f"zerostate/guild/1/{guild_id}"
