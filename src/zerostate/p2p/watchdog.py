"""Finds peers that are connected but no longer answer.

TCP alone never notices a frozen process, and Yamux in py-libp2p sends no keepalive.
"""

import logging
from collections import Counter
from typing import Final, final

import trio

from zerostate.errors import P2PError
from zerostate.ids import PeerId
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.connections import Connections
from zerostate.p2p.pings import Pings
from zerostate.p2p.presence import Presence

SLICES_PER_MISS: Final = 8
"""Silence is counted in slices of ``ping_timeout_s / 8`` that this process was awake
for. A process that stood still itself (busy, suspended) counts one slice for the whole
pause, and so does not blame its peers."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class Watchdog:
    """Pings each connected peer; one ping a peer at a time.

    A miss is ``ping_timeout_s`` of silence; the ping stays out meanwhile, so a late
    answer still counts. After ``ping_misses`` misses the peer is disconnected.
    """

    def __init__(
        self,
        connections: Connections,
        presence: Presence,
        config: P2PConfig,
        *,
        pings: Pings,
        counts: Counter[str],
    ) -> None:
        self._connections = connections
        self._pings = pings
        self._presence = presence
        self._interval_s = config.ping_interval_s
        self._slice_s = config.ping_timeout_s / SLICES_PER_MISS
        self._patience_slices = config.ping_misses * SLICES_PER_MISS
        self._counts = counts

    async def guard(self, peer_id: PeerId) -> None:
        """Watch `peer_id` until its present stay ends."""
        is_silent = False
        async with trio.open_nursery() as nursery:

            async def stop_when_lost() -> None:
                await self._presence.wait_lost(peer_id)
                nursery.cancel_scope.cancel()

            nursery.start_soon(stop_when_lost)
            while await self._answers(peer_id):  # noqa: ASYNC110  # a pause, not a wait for something
                await trio.sleep(self._interval_s)
            is_silent = True
            nursery.cancel_scope.cancel()
        # That it is here again says nothing: this may be its next stay already.
        if is_silent and peer_id in self._presence:
            await self._declare_lost(peer_id)

    async def _answers(self, peer_id: PeerId) -> bool:
        answered = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping_until_answered, peer_id, answered)
            for _ in range(self._patience_slices):
                with trio.move_on_after(self._slice_s):
                    await answered.wait()
                    break
            nursery.cancel_scope.cancel()
        return answered.is_set()

    async def _ping_until_answered(self, peer_id: PeerId, answered: trio.Event) -> None:
        while True:
            try:
                await self._pings.ping(peer_id)
            except P2PError:
                self._counts["ping.failed"] += 1
                await trio.sleep(self._slice_s)
            else:
                answered.set()
                return

    async def _declare_lost(self, peer_id: PeerId) -> None:
        self._counts["peers.lost"] += 1
        _logger.warning("peer %s does not answer: disconnected", peer_id)
        await self._connections.close(peer_id, "watchdog")
