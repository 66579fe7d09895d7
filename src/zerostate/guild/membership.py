"""Who belongs to a guild, and as what. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

from zerostate.ids import GuildId, PeerId

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
