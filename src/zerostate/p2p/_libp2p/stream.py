"""A libp2p stream as a `zerostate.p2p.host.Stream`."""

import struct
from typing import Final, final

import trio
from libp2p.abc import INetStream
from libp2p.stream_muxer.yamux.yamux import (
    HEADER_SIZE,
    MAX_MESSAGE_SIZE,
    TYPE_DATA,
    YAMUX_HEADER_FORMAT,
)

from zerostate.errors import PeerLostError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import FOREIGN, failing_as
from zerostate.p2p._libp2p.packets import packets_of
from zerostate.p2p._libp2p.windows import announce_less_often, yamux_stream

CLOSE_TIMEOUT_S: Final = 1.0
"""Longest that closing a stream may take, in seconds; then it is left to the
connection's end."""

MAX_NOW_BYTES: Final = MAX_MESSAGE_SIZE - HEADER_SIZE
"""What is written without a wait, at most: one frame, as libp2p cuts them."""

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
        self._packets = packets_of(self._yamux.conn)
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

    def write_now(self, data: bytes) -> bool:
        """Hand `data` to the transport if that needs no wait; return whether it did."""
        yamux = self._yamux
        size_bytes = len(data)
        if (
            self._packets is None
            or size_bytes > min(MAX_NOW_BYTES, yamux.send_window)
            or yamux.closed
            or yamux.send_closed
        ):
            return False
        header = struct.pack(
            YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, yamux.stream_id, size_bytes
        )
        if not self._packets.send_now(header + data):
            return False
        yamux.send_window -= size_bytes
        return True

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
