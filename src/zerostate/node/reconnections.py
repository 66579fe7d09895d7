"""Comparing channels with counterparts that come back."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from zerostate.errors import ZeroStateError
from zerostate.ids import PeerId

AT_ONCE: Final = 4
"""Counterparts that are asked at once, when many come back together."""

_logger: Final = logging.getLogger("zerostate.node")


@final
class Reconnections:
    """Has channels compared with each counterpart that connects.

    Attributes:
        failed: Comparisons that failed, for whatever reason; each is logged. The next
            one is at the counterpart's next connection, and a payment compares by
            itself.
    """

    def __init__(
        self,
        synchronise: Callable[[PeerId], Awaitable[object]],
        is_counterpart: Callable[[PeerId], bool],
    ) -> None:
        self._synchronise = synchronise
        self._is_counterpart = is_counterpart
        self._waiting: dict[PeerId, None] = {}
        self._idle = trio.lowlevel.ParkingLot()
        self.failed = 0

    def arrived(self, peer_id: PeerId) -> None:
        """Note that a peer has connected; at most one comparison waits for each."""
        if self._is_counterpart(peer_id):
            self._waiting[peer_id] = None
            self._idle.unpark()

    async def run(self) -> None:
        """Compare until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                await self._idle.park()
            peer_id = next(iter(self._waiting))
            del self._waiting[peer_id]
            await self._compare(peer_id)

    async def _compare(self, peer_id: PeerId) -> None:
        try:
            await self._synchronise(peer_id)
        except ZeroStateError as exc:
            self.failed += 1
            _logger.warning("channels with %s are not compared: %s", peer_id, exc)
        except Exception:  # the top of a background task; the node stays up
            self.failed += 1
            _logger.exception("channels with %s are not compared", peer_id)
