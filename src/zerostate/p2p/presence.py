"""Who is connected, and how to wait until somebody is, or no longer is."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import trio

from zerostate.ids import PeerId

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """One stay of one peer, however many connections it has in the meantime."""

    began_at_s: float = field(default_factory=trio.current_time)
    """By trio's clock."""

    ended: trio.Event = field(default_factory=trio.Event)

    def stood_s(self) -> float:
        """Return how long it has lasted so far, in seconds."""
        return trio.current_time() - self.began_at_s


def _ignore(_peer_id: PeerId) -> None:
    pass


@final
class Presence:
    """The connected peers. Each stay of a peer ends with an event of its own.

    Attributes:
        told: Called with each peer that arrives; must be quick and must not raise.
    """

    def __init__(self) -> None:
        self._stays: dict[PeerId, Stay] = {}
        self._awaited: dict[PeerId, trio.Event] = {}
        self.told: Callable[[PeerId], None] = _ignore

    def arrived(self, peer_id: PeerId) -> bool:
        """Note that `peer_id` is connected; return whether that is news."""
        if peer_id in self._stays:
            return False
        self._stays[peer_id] = Stay()
        awaited = self._awaited.pop(peer_id, None)
        if awaited is not None:
            awaited.set()
        self.told(peer_id)
        return True

    def left(self, peer_id: PeerId) -> Stay | None:
        """Note that `peer_id` is gone, wake who waits; return the stay that ended."""
        stay = self._stays.pop(peer_id, None)
        if stay is not None:
            stay.ended.set()
        return stay

    def stay(self, peer_id: PeerId) -> Stay | None:
        """Return the present stay of `peer_id`; None if it is away."""
        return self._stays.get(peer_id)

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self._stays

    def peers(self) -> frozenset[PeerId]:
        """Return the connected peers."""
        return frozenset(self._stays)

    async def wait_here(self, peer_id: PeerId) -> None:
        """Return when `peer_id` is connected, at once if it is.

        A peer is remembered as long as somebody waits for it.
        """
        if peer_id in self._stays:
            return
        awaited = self._awaited.setdefault(peer_id, trio.Event())
        try:
            await awaited.wait()
        finally:
            is_last = not awaited.statistics().tasks_waiting
            if is_last and self._awaited.get(peer_id) is awaited:
                del self._awaited[peer_id]

    async def wait_lost(self, peer_id: PeerId) -> None:
        """Return when the present stay of `peer_id` has ended, at once if it is away.

        That it came back in the meantime does not matter.
        """
        stay = self._stays.get(peer_id)
        if stay is not None:
            await stay.ended.wait()
