"""Serving other DHT peers, so that one of them cannot keep all others out.

py-libp2p's own server takes twelve streams in all, from whomever, and waits on each for
ever: one peer with twelve idle streams would end it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio
from libp2p.abc import INetStream

from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import FOREIGN

MAX_STREAMS: Final = 64
"""Streams served at once. Each may hold a request of up to 4 MiB (py-libp2p's bound)."""

MAX_STREAMS_OF_PEER: Final = 8
"""Streams of one peer served at once; as many operations may ask us at once."""

SERVE_TIMEOUT_S: Final = 10.0
"""Longest that a stream is served, in seconds: several requests of an asker that waits
2 s for each."""

RESET_TIMEOUT_S: Final = 1.0
"""Longest that resetting a stream may take, in seconds."""


@final
class KadServer:
    """Hands streams to py-libp2p's server, within bounds.

    Args:
        serve: Serves one stream until it ends.
        refused: Told why a stream was not served: ``too_many``, or ``too_slow``.
    """

    def __init__(
        self,
        serve: Callable[[INetStream], Awaitable[None]],
        refused: Callable[[str], None],
    ) -> None:
        self._serve = serve
        self._refused = refused
        self._open: Counter[PeerId] = Counter()

    async def handle(self, stream: INetStream) -> None:
        """Serve `stream`, or reset it."""
        peer_id = PeerId(str(stream.muxed_conn.peer_id))
        if (
            self._open.total() >= MAX_STREAMS
            or self._open[peer_id] >= MAX_STREAMS_OF_PEER
        ):
            await self._refuse(stream, "too_many")
            return
        self._open[peer_id] += 1
        try:
            with trio.move_on_after(SERVE_TIMEOUT_S) as scope:
                await self._serve(stream)
        finally:
            self._open[peer_id] -= 1
            if not self._open[peer_id]:
                del self._open[peer_id]
        if scope.cancelled_caught:
            await self._refuse(stream, "too_slow")

    async def _refuse(self, stream: INetStream, reason: str) -> None:
        self._refused(reason)
        with trio.move_on_after(RESET_TIMEOUT_S):
            try:
                await stream.reset()
            except FOREIGN:
                return
