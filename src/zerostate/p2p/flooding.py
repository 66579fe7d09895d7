"""What gossip may cost: how much each neighbour may bring, and each author write."""

from typing import Final, final

from zerostate.clock import Clock
from zerostate.ids import PeerId
from zerostate.p2p.config import P2PConfig
from zerostate.telemetry.budget import BucketTable

MAX_RATED_PEERS: Final = 4096
"""Forwarders and authors whose rate is followed, each; the one heard of longest ago
goes first. Authors cost nothing, but whoever invents them pays as a forwarder."""

BURST_S: Final = 2.0
"""What may come at once after a pause: as much as otherwise in this time, in seconds."""


@final
class FloodGate:
    """Token buckets for who brings gossip and for who wrote it."""

    def __init__(self, config: P2PConfig, clock: Clock) -> None:
        self._clock = clock
        self._forwarders = _table(config.gossip_forwarder_rate_per_s)
        self._authors = _table(config.gossip_author_rate_per_s)

    def may_bring(self, forwarder: PeerId) -> bool:
        """Charge who brings a message, before it is looked at; return whether it may."""
        return self._forwarders.take(forwarder, self._clock.monotonic_ns())

    def may_write(self, author: PeerId) -> bool:
        """Charge who wrote a message that is new here; return whether it may."""
        return self._authors.take(author, self._clock.monotonic_ns())


def _table(rate_per_s: float) -> BucketTable:
    return BucketTable(rate_per_s, max(1.0, rate_per_s * BURST_S), MAX_RATED_PEERS)
