"""Who is connected, and how to wait until somebody no longer is."""

from typing import final

import trio

from zerostate.ids import PeerId


@final
class Presence:
    """The connected peers. Each stay of a peer ends with an event of its own."""

    def __init__(self) -> None:
        self._stays: dict[PeerId, trio.Event] = {}

    def arrived(self, peer_id: PeerId) -> bool:
        """Note that `peer_id` is connected; return whether that is news."""
        if peer_id in self._stays:
            return False
        self._stays[peer_id] = trio.Event()
        return True

    def left(self, peer_id: PeerId) -> bool:
        """Note that `peer_id` is gone, wake who waits; return whether that is news."""
        stay = self._stays.pop(peer_id, None)
        if stay is None:
            return False
        stay.set()
        return True

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self._stays

    def peers(self) -> frozenset[PeerId]:
        """Return the connected peers."""
        return frozenset(self._stays)

    async def wait_lost(self, peer_id: PeerId) -> None:
        """Return when the present stay of `peer_id` has ended, at once if it is away.

        That it came back in the meantime does not matter.
        """
        stay = self._stays.get(peer_id)
        if stay is not None:
            await stay.wait()
