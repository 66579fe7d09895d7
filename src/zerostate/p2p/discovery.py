"""Finding peers by what they offer, and letting ourselves be found.

The first peers are those of ``p2p.bootstrap``, with which `zerostate.p2p.redial` keeps
this peer connected. All others are found through them.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, final

import trio

from zerostate.errors import P2PError
from zerostate.ids import PeerId
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.dht import Dht, capability_key
from zerostate.p2p.dht_host import MAX_PROVIDERS, Contact
from zerostate.p2p.presence import Presence

ADVERTISE_AFTER_S: Final = 2.0
"""From the start, or from new capabilities, until they are told, in seconds: the first
connections have come by then, and a start has no load on top. Also how soon it is tried
again when nobody is connected or nobody lists us."""

ADVERTISE_PAUSE_S: Final = 1.25
"""Between two capabilities, in seconds: py-libp2p takes ten offers of one peer in 10 s
and resets the others."""

MAX_CAPABILITIES: Final = 64
"""Capabilities told of one peer; that takes 80 s a round."""

MAX_DIALS_AT_ONCE: Final = 4
"""Dials under way at once in one `find`."""

MAX_FOUND: Final = MAX_PROVIDERS
"""Largest `limit` of one `find`: no holder lists more."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class Discovery:
    """Advertises and finds capabilities through the DHT."""

    def __init__(
        self,
        dht: Dht,
        config: P2PConfig,
        presence: Presence,
        *,
        addresses: Callable[[], tuple[str, ...]],
        connect: Callable[[str], Awaitable[PeerId]],
        counts: Counter[str],
    ) -> None:
        self._dht = dht
        self._interval_s = config.advertise_interval_s
        self._presence = presence
        self._addresses = addresses
        self._connect = connect
        self._counts = counts
        self._offered: tuple[str, ...] = ()
        self._changed = trio.Event()
        self._has_moved = False

    def advertise(self, capabilities: Iterable[str]) -> None:
        """Offer `capabilities` from now on, and not what was offered before.

        Returns at once. They are told to the DHT in the background, and again every
        ``advertise_interval_s``. What is offered no more is forgotten by the others
        within two days, or as soon as twenty others offer it.

        Raises:
            ValueError: One of them cannot be used, or they are too many; nothing was
                changed.
        """
        offered = tuple(dict.fromkeys(capabilities))
        if len(offered) > MAX_CAPABILITIES:
            raise ValueError(
                f"{len(offered)} capabilities; the limit is {MAX_CAPABILITIES}"
            )
        for capability in offered:
            capability_key(capability)
        self._offered = offered
        self._changed.set()

    def readdress(self) -> None:
        """Have others told soon that our addresses have changed. Returns at once."""
        self._has_moved = True
        self._changed.set()

    async def find(self, capability: str, *, limit: int = 8) -> tuple[PeerId, ...]:
        """Return up to `limit` connected peers that are listed for `capability`.

        Dials those that are not connected yet, four at once, until there are enough; of
        the listed ones those come first that are connected already. Who cannot be
        reached, or is denied, is left out. They say that they offer it; nothing
        proves it.

        Args:
            capability: What is needed.
            limit: 1 to 20.

        Raises:
            ValueError: `capability` or `limit` cannot be used.
            P2PError: As `Dht`.
        """
        if not 1 <= limit <= MAX_FOUND:
            raise ValueError(f"limit is {limit}; it is 1 to {MAX_FOUND}")
        listed = await self._dht.find_providers(capability, limit=MAX_FOUND)
        here = [peer.peer_id for peer in listed if peer.peer_id in self._presence]
        away = [peer for peer in listed if peer.peer_id not in self._presence]
        if len(here) < limit:
            here += await self._dial(away, limit - len(here))
        return tuple(here[:limit])

    async def _dial(self, peers: list[Contact], wanted: int) -> list[PeerId]:
        reached: list[PeerId] = []
        waiting = iter(peers)

        async def dial_next() -> None:
            for peer in waiting:
                if await self._reaches(peer):
                    reached.append(peer.peer_id)
                if len(reached) >= wanted:
                    nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for _ in range(min(MAX_DIALS_AT_ONCE, wanted)):
                nursery.start_soon(dial_next)
        return reached

    async def _reaches(self, peer: Contact) -> bool:
        for address in peer.addresses:
            try:
                await self._connect(address)
            except (P2PError, ValueError) as exc:
                self._counts["discovery.unreachable"] += 1
                _logger.info("%s, found through the DHT: %s", peer.peer_id, exc)
            else:
                return True
        return False

    async def keep(self) -> None:
        """Tell the DHT what we offer, again and again, until cancelled."""
        while self._dht.is_on:
            # Not before something is offered: a peer may offer nothing for ever.
            if not (self._offered or self._has_moved):
                await self._changed.wait()
            self._changed = trio.Event()
            await trio.sleep(ADVERTISE_AFTER_S)
            if self._has_moved:
                self._has_moved = False
                await self._announce()
            # Who cannot be dialled cannot be listed; `readdress` says when it can.
            can_tell = self._presence.peers() and self._addresses()
            if can_tell and await self._advertise_all():
                with trio.move_on_after(self._interval_s):
                    await self._changed.wait()

    async def _announce(self) -> None:
        try:
            await self._dht.announce()
        except Exception:  # top of a background task: the node stays up
            self._counts["discovery.errors"] += 1
            _logger.exception("our addresses were not told")

    async def _advertise_all(self) -> bool:
        listed_by = 0
        for capability in self._offered:
            try:
                listing = await self._dht.provide(capability, is_background=True)
                listed_by += listing
                if not listing:
                    self._counts["discovery.advertise_failed"] += 1
            except P2PError as exc:
                self._counts["discovery.advertise_failed"] += 1
                _logger.warning("%s was not advertised: %s", capability, exc)
            except Exception:  # top of a background task: the node stays up
                self._counts["discovery.errors"] += 1
                _logger.exception("%s was not advertised", capability)
            await trio.sleep(ADVERTISE_PAUSE_S)
        return listed_by > 0
