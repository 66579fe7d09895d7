"""Stays connected with a few chosen peers: dials, waits for the loss, dials again."""

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from zerostate.errors import OverloadedError, P2PError
from zerostate.ids import PeerId
from zerostate.p2p.address import parse_peer_address
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.presence import Presence
from zerostate.p2p.tasks import start_clean

MAX_KEPT: Final = 256
"""Peers to stay connected with, at most; one more is refused."""

MAX_REDIALS_AT_ONCE: Final = 4
"""Dials under way at once, so that a network that comes back is not met by all."""

STEADY_S: Final = 10.0
"""A stay at least this long, in seconds, is a success. A peer that accepts and closes
at once (it is full, or does not want us) is dialled less and less often."""

_MOST_DOUBLINGS: Final = 16
"""2^16 times the first pause is above any cap; more would overflow a float."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class Backoff:
    """Pauses between attempts: doubling up to a cap, shortened by chance."""

    def __init__(self, first_s: float, cap_s: float) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self.failures = 0

    def next_s(self) -> float:
        """Return the next pause, in seconds: between half of its length and all."""
        doublings = min(self.failures, _MOST_DOUBLINGS)
        whole_s = min(self._cap_s, self._first_s * 2.0**doublings)
        # Not for a secret: it only keeps many peers from dialling as one.
        return whole_s * random.uniform(0.5, 1.0)  # noqa: S311  # see above


@final
class Redial:
    """The peers to stay connected with, a task for each."""

    def __init__(
        self,
        config: P2PConfig,
        me: PeerId,
        presence: Presence,
        *,
        connect: Callable[[str], Awaitable[PeerId]],
        nursery: trio.Nursery,
        counts: Counter[str],
    ) -> None:
        self._first_s = config.redial_after_s
        self._cap_s = config.redial_cap_s
        self._me = me
        self._presence = presence
        self._connect = connect
        self._nursery = nursery
        self._counts = counts
        self._slots = trio.CapacityLimiter(MAX_REDIALS_AT_ONCE)
        self._kept: dict[PeerId, str] = {}

    def keep(self, address: str) -> None:
        """Dial `address` now, and again after each loss, as long as this peer runs.

        A second address of the same peer takes the place of the first. Our own is
        passed over, so that all peers may have the same list.

        Raises:
            ValueError: It is no peer address.
            OverloadedError: `MAX_KEPT` peers are kept already.
        """
        peer_id = parse_peer_address(address).peer_id
        if peer_id == self._me:
            return
        is_new = peer_id not in self._kept
        if is_new and len(self._kept) >= MAX_KEPT:
            raise OverloadedError(f"{MAX_KEPT} peers are kept connected already")
        self._kept[peer_id] = address
        if is_new:
            start_clean(self._nursery, self._keep, peer_id)

    def kept(self) -> frozenset[PeerId]:
        """Return the peers that are kept, connected or not."""
        return frozenset(self._kept)

    async def _keep(self, peer_id: PeerId) -> None:
        backoff = Backoff(self._first_s, self._cap_s)
        while True:
            if await self._dial(peer_id):
                stayed_since = trio.current_time()
                await self._presence.wait_lost(peer_id)
                if trio.current_time() - stayed_since >= STEADY_S:
                    backoff.failures = 0
                self._counts["redial.losses"] += 1
            pause_s = backoff.next_s()
            backoff.failures += 1
            with trio.move_on_after(pause_s):
                # It may come by itself in the meantime.
                await self._presence.wait_here(peer_id)

    async def _dial(self, peer_id: PeerId) -> bool:
        async with self._slots:
            try:
                await self._connect(self._kept[peer_id])
            except P2PError as exc:
                self._counts["redial.failed"] += 1
                _logger.info("kept peer %s: %s", peer_id, exc)
                return False
        return True
