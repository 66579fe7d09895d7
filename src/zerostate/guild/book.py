"""The guilds that one peer takes part in, in memory, and how the last ones ended."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal, final, get_args

import trio

from zerostate.clock import Clock
from zerostate.errors import GuildEndedError, GuildNotFoundError
from zerostate.guild.keys import KeyRing, MemberKey
from zerostate.guild.log import GuildLog
from zerostate.guild.membership import Member, Membership
from zerostate.guild.tracing import ParentContext
from zerostate.ids import GuildId, PeerId
from zerostate.telemetry import TraceCarrier

EndReason = Literal["dissolved", "left", "evicted", "expired", "creator_lost", "forked"]

END_REASONS: Final[tuple[EndReason, ...]] = get_args(EndReason)
"""Why a guild is over for this peer."""

MAX_ENDED: Final = 64
"""Ended guilds that are remembered, for `GuildBook.ended`; the oldest goes first."""


@final
@dataclass(slots=True, eq=False)
class Guild:
    """One guild, as this peer sees it."""

    log: GuildLog
    heartbeat_interval_s: float
    """Between two heartbeats of each member, in seconds."""

    member_key: MemberKey | None = None
    """To which the guild's key is wrapped for us; None in a guild of our own."""

    ring: KeyRing = field(default_factory=KeyRing)
    """The guild's keys, of this epoch and for a moment the last ones."""

    heard_ns: dict[PeerId, int] = field(default_factory=dict)
    """When each was last heard of, on the monotonic clock: in a guild of our own the
    members, otherwise the creator."""

    unanswered: int = 0
    """In another's guild: our last heartbeats in a row that its creator left so."""

    used_ns: int = 0
    """When this peer joined it, or last worked for it, on the monotonic clock."""

    at_work: int = 0
    """What this peer is doing for it now; see `GuildService.at_work_for`."""

    entered: TraceCarrier = field(default_factory=TraceCarrier.inject)
    """The context in which this peer created or joined it."""

    wanted: tuple[str, ...] = ()
    """In a guild of our own: capabilities of which each worker must offer one."""

    needed: int = 0
    """In a guild of our own that forms: how many workers it waits for."""

    needs: tuple[str, ...] = ()
    """In a guild of our own that forms: what one of them must offer, all of it."""

    forming: ParentContext | None = None
    """The context of ``guild.create`` while that goes on here."""

    catching_up: trio.Lock = field(default_factory=trio.Lock)
    """Held while the creator is asked for what we have missed."""

    caught_up_ns: int | None = None
    """When it was last asked, on the monotonic clock; None: never."""

    loops: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Cancelled when the guild ends here; what runs for as long runs in it."""

    changed: trio.Event = field(default_factory=trio.Event)
    """Set, and replaced, when members or key change; set for good at the end."""

    over: trio.Event = field(default_factory=trio.Event)
    """Set when the guild has ended here."""

    end_reason: EndReason | None = None
    """Why it has ended here; None: it has not."""

    @property
    def guild_id(self) -> GuildId:
        """Which guild."""
        return self.membership.guild_id

    @property
    def membership(self) -> Membership:
        """Who belongs to it, as far as this peer knows."""
        return self.log.membership

    @property
    def creator(self) -> PeerId:
        """Who created it."""
        return self.membership.creator.peer_id

    @property
    def expires_unix_ns(self) -> int:
        """When its time is over."""
        return self.log.expires_unix_ns

    @property
    def epoch(self) -> int:
        """Of the newest key that this peer has; 0: none."""
        return self.ring.current.epoch if self.end_reason is None else 0

    @property
    def workers(self) -> tuple[Member, ...]:
        """The members who work for the creator: neither itself nor observers."""
        members = self.membership.members
        return tuple(m for m in members if m.role not in ("creator", "observer"))

    def is_formed(self) -> bool:
        """Return whether those that a guild of our own waits for have joined."""
        return len(self.workers) >= self.needed and self.has_needs()

    def has_needs(self) -> bool:
        """Return whether one of the workers offers all of `needs`."""
        return not self.needs or any(map(self.meets_needs, self.workers))

    def meets_needs(self, member: Member) -> bool:
        """Return whether a member offers all of `needs`."""
        return set(self.needs) <= set(member.capabilities)

    def wake(self) -> None:
        """Tell whoever waits on `changed`."""
        self.changed.set()
        self.changed = trio.Event()

    def require_open(self) -> None:
        """Check that it has not ended here.

        Raises:
            GuildEndedError: It has; with the reason.
        """
        if self.end_reason is not None:
            raise GuildEndedError(self.end_reason, f"{self.guild_id} is over")


@dataclass(frozen=True, slots=True)
class EndedGuild:
    """A guild that is over for this peer."""

    membership: Membership
    """As last known."""

    reason: EndReason
    ended_unix_ns: int
    expires_unix_ns: int


@final
class GuildBook:
    """Guilds by their id; one whose time is over is as good as unknown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guilds: dict[GuildId, Guild] = {}
        self._ended: deque[EndedGuild] = deque(maxlen=MAX_ENDED)
        self.added = trio.Event()
        """Set, and replaced, when one more guild is held."""

    def __len__(self) -> int:
        """Return how many are held, expired ones included."""
        return len(self._guilds)

    def __contains__(self, guild_id: GuildId) -> bool:
        """Whether the guild is held, expired or not."""
        return guild_id in self._guilds

    def add(self, guild: Guild) -> Guild:
        """Hold `guild`, and return it."""
        self._guilds[guild.guild_id] = guild
        self.added.set()
        self.added = trio.Event()
        return guild

    def find(self, guild_id: GuildId) -> Guild:
        """Return the guild.

        Raises:
            GuildNotFoundError: This peer does not belong to it, or it has ended.
        """
        guild = self._guilds.get(guild_id)
        if guild is None or guild.expires_unix_ns <= self._clock.wall_ns():
            raise GuildNotFoundError(f"no guild {guild_id} here")
        return guild

    def guilds(self) -> tuple[Guild, ...]:
        """Return those whose time is not over, the oldest first."""
        now_ns = self._clock.wall_ns()
        return tuple(g for g in self._guilds.values() if g.expires_unix_ns > now_ns)

    def expired(self) -> tuple[Guild, ...]:
        """Return those whose time is over."""
        now_ns = self._clock.wall_ns()
        return tuple(g for g in self._guilds.values() if g.expires_unix_ns <= now_ns)

    def next_expiry_unix_ns(self) -> int | None:
        """Return when the next guild's time is over; None without any."""
        return min((g.expires_unix_ns for g in self._guilds.values()), default=None)

    def ended(self) -> tuple[EndedGuild, ...]:
        """Return the last `MAX_ENDED` guilds that have ended, the newest first."""
        return tuple(reversed(self._ended))

    def find_ended(self, guild_id: GuildId) -> EndedGuild:
        """Return how a guild ended, the last time if it was joined more than once.

        Raises:
            GuildNotFoundError: It is not among the last `MAX_ENDED` that did.
        """
        for ended in reversed(self._ended):
            if ended.membership.guild_id == guild_id:
                return ended
        raise GuildNotFoundError(f"no guild {guild_id} here")

    def end(self, guild: Guild, reason: EndReason) -> bool:
        """Hold `guild` no longer; stop its loops, clear its keys, wake who waits.

        Returns:
            False if it had ended before: nothing was done.
        """
        if self._guilds.get(guild.guild_id) is not guild:
            return False
        del self._guilds[guild.guild_id]
        guild.end_reason = reason
        now_ns = self._clock.wall_ns()
        self._ended.append(
            EndedGuild(guild.membership, reason, now_ns, guild.expires_unix_ns)
        )
        guild.ring.clear()
        if guild.member_key is not None:
            guild.member_key.clear()
        guild.changed.set()
        guild.over.set()
        guild.loops.cancel()
        return True

    def created_by(self, peer_id: PeerId) -> int:
        """Return how many of the guilds held `peer_id` has created."""
        return sum(guild.creator == peer_id for guild in self._guilds.values())

    def has_member(self, peer_id: PeerId) -> bool:
        """Whether `peer_id` belongs to a guild whose time is not over."""
        return any(g.membership.find(peer_id) is not None for g in self.guilds())
