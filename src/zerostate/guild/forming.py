"""How a guild of ours comes together: announced, and helpers looked for if none come."""

import logging
from typing import Final, final

import trio

from zerostate.errors import GuildNotFormedError, ZeroStateError
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.book import Guild
from zerostate.guild.parts import ANNOUNCE_TOPIC, Parts
from zerostate.p2p.discovery import MAX_FOUND
from zerostate.p2p.tasks import open_background

REANNOUNCE_S: Final = 3.0
"""Pause before a guild that has too few members is announced once more, in seconds:
gossip is best effort, and peers come later."""

SEARCH_AFTER_S: Final = 4.0
"""After this others are looked for, in seconds: who has heard the second announcement has
joined by then, and whom a search finds hears the third. The pause before each further
search is twice the one before."""

MAX_SOUGHT: Final = 8
"""Capabilities that are looked up for one guild in one round; what is needed first."""

SEARCH_TIMEOUT_S: Final = 5.0
"""Longest search for one capability, the dials included, in seconds."""

_logger: Final = logging.getLogger("zerostate.guild")


@final
class Former:
    """Brings guilds of this peer together."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def form(self, guild: Guild, timeout_s: float) -> None:
        """Announce `guild` until those that it waits for have joined.

        Whoever hears an announcement may join. If too few do, peers that the DHT lists
        for what is wanted are dialled, so that they hear the next one.

        Raises:
            GuildNotFormedError: They have not within `timeout_s`.
            GuildEndedError: The guild ended meanwhile.
        """
        with trio.move_on_after(timeout_s):
            async with open_background() as nursery:
                nursery.start_soon(self._seek, guild)
                await self._gather(guild)
        if not guild.is_formed():
            lacks = (
                "" if guild.has_needs() else f"; none offers {', '.join(guild.needs)}"
            )
            connected = len(self._parts.peers.connected())
            peers = "1 peer" if connected == 1 else f"{connected or 'no'} peers"
            raise GuildNotFormedError(
                f"{len(guild.workers)} of {guild.needed} members joined within"
                f" {timeout_s:.0f} s{lacks}; {peers} connected"
            )
        guild.needed, guild.needs = 0, ()

    async def announce(self, guild: Guild) -> None:
        """Tell everybody of `guild`, once.

        Raises:
            P2PError: It could not be handed to the mesh.
        """
        body = pb.Announce(
            guild_id=guild.guild_id,
            creator=guild.creator,
            wanted=guild.wanted,
            max_members=guild.log.max_members,
            expires_unix_ns=guild.expires_unix_ns,
            addresses=self._parts.peers.addresses,
            heartbeat_ms=max(1, round(guild.heartbeat_interval_s * 1000)),
        )
        await self._parts.peers.publish(
            ANNOUNCE_TOPIC, "guild_announce", body.SerializeToString()
        )

    async def _gather(self, guild: Guild) -> None:
        while not guild.is_formed():
            await self.announce(guild)
            with trio.move_on_after(REANNOUNCE_S):
                while not guild.is_formed():
                    guild.require_open()
                    await guild.changed.wait()

    async def _seek(self, guild: Guild) -> None:
        """Look for who offers what is wanted, again and again, until cancelled."""
        pause_s = SEARCH_AFTER_S
        while self._parts.peers.dht.is_on:
            await trio.sleep(pause_s)
            pause_s *= 2
            for capability in _sought(guild):
                with trio.move_on_after(SEARCH_TIMEOUT_S):
                    await self._search(guild, capability)

    async def _search(self, guild: Guild, capability: str) -> None:
        peers, counts = self._parts.peers, self._parts.counts
        counts["guild.searches"] += 1
        missing = max(1, guild.needed - len(guild.workers))
        # Who is connected has heard the announcement: they do not count.
        limit = min(MAX_FOUND, len(peers.connected()) + missing)
        try:
            found = await peers.discovery.find(capability, limit=limit)
        except (ZeroStateError, ValueError) as exc:
            counts["guild.searches.failed"] += 1
            _logger.warning("no search for who offers %s: %s", capability, exc)
        except Exception:  # top of a background task: the guild may form without it
            counts["guild.errors"] += 1
            _logger.exception("the search for who offers %s failed", capability)
        else:
            _logger.info("connected and listed for %s: %d", capability, len(found))


def _sought(guild: Guild) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*guild.needs, *guild.wanted)))[:MAX_SOUGHT]
