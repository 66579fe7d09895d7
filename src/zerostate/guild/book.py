"""The guilds that one peer takes part in, in memory."""

from dataclasses import dataclass, field
from typing import final

import trio

from zerostate.clock import Clock
from zerostate.errors import GuildNotFoundError
from zerostate.guild.membership import Membership
from zerostate.ids import GuildId, PeerId
from zerostate.telemetry import TraceCarrier


@final
@dataclass(slots=True)
class Guild:
    """One guild, as this peer sees it."""

    membership: Membership
    max_members: int
    expires_unix_ns: int

    entered: TraceCarrier = field(default_factory=TraceCarrier.inject)
    """The context in which this peer created or joined it."""

    changed: trio.Event = field(default_factory=trio.Event)
    """Set, and replaced, when the membership changes."""

    def update(self, membership: Membership) -> None:
        """Take a newer membership; an older one changes nothing."""
        if membership.version > self.membership.version:
            self.membership = membership
            self.changed.set()
            self.changed = trio.Event()


@final
class GuildBook:
    """Guilds by their id; one whose time is over is as good as unknown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guilds: dict[GuildId, Guild] = {}

    def __len__(self) -> int:
        """Return how many are held, expired ones included."""
        return len(self._guilds)

    def __contains__(self, guild_id: GuildId) -> bool:
        """Whether the guild is held, expired or not."""
        return guild_id in self._guilds

    def add(self, guild: Guild) -> Guild:
        """Hold `guild`, and return it."""
        self._guilds[guild.membership.guild_id] = guild
        return guild

    def find(self, guild_id: GuildId) -> Guild:
        """Return the guild.

        Raises:
            GuildNotFoundError: This peer does not belong to it, or it has expired.
        """
        guild = self._guilds.get(guild_id)
        if guild is None or guild.expires_unix_ns < self._clock.wall_ns():
            raise GuildNotFoundError(f"no guild {guild_id} here")
        return guild

    def is_current(self, guild: Guild) -> bool:
        """Whether `guild` itself is still held."""
        return self._guilds.get(guild.membership.guild_id) is guild

    def remove(self, guild_id: GuildId) -> Guild | None:
        """Hold the guild no longer; return it, None if it was not held."""
        return self._guilds.pop(guild_id, None)

    def expired(self) -> list[GuildId]:
        """Return the guilds whose time is over."""
        now_ns = self._clock.wall_ns()
        guilds = self._guilds.items()
        return [g for g, guild in guilds if guild.expires_unix_ns < now_ns]

    def has_member(self, peer_id: PeerId) -> bool:
        """Whether `peer_id` belongs to a guild whose time is not over."""
        now_ns = self._clock.wall_ns()
        return any(
            guild.membership.find(peer_id) is not None
            for guild in self._guilds.values()
            if guild.expires_unix_ns >= now_ns
        )
