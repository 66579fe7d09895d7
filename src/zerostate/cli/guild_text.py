"""Guilds, as a node tells them, in lines for people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from zerostate.cli.columns import columns, span_of
from zerostate.errors import ProcessError
from zerostate.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """One member of a guild."""

    peer_id: str
    role: str
    capabilities: tuple[str, ...]
    price_base: int | None
    price_per_gigafuel: int | None
    heartbeat_age_s: float | None

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Return what a node has told.

        Raises:
            ProcessError: It is no member.
        """
        match raw:
            case {
                "peer_id": str(peer_id),
                "role": str(role),
                "capabilities": list(capabilities),
                "price_base": None | int() as price_base,
                "price_per_gigafuel": None | int() as price_per_gigafuel,
                "heartbeat_age_s": None | int() | float() as heartbeat_age_s,
            }:
                return cls(
                    peer_id=peer_id,
                    role=role,
                    capabilities=tuple(map(str, capabilities)),
                    price_base=price_base,
                    price_per_gigafuel=price_per_gigafuel,
                    heartbeat_age_s=heartbeat_age_s,
                )
        raise ProcessError("the node told something that is no guild's member")


@dataclass(frozen=True, slots=True)
class GuildEntry:
    """One guild, as its node knows it (`zerostate.guild.GuildView`)."""

    guild_id: str
    state: str
    end_reason: str | None
    ended_unix_ns: int | None
    role: str | None
    creator: str
    members: tuple[MemberEntry, ...]
    version: int
    epoch: int | None
    max_members: int | None
    expires_unix_ns: int

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Return what a node has told.

        Raises:
            ProcessError: It is no guild.
        """
        match raw:
            case {
                "guild_id": str(guild_id),
                "state": str(state),
                "end_reason": None | str() as end_reason,
                "ended_unix_ns": None | int() as ended_unix_ns,
                "role": None | str() as role,
                "creator": str(creator),
                "members": list(members),
                "version": int(version),
                "epoch": None | int() as epoch,
                "max_members": None | int() as max_members,
                "expires_unix_ns": int(expires_unix_ns),
            }:
                return cls(
                    guild_id=guild_id,
                    state=state,
                    end_reason=end_reason,
                    ended_unix_ns=ended_unix_ns,
                    role=role,
                    creator=creator,
                    members=tuple(map(MemberEntry.parse, members)),
                    version=version,
                    epoch=epoch,
                    max_members=max_members,
                    expires_unix_ns=expires_unix_ns,
                )
        raise ProcessError("the node told something that is no guild")


def table(guilds: Sequence[GuildEntry], *, now_unix_ns: int) -> Iterator[str]:
    """Yield one line a guild, under a heading; a line that says so without any."""
    if not guilds:
        yield "No guilds."
        return
    rows: list[Sequence[str]] = [("GUILD", "STATE", "ROLE", "MEMBERS", "TIME")]
    rows += [_row(guild, now_unix_ns) for guild in guilds]
    yield from columns(rows)


def details(guild: GuildEntry, *, now_unix_ns: int) -> Iterator[str]:
    """Yield all that is known of one guild."""
    facts = {
        "Guild": guild.guild_id,
        "State": _state(guild),
        "Time": _time(guild, now_unix_ns),
        "Creator": guild.creator,
        "Our role": guild.role or "none",
        "Members": _size(guild),
        "Version": str(guild.version),
        "Key epoch": "-" if guild.epoch is None else str(guild.epoch),
    }
    yield from columns(facts.items())
    yield ""
    rows = [("MEMBER", "ROLE", "OFFERS", "PRICE", "HEARD")]
    rows += [
        (
            member.peer_id,
            member.role,
            ", ".join(member.capabilities) or "-",
            _price(member),
            _heard(member),
        )
        for member in guild.members
    ]
    yield from columns(rows)


def _row(guild: GuildEntry, now_unix_ns: int) -> tuple[str, ...]:
    return (
        guild.guild_id,
        _state(guild),
        guild.role or "none",
        _size(guild),
        _time(guild, now_unix_ns),
    )


def _state(guild: GuildEntry) -> str:
    return guild.state if guild.end_reason is None else guild.end_reason


def _size(guild: GuildEntry) -> str:
    count = len(guild.members)
    return (
        str(count) if guild.max_members is None else f"{count} of {guild.max_members}"
    )


def _time(guild: GuildEntry, now_unix_ns: int) -> str:
    if guild.ended_unix_ns is not None:
        return f"{span_of((now_unix_ns - guild.ended_unix_ns) / NS_PER_S)} ago"
    return f"{span_of((guild.expires_unix_ns - now_unix_ns) / NS_PER_S)} left"


def _price(member: MemberEntry) -> str:
    if member.price_base is None:
        return "-"
    return f"{member.price_base} + {member.price_per_gigafuel}/gigafuel"


def _heard(member: MemberEntry) -> str:
    age_s = member.heartbeat_age_s
    return "-" if age_s is None else f"{span_of(age_s)} ago"
