"""The way to the peers closest to a key: Kademlia's iterative lookup."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, final

import base58
import trio

from zerostate.ids import PeerId
from zerostate.p2p.dht_host import REPLICAS, Contact

ASKED_AT_ONCE: Final = 5
"""Peers asked at once in one lookup. py-libp2p resets the thirteenth request that is
open at a peer, so two lookups of everybody at once still get through."""

MAX_ASKED: Final = 64
"""Peers asked in one lookup, so that answers that always name closer peers end."""

Ask = Callable[[Contact], Awaitable[Iterable[Contact] | None]]
"""Asks a peer; returns the closer peers that it names, None if it does not answer."""


@final
class Walk:
    """One lookup: asks peer after peer, each time the closest not asked yet.

    It ends when the `REPLICAS` closest peers that answer have been asked, when `Ask`
    calls `stop`, or after `MAX_ASKED`.
    """

    def __init__(
        self, target: bytes, *, me: PeerId, start: Iterable[Contact], ask: Ask
    ) -> None:
        """Begin nothing yet.

        Args:
            target: The key, as it is hashed into the key space.
            me: Never asked.
            start: Peers known already.
            ask: Called for up to `ASKED_AT_ONCE` peers at once.
        """
        self._target = _point(target)
        self._ask = ask
        self._known: dict[PeerId, Contact] = {}
        self._ranking: list[tuple[int, PeerId]] = []
        self._passed: set[PeerId] = {me}
        self._answered: set[PeerId] = set()
        self._asked = 0
        self._running = 0
        self._changed = trio.Event()
        self._stopped = False
        self._add(start)

    def stop(self) -> None:
        """Ask nobody any more."""
        self._stopped = True
        self._changed.set()

    async def run(self) -> tuple[Contact, ...]:
        """Return the closest peers that answered, the closest first.

        May be cancelled; `closest` tells then how far it got.
        """
        async with trio.open_nursery() as nursery:
            while not self._stopped:
                peer = self._next()
                if peer is not None and self._running < ASKED_AT_ONCE:
                    self._passed.add(peer.peer_id)
                    self._asked += 1
                    self._running += 1
                    nursery.start_soon(self._one, peer)
                elif self._running == 0:
                    break
                else:
                    await self._changed.wait()
                    self._changed = trio.Event()
            nursery.cancel_scope.cancel()
        return self.closest()

    def closest(self) -> tuple[Contact, ...]:
        """Return the closest peers that answered so far."""
        ranked = [peer for _, peer in self._ranking if peer in self._answered]
        return tuple(self._known[peer] for peer in ranked[:REPLICAS])

    async def _one(self, peer: Contact) -> None:
        closer = await self._ask(peer)
        if closer is None:
            self._ranking.remove(self._rank(peer.peer_id))
        else:
            self._answered.add(peer.peer_id)
            self._add(closer)
        self._running -= 1
        self._changed.set()

    def _next(self) -> Contact | None:
        if self._asked >= MAX_ASKED:
            return None
        for _, peer_id in self._ranking[:REPLICAS]:
            if peer_id not in self._passed:
                return self._known[peer_id]
        return None

    def _add(self, peers: Iterable[Contact]) -> None:
        for peer in peers:
            if peer.peer_id not in self._known and peer.peer_id not in self._passed:
                self._known[peer.peer_id] = peer
                self._ranking.append(self._rank(peer.peer_id))
        self._ranking.sort()

    def _rank(self, peer_id: PeerId) -> tuple[int, PeerId]:
        return self._target ^ _point(base58.b58decode(peer_id)), peer_id


def _point(data: bytes) -> int:
    # libp2p specs, kad-dht: keys and peer ids are hashed into one space.
    return int.from_bytes(hashlib.sha256(data).digest(), "big")
