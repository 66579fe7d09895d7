"""What other peers may ask of this one in guilds, so that none wears it out."""

from typing import Final, final

from zerostate.clock import Clock
from zerostate.errors import OverloadedError
from zerostate.ids import PeerId
from zerostate.telemetry.budget import BucketTable, TokenBucket

PEER_RATE_PER_S: Final = 20.0
"""Requests of one kind that one peer may make a second in the long run: it joins a guild
for each task of a busy requester, and its heart beats once in each of them."""

PEER_BURST: Final = 128.0
"""Requests of one kind that one peer may make at once: two for each guild that a peer
takes part in."""

ALL_RATE_PER_S: Final = 200.0
"""Requests of one kind that all peers together may make a second in the long run.
Identities are free, so a bound for each is none for all."""

ALL_BURST: Final = 1000.0
"""Requests of one kind that all peers together may make at once."""

MAX_PEERS: Final = 1024
"""Peers whose budget is remembered; the one that asked longest ago is forgotten."""


@final
class RequestBudget:
    """Tokens for one kind of request: of each peer, and of all together.

    Args:
        clock: Its monotonic reading refills the buckets.
        what: What is asked, in words, for the refusal.
        rate_per_s: For one peer, in the long run.
        burst: For one peer, at once.
    """

    def __init__(
        self,
        clock: Clock,
        what: str,
        *,
        rate_per_s: float = PEER_RATE_PER_S,
        burst: float = PEER_BURST,
    ) -> None:
        self._clock = clock
        self._what = what
        self._peers = BucketTable(rate_per_s, burst, MAX_PEERS)
        self._all = TokenBucket(ALL_RATE_PER_S, ALL_BURST, clock.monotonic_ns())

    def charge(self, peer_id: PeerId) -> None:
        """Take one token of `peer_id`, and one of all.

        Raises:
            OverloadedError: There is none; what was asked must not be done.
        """
        now_ns = self._clock.monotonic_ns()
        if not self._peers.take(peer_id, now_ns):
            raise OverloadedError(f"{peer_id} asks for too many {self._what}")
        if not self._all.take(now_ns):
            raise OverloadedError(f"too many peers ask for {self._what}")
