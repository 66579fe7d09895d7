"""Connections that only the distributed hash table wanted, kept few.

A lookup dials whom others name. Left alone, a few lookups would fill
``max_connections``, and strangers could have them filled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

from zerostate.ids import PeerId
from zerostate.p2p.host import Host
from zerostate.p2p.lines import Lines
from zerostate.p2p.presence import Presence, Stay

MAX_SHARE: Final = 2
"""The table's own connections are at most this part, a half, of ``max_connections``."""

SPARED_S: Final = 20.0
"""As long as this a stay is not ended for another's sake, in seconds: longer than any
operation that began it goes on."""


@final
class DhtStays:
    """The stays that the table began and that nobody else has asked for since."""

    def __init__(
        self, max_connections: int, *, host: Host, presence: Presence, lines: Lines
    ) -> None:
        self._limit = max(1, max_connections // MAX_SHARE)
        self._host = host
        self._presence = presence
        self._lines = lines
        self._made: dict[PeerId, Stay] = {}
        self._dials = 0

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._standing()) + self._dials >= self._limit

    @contextmanager
    def dialling(self, peer_id: PeerId) -> Iterator[None]:
        """Cover a dial of the table's; note the stay that it begins."""
        self._dials += 1
        try:
            yield
        finally:
            self._dials -= 1
        stay, path = self._presence.stay(peer_id), self._host.path(peer_id)
        if stay is not None and path is not None and path.dialled:
            self._made[peer_id] = stay

    def adopt(self, peer_id: PeerId) -> None:
        """Note that somebody else wants the stay, too."""
        self._made.pop(peer_id, None)

    def idle(self) -> PeerId | None:
        """Return the peer of the oldest stay that can be ended, if there is one.

        Requests of ours, or circuits that go through the peer, spare it.
        """
        passing = {
            path.relay
            for peer_id in self._presence.peers()
            if (path := self._host.path(peer_id)) is not None
        }
        for peer_id, stay in self._standing().items():
            is_used = self._lines.standing(peer_id) is not None or peer_id in passing
            if not is_used and stay.stood_s() >= SPARED_S:
                return peer_id
        return None

    def _standing(self) -> dict[PeerId, Stay]:
        self._made = {
            peer_id: stay
            for peer_id, stay in self._made.items()
            if self._presence.stay(peer_id) is stay
        }
        return self._made
