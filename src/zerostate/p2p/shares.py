"""Room that peers share: nobody can take all of it."""

from collections import Counter
from typing import final

import trio

from zerostate.ids import PeerId


@final
class FairShares:
    """Some room, of slots or of bytes, of which no peer holds more than is left free.

    So one peer alone gets half, the next one half of the rest, and whoever holds
    nothing yet finds room as long as there is any (Choudhury and Hahne, "Dynamic Queue
    Length Thresholds for Shared-Memory Packet Switches", 1998, with factor 1).

    Args:
        capacity: The room in all.
    """

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._held: Counter[PeerId] = Counter()
        self._given_back = trio.lowlevel.ParkingLot()

    @property
    def free(self) -> int:
        """What nobody holds."""
        return self._free

    def held_by(self, peer_id: PeerId) -> int:
        """Return what `peer_id` holds."""
        return self._held[peer_id]

    def take(self, peer_id: PeerId, amount: int = 1) -> bool:
        """Take `amount` for `peer_id` if that leaves a fair share; return whether."""
        if self._held[peer_id] + amount > self._free:
            return False
        self._free -= amount
        self._held[peer_id] += amount
        return True

    async def wait_and_take(self, peer_id: PeerId, amount: int) -> None:
        """Take `amount` for `peer_id` as soon as that leaves a fair share.

        Waits for ever if `amount` exceeds the capacity; the caller sets the deadline.
        """
        while not self.take(peer_id, amount):
            await self._given_back.park()

    def give_back(self, peer_id: PeerId, amount: int = 1) -> None:
        """Return what was taken."""
        self._free += amount
        self._held[peer_id] -= amount
        if not self._held[peer_id]:
            del self._held[peer_id]
        self._given_back.unpark_all()
