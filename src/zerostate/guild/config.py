"""How guilds form and keep together."""

from dataclasses import dataclass

from zerostate.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class GuildConfig:
    """Settings of a peer's guilds."""

    capabilities: tuple[str, ...] = ()
    """What this peer offers; without any it joins no guild of others."""

    heartbeat_interval_s: float = 30.0
    """Between two heartbeats of a member, in seconds."""

    confirm_timeout_s: float = 2.0
    """Wait for a gossiped message's confirmation before it is sent on a direct stream
    too, in seconds."""

    max_guilds: int = 64
    """Guilds that this peer takes part in at once; further announcements are let
    pass."""

    max_members: int = 50
    """Members of a guild that this peer creates."""

    ttl_s: float = 3600.0
    """Life of a guild that this peer creates, in seconds."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: With every problem at once.
        """
        positive = {
            "heartbeat_interval_s": self.heartbeat_interval_s,
            "confirm_timeout_s": self.confirm_timeout_s,
            "max_guilds": self.max_guilds,
            "max_members": self.max_members,
            "ttl_s": self.ttl_s,
        }
        problems = [
            f"guild.{name}: {value} is not above 0"
            for name, value in positive.items()
            if not value > 0
        ]
        if problems:
            raise ConfigError(*problems)
