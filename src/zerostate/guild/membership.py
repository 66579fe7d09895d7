"""Who belongs to a guild: a pure state, and its form on the wire."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from google.protobuf.message import DecodeError

from zerostate.errors import GuildError, GuildFullError
from zerostate.guild import messages_pb2 as pb
from zerostate.ids import GuildId, PeerId, parse_guild_id

Role = Literal["creator", "member", "executor", "observer"]

ROLES: Final[tuple[Role, ...]] = ("creator", "member", "executor", "observer")
"""Roles that a member may have."""

EXECUTES: Final = "wasm"
"""The capability of running WebAssembly tasks; it makes a member an executor."""

MAX_CAPABILITIES: Final = 16
"""Capabilities that a member may name; more are refused."""

MAX_CAPABILITY_CHARS: Final = 64
"""Longest name of a capability."""


@dataclass(frozen=True, slots=True)
class Member:
    """One peer of a guild."""

    peer_id: PeerId
    role: Role
    capabilities: tuple[str, ...]

    public_key: bytes = b""
    """X25519 key to which the guild's key is wrapped; the creator needs none."""

    price_base: int | None = None
    """Asked for any good result, in the smallest unit; None: no price was named."""

    price_per_gigafuel: int | None = None
    """Asked for each thousand million units of fuel, and pro rata."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The members of a guild at one version; version rises with each change."""

    guild_id: GuildId
    version: int
    members: tuple[Member, ...]

    @property
    def creator(self) -> Member:
        """The member who created the guild."""
        return next(member for member in self.members if member.role == "creator")

    def find(self, peer_id: PeerId) -> Member | None:
        """Return the member with `peer_id`, or None."""
        return next((m for m in self.members if m.peer_id == peer_id), None)

    def offering(self, capability: str) -> tuple[Member, ...]:
        """Return the members who offer `capability`, in the order of joining."""
        return tuple(m for m in self.members if capability in m.capabilities)

    def joined(
        self, peer_id: PeerId, capabilities: tuple[str, ...], *, max_members: int
    ) -> "Membership":
        """Return the membership after `peer_id` joined; joining twice changes nothing.

        Raises:
            GuildFullError: There are `max_members` already.
            GuildError: Too many capabilities, or one with too long a name.
        """
        if self.find(peer_id) is not None:
            return self
        if len(self.members) >= max_members:
            raise GuildFullError(f"{self.guild_id} has its {max_members} members")
        checked = _checked_capabilities(capabilities)
        role: Role = "executor" if EXECUTES in checked else "member"
        member = Member(peer_id, role, checked)
        return replace(self, version=self.version + 1, members=(*self.members, member))


def founded(guild_id: GuildId, creator: PeerId) -> Membership:
    """Return the membership of a guild that has only its creator."""
    return Membership(guild_id, 1, (Member(creator, "creator", ()),))


def encode(membership: Membership) -> bytes:
    """Return `membership` as the bytes of a ``Membership`` message."""
    return pb.Membership(
        guild_id=membership.guild_id,
        version=membership.version,
        members=[
            pb.Member(peer_id=m.peer_id, role=m.role, capabilities=m.capabilities)
            for m in membership.members
        ],
    ).SerializeToString()


def decode(data: bytes) -> Membership:
    """Return the membership that `data` encodes.

    Raises:
        GuildError: Not a membership, or one that makes no sense.
    """
    try:
        message = pb.Membership.FromString(data)
        guild_id = parse_guild_id(message.guild_id)
    except (DecodeError, ValueError) as exc:
        raise GuildError("not a guild's membership") from exc
    members = tuple(_decode_member(member) for member in message.members)
    if sum(member.role == "creator" for member in members) != 1:
        raise GuildError("a membership has exactly one creator")
    if len({member.peer_id for member in members}) != len(members):
        raise GuildError("a membership names each peer once")
    return Membership(guild_id, message.version, members)


def _decode_member(member: pb.Member) -> Member:
    if member.role not in ROLES:
        raise GuildError(f"unknown role {member.role[:40]!r}")
    capabilities = _checked_capabilities(member.capabilities)
    return Member(PeerId(member.peer_id), member.role, capabilities)


def _checked_capabilities(names: Iterable[str]) -> tuple[str, ...]:
    capabilities = tuple(names)
    if len(capabilities) > MAX_CAPABILITIES:
        raise GuildError(f"more than {MAX_CAPABILITIES} capabilities")
    if any(not 0 < len(name) <= MAX_CAPABILITY_CHARS for name in capabilities):
        raise GuildError(f"a capability has 1 to {MAX_CAPABILITY_CHARS} characters")
    return capabilities
