"""What can be seen of a peer's guilds from outside: for a person, or a page."""

from dataclasses import dataclass
from typing import Literal

from zerostate.clock import Clock
from zerostate.guild.book import EndedGuild, EndReason, Guild
from zerostate.guild.membership import Member, Role
from zerostate.ids import GuildId, PeerId
from zerostate.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member."""

    peer_id: PeerId
    role: Role
    capabilities: tuple[str, ...]

    price_base: int | None
    """Offered for any good result, in the smallest unit; None: no price."""

    price_per_gigafuel: int | None
    """Offered for each thousand million units of fuel, in the smallest unit."""

    heartbeat_age_s: float | None
    """Since this peer last heard of it, in seconds. A creator hears its members, a
    member the creator; None for all others."""


@dataclass(frozen=True, slots=True)
class GuildView:
    """One guild, as one peer knows it."""

    guild_id: GuildId
    state: Literal["open", "ended"]

    end_reason: EndReason | None
    """Why it has ended here; None while it is open."""

    ended_unix_ns: int | None

    role: Role | None
    """This peer's own; None if it is no member any more."""

    creator: PeerId
    members: tuple[MemberView, ...]
    """The creator first, then in the order of joining."""

    version: int
    """Of the membership; rises with each change."""

    epoch: int | None
    """Of the guild's key; None once it has ended."""

    max_members: int | None
    """The creator included; None once it has ended."""

    expires_unix_ns: int


def view_open(guild: Guild, me: PeerId, clock: Clock) -> GuildView:
    """Return what `me` sees of an open guild."""
    now_ns = clock.monotonic_ns()
    membership = guild.membership
    own = membership.find(me)
    ages_s = {p: (now_ns - ns) / NS_PER_S for p, ns in guild.heard_ns.items()}
    return GuildView(
        guild_id=guild.guild_id,
        state="open",
        end_reason=None,
        ended_unix_ns=None,
        role=None if own is None else own.role,
        creator=guild.creator,
        members=tuple(_member(m, ages_s.get(m.peer_id)) for m in membership.members),
        version=membership.version,
        epoch=guild.epoch,
        max_members=guild.log.max_members,
        expires_unix_ns=guild.expires_unix_ns,
    )


def view_ended(ended: EndedGuild, me: PeerId) -> GuildView:
    """Return what `me` remembers of a guild that has ended."""
    membership = ended.membership
    own = membership.find(me)
    return GuildView(
        guild_id=membership.guild_id,
        state="ended",
        end_reason=ended.reason,
        ended_unix_ns=ended.ended_unix_ns,
        role=None if own is None else own.role,
        creator=membership.creator.peer_id,
        members=tuple(_member(member, None) for member in membership.members),
        version=membership.version,
        epoch=None,
        max_members=None,
        expires_unix_ns=ended.expires_unix_ns,
    )


def _member(member: Member, heartbeat_age_s: float | None) -> MemberView:
    return MemberView(
        peer_id=member.peer_id,
        role=member.role,
        capabilities=member.capabilities,
        price_base=member.price_base,
        price_per_gigafuel=member.price_per_gigafuel,
        heartbeat_age_s=heartbeat_age_s,
    )
