"""How guilds form and keep together."""

from dataclasses import dataclass
from typing import Final

from zerostate.errors import ConfigError
from zerostate.guild.membership import MAX_CAPABILITIES, MAX_CAPABILITY_CHARS
from zerostate.guild.requests import MAX_PRICE
from zerostate.guild.transitions import MAX_MEMBERS

MAX_GUILDS: Final = 1024
"""Upper bound of `GuildConfig.max_guilds`: each costs a task, a topic and its log."""

MAX_TTL_S: Final = 30 * 86_400.0
"""Upper bound of `GuildConfig.ttl_s`: thirty days, in seconds."""

MAX_HEARTBEAT_INTERVAL_S: Final = 3600.0
"""Upper bound of `GuildConfig.heartbeat_interval_s`, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuildConfig:
    """Settings of a peer's guilds."""

    capabilities: tuple[str, ...] = ()
    """What this peer offers; without any it joins no guild of others."""

    observes: bool = False
    """Join every announced guild that has room as an observer: to receive what goes to
    all members, and nothing else. Not together with `capabilities`."""

    price_base: int | None = None
    """Price offered for any good result, in the smallest unit; None names no price."""

    price_per_gigafuel: int | None = None
    """Price offered for each thousand million units of fuel, in the smallest unit; given
    with `price_base`."""

    heartbeat_interval_s: float = 30.0
    """Between two heartbeats of a member, in seconds. Who created a guild sets the pace
    for its members, a second at the fastest, and evicts who has missed two."""

    confirm_timeout_s: float = 2.0
    """Wait for a gossiped message's confirmation before it is sent on a direct stream
    too, in seconds."""

    max_guilds: int = 64
    """Guilds that this peer takes part in at once. For one more it leaves the one that it
    has not worked for longest, after a minute; otherwise announcements are let pass.
    Half of them may be of one other peer's making."""

    max_members: int = 50
    """Members of a guild that this peer creates, itself included."""

    ttl_s: float = 3600.0
    """Life of a guild that this peer creates, in seconds."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: With every problem at once.
        """
        bounds = {
            "heartbeat_interval_s": MAX_HEARTBEAT_INTERVAL_S,
            "confirm_timeout_s": MAX_HEARTBEAT_INTERVAL_S,
            "max_guilds": MAX_GUILDS,
            "max_members": MAX_MEMBERS,
            "ttl_s": MAX_TTL_S,
        }
        problems = [
            f"guild.{name}: {value} is not above 0 and at most {most:g}"
            for name, most in bounds.items()
            if not 0 < (value := getattr(self, name)) <= most
        ]
        problems += self._offer_problems()
        if problems:
            raise ConfigError(*problems)

    def _offer_problems(self) -> list[str]:
        """Return what a creator would refuse of our request to join."""
        names = self.capabilities
        prices = (self.price_base, self.price_per_gigafuel)
        named = [price for price in prices if price is not None]
        problems = {
            f"guild.capabilities: more than {MAX_CAPABILITIES}": (
                len(names) > MAX_CAPABILITIES
            ),
            f"guild.capabilities: each has 1 to {MAX_CAPABILITY_CHARS} characters": any(
                not 0 < len(name) <= MAX_CAPABILITY_CHARS for name in names
            ),
            "guild.price_base, guild.price_per_gigafuel: give both or neither": (
                len(named) == 1
            ),
            "guild.price_base, guild.price_per_gigafuel: each is 0 to 2**63 - 1": any(
                not 0 <= price <= MAX_PRICE for price in named
            ),
            "guild.observes: an observer offers nothing; leave out capabilities and"
            " prices, or do not observe": self.observes and bool(names or named),
        }
        return [problem for problem, is_there in problems.items() if is_there]
