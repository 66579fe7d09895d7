"""A libp2p stream as a `zerostate.p2p.host.Stream`."""

from typing import Final, final

import trio
from libp2p.abc import INetStream

from zerostate.errors import PeerLostError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import FOREIGN, failing_as
from zerostate.p2p._libp2p.windows import announce_less_often, yamux_stream

CLOSE_TIMEOUT_S: Final = 1.0
"""Longest that closing a stream may take, in seconds; then it is left to the
connection's end."""

_ALL_THERE_IS: Final = -1
"""Yamux's name for what has arrived; waits for the first byte."""


@final
class Libp2pStream:
    """One stream; at most Yamux's window is read ahead.

    Reads and writes go to the Yamux stream itself. The one that libp2p puts around it
    takes a lock before each, to remember what Yamux knows as well, and a turn of the
    event loop with it, four for one request. Of the two ways to read, the one that
    takes all there is needs no lock either.
    """

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._yamux = yamux_stream(stream)
        self._ahead = bytearray()
        announce_less_often(self._yamux)
        self.remote: Final = PeerId(str(stream.muxed_conn.peer_id))

    @property
    def ahead_bytes(self) -> int:
        """What was read ahead."""
        return len(self._ahead)

    async def read_exactly(self, size_bytes: int) -> bytes:
        """Return the next `size_bytes` bytes."""
        # Not libp2p's own read_exactly: it gives up after 100 short reads, which is
        # some MiB.
        ahead = self._ahead
        if len(ahead) < size_bytes:
            with failing_as(self._lost):
                while len(ahead) < size_bytes:
                    part = await self._yamux.read(_ALL_THERE_IS)
                    if not part:
                        raise PeerLostError(f"{self.remote} closed the stream")
                    ahead += part
        with memoryview(ahead) as view:
            data = bytes(view[:size_bytes])
        del ahead[:size_bytes]
        return data

    async def write(self, data: bytes) -> None:
        """Hand `data` to the transport."""
        with failing_as(self._lost):
            await self._yamux.write(data)

    async def aclose(self) -> None:
        """Reset the stream, so that neither end waits for the other."""
        with trio.CancelScope(
            deadline=trio.current_time() + CLOSE_TIMEOUT_S, shield=True
        ):
            try:
                await self._stream.reset()
            except FOREIGN:
                return

    def _lost(self, reason: str) -> PeerLostError:
        return PeerLostError(f"the stream with {self.remote} broke ({reason})")
