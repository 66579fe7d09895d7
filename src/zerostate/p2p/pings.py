"""Pings, one at a time for each peer, whoever asks."""

from typing import TYPE_CHECKING, Final, final
from weakref import WeakValueDictionary

import trio

from zerostate.ids import PeerId
from zerostate.p2p.host import Host

if TYPE_CHECKING:
    from collections.abc import MutableMapping


@final
class Pings:
    """Lets the watchdog and the health checks take turns with `Host.ping`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        # Weak: a lock lasts as long as somebody holds it or waits for it.
        self._turns: Final[MutableMapping[PeerId, trio.Lock]] = WeakValueDictionary()

    async def ping(self, peer_id: PeerId) -> float:
        """Return the round trip in seconds, without the wait for our turn.

        Takes however long it takes; the caller sets the deadline.

        Raises:
            P2PError: As `Host.ping`.
        """
        turn = self._turns.setdefault(peer_id, trio.Lock())
        async with turn:
            return await self._host.ping(peer_id)
