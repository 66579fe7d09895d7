"""Guilds of one peer: the way in for the layers above.

The parts behind it: `creating` (the creator's side), `joining` and `liveness` (the
member's), `messaging`. What a guild is, is in `log` and `membership`.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final, final

import trio

from zerostate.clock import Clock
from zerostate.errors import GuildNotFoundError
from zerostate.evidence.identity import Identity
from zerostate.guild.book import GuildBook
from zerostate.guild.config import MAX_TTL_S, GuildConfig
from zerostate.guild.creating import Founder
from zerostate.guild.joining import Joiner
from zerostate.guild.liveness import Heart
from zerostate.guild.membership import Membership
from zerostate.guild.messaging import GuildContinues, GuildHandler, Messenger
from zerostate.guild.parts import ANNOUNCE_TOPIC, Parts
from zerostate.guild.tracing import GuildTracer
from zerostate.guild.views import GuildView, view_ended, view_open
from zerostate.ids import GuildId, PeerId
from zerostate.p2p import PeerNode, Published
from zerostate.p2p.tasks import open_background
from zerostate.units import NS_PER_S

SWEEP_INTERVAL_S: Final = 30.0
"""Longest time between two looks for guilds whose time is over, in seconds: the wall
clock may be set meanwhile."""

MIN_SWEEP_S: Final = 0.05
"""Least time between two such looks, in seconds."""


@final
class GuildService:
    """This peer's guilds. Made by `open_guilds`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._me = parts.identity.peer_id
        self._heart = Heart(parts)
        self._founder = Founder(parts)
        self._joiner = Joiner(parts, self._heart)
        self._messenger = Messenger(parts, self._heart)

    async def create(
        self,
        *,
        wanted: tuple[str, ...],
        members: int,
        ttl_s: float | None = None,
        max_members: int | None = None,
        timeout_s: float = 10.0,
        needs: tuple[str, ...] = (),
    ) -> Membership:
        """Announce a guild and wait until enough have joined.

        Peers join by themselves if they offer something that is wanted. If too few have
        after some seconds, those that the DHT lists for it are dialled, so that they
        hear the next announcement. Each join gives the guild a new key.

        Args:
            wanted: Capabilities of which each member must offer one.
            members: How many must join, neither the creator nor observers counted.
            ttl_s: Life of the guild, in seconds; None takes the configuration's. Then
                it ends for every member by that member's own clock.
            max_members: Most members, the creator included; None: as many as are waited
                for, within the configuration's limit. With more, later joins go on.
            timeout_s: Longest wait, in seconds.
            needs: Capabilities of which one member must offer all. The last place is
                kept for such a one, however many others come first.

        Returns:
            The membership at the moment at which enough had joined.

        Raises:
            ValueError: `members`, `max_members` or `ttl_s` is out of bounds.
            OverloadedError: This peer takes part in ``max_guilds`` guilds already, and
                none of them is idle.
            GuildNotFormedError: Fewer than `members` joined in time, or none that has
                what is needed; the guild is dissolved again.
            GuildEndedError: It was dissolved meanwhile.

        Cancellation: The guild is dissolved again.
        """
        config = self._parts.config
        life_s = config.ttl_s if ttl_s is None else ttl_s
        if not 0 < life_s <= MAX_TTL_S:
            raise ValueError(f"ttl_s is {life_s}; it is above 0, up to {MAX_TTL_S:g}")
        if max_members is None and members >= config.max_members:
            raise ValueError(
                f"members is {members}; a guild of this peer has at most"
                f" {config.max_members} members, the creator included"
            )
        await self._joiner.make_room()
        return await self._founder.create(
            wanted=wanted,
            members=members,
            ttl_s=life_s,
            max_members=members + 1 if max_members is None else max_members,
            timeout_s=timeout_s,
            needs=needs,
        )

    async def leave(self, guild_id: GuildId) -> None:
        """Leave a guild of another's. It is over here at once, whatever happens then.

        Raises:
            GuildNotFoundError: This peer does not belong to it, or it has ended.
            GuildRoleError: It is this peer's own: `dissolve` it.
            P2PError: The creator could not be told; it evicts us after two heartbeats.
        """
        await self._joiner.leave(self._parts.book.find(guild_id))

    async def dissolve(self, guild_id: GuildId) -> None:
        """End a guild of our own, and tell its members.

        Members are told by gossip. One that misses it learns it at its next heartbeat.

        Raises:
            GuildNotFoundError: There is no such guild here, or it has ended.
            GuildError: Somebody else created it: `leave` it.
        """
        await self._founder.dissolve(self._parts.own(guild_id))

    def dissolve_soon(self, guild_id: GuildId) -> None:
        """Do as `dissolve`, in the background; does nothing if there is no such guild.

        Raises:
            GuildError: Somebody else created it.
        """
        try:
            guild = self._parts.own(guild_id)
        except GuildNotFoundError:
            return
        self._founder.dissolve_soon(guild, "requested")

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

        The message is sealed for the members and goes by gossip; without a confirmation
        in time, the same message (same id, so the receiver acts on it once) also goes on
        a direct stream.

        Args:
            guild_id: A guild that both belong to.
            to: The member.
            message_type: A registered type.
            body: Its body.
            confirmed: Set by whoever sees the member's confirmation.

        Raises:
            GuildNotFoundError: This peer does not belong to it; nothing was sent.
            NotAMemberError: `to` does not belong to the guild; nothing was sent.
            GuildRoleError: One of the two is an observer; nothing was sent.
            GuildEndedError: The guild ended before the member confirmed.
            PeerLostError: The member went away before it confirmed.
            RequestTimeoutError: It did not confirm; it may or may not have acted.
        """
        await self._messenger.send(guild_id, to, message_type, body, confirmed)

    async def broadcast(
        self, guild_id: GuildId, message_type: str, body: bytes
    ) -> Published:
        """Send to all other members at once; delivery is best effort.

        Returns:
            What was handed to the mesh. To send it once more to one member, who acts on
            it once, use `zerostate.p2p.PeerNode.deliver_direct`.

        Raises:
            GuildNotFoundError: This peer does not belong to it; nothing was sent.
            GuildRoleError: This peer observes it; nothing was sent.
            GuildError: It has no other members; nothing was sent.
            P2PError: It could not be handed to the mesh.
        """
        return await self._messenger.broadcast(guild_id, message_type, body)

    def on_message(
        self,
        message_type: str,
        handler: GuildHandler,
        *,
        continues: GuildContinues = lambda _guild_id, _message: True,
    ) -> None:
        """Have `handler` act on each message of `message_type` that a member sends.

        It gets the message opened: body, tracestate and baggage as the member gave them,
        and these are current inside. Refused, counted and logged are messages of who is
        no member, of observers, tasks for observers, and what no key of the guild opens;
        a key that is on its way is waited for, and with it the news of who has joined.

        Args:
            message_type: A registered type.
            handler: Acts on it.
            continues: Whether the opened message goes on with its author's trace; if
                not, there is a link. Not asked about a message whose key is still on
                its way. Must be quick.
        """
        self._messenger.on_message(message_type, handler, continues)

    def membership(self, guild_id: GuildId) -> Membership:
        """Return who belongs to the guild, as far as this peer knows.

        Raises:
            GuildNotFoundError: This peer does not belong to it, or it has ended.
        """
        return self._parts.book.find(guild_id).membership

    def list(self) -> tuple[GuildView, ...]:
        """Return the open guilds, the oldest first, then the last ended ones."""
        parts = self._parts
        now = [view_open(guild, self._me, parts.clock) for guild in parts.book.guilds()]
        past = [view_ended(ended, self._me) for ended in parts.book.ended()]
        return (*now, *past)

    def show(self, guild_id: GuildId) -> GuildView:
        """Return what this peer knows of one guild, open or recently ended.

        Raises:
            GuildNotFoundError: It knows nothing of it.
        """
        parts = self._parts
        try:
            guild = parts.book.find(guild_id)
        except GuildNotFoundError:
            return view_ended(parts.book.find_ended(guild_id), self._me)
        return view_open(guild, self._me, parts.clock)

    async def wait_changed(
        self, guild_id: GuildId, *, version: int | None = None
    ) -> GuildView:
        """Return when members or key of the guild change, or it ends.

        Args:
            guild_id: Which guild.
            version: Of the last view; if there is a newer one, or the guild has ended,
                that is returned at once, so that nothing goes unnoticed between calls.

        Raises:
            GuildNotFoundError: This peer knows nothing of it.
        """
        view = self.show(guild_id)
        if view.state == "open" and version in (None, view.version):
            await self._parts.book.find(guild_id).changed.wait()
        return self.show(guild_id)

    @contextmanager
    def at_work_for(self, guild_id: GuildId) -> Iterator[None]:
        """Keep this peer from leaving a guild as idle inside the block.

        Raises:
            GuildNotFoundError: This peer does not belong to it, or it has ended.
        """
        guild = self._parts.book.find(guild_id)
        guild.at_work += 1
        try:
            yield
        finally:
            guild.at_work -= 1
            guild.used_ns = self._parts.clock.monotonic_ns()

    def is_member_of_a_guild(self, peer_id: PeerId) -> bool:
        """Whether `peer_id` shares a guild with this peer."""
        return self._parts.book.has_member(peer_id)

    def stats(self) -> Mapping[str, int]:
        """Return what was counted so far; a name that never happened is absent.

        ``guild.refused.<code>`` (and ``.<reason>``), ``guild.ended.<reason>``,
        ``guild.evicted``, ``guild.evictions.failed``, ``guild.catch_ups``,
        ``guild.creators.gone`` (for longer or shorter), ``guild.searches`` and
        ``guild.searches.failed``, ``guild.heartbeats.answered|failed``,
        ``guild.updates.unsent|unconfirmed``, ``guild.errors``.
        """
        return dict(self._parts.counts)

    def end_expired(self) -> None:
        """End the guilds whose time is over; their keys are cleared at once."""
        for guild in self._parts.book.expired():
            if guild.creator == self._me:
                self._founder.dissolve_soon(guild, "expired")
            else:
                self._parts.end(guild, "expired")

    async def sweep(self) -> None:
        """Call `end_expired` as each guild's time is over, until cancelled."""
        book = self._parts.book
        while True:
            self.end_expired()
            left_s = SWEEP_INTERVAL_S
            if (expiry_unix_ns := book.next_expiry_unix_ns()) is not None:
                left_s = (expiry_unix_ns - self._parts.clock.wall_ns()) / NS_PER_S
            with trio.move_on_after(min(SWEEP_INTERVAL_S, max(MIN_SWEEP_S, left_s))):
                await book.added.wait()


@asynccontextmanager
async def open_guilds(
    peers: PeerNode,
    config: GuildConfig,
    *,
    identity: Identity,
    tracer: GuildTracer,
    clock: Clock,
) -> AsyncIterator[GuildService]:
    """Take part in guilds until the block is left; then all that runs for them stops.

    Args:
        peers: This peer on the network.
        config: What it offers, and its limits.
        identity: Its key, which signs what it asks for and decides.
        tracer: Opens the layer's spans.
        clock: Tells when guilds expire and members are silent.
    """
    async with open_background() as nursery:
        parts = Parts(peers, identity, config, tracer, clock, nursery, GuildBook(clock))
        service = GuildService(parts)
        await peers.subscribe(ANNOUNCE_TOPIC)
        nursery.start_soon(service.sweep)
        try:
            yield service
        finally:
            parts.closing.set()
