"""Writes that end a frame once it is begun, whoever is cancelled.

libp2p 0.8.1 encrypts a frame and then sends it, in the task of whoever writes. Cancelled
in between, it has used up a nonce of Noise for bytes that never leave: the other end
cannot decrypt what comes next, and the connection with all its streams is gone. Every
deadline of one request would be a danger to all others.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from libp2p.abc import IMuxedConn
from libp2p.network.connection.exceptions import RawConnError
from libp2p.stream_muxer.yamux.yamux import Yamux

FRAME_TIMEOUT_S: Final = 3.75
"""What one frame may take to leave, in seconds, and what a cancelled writer may have to
wait: more than the 3 s that a healthy peer may be busy, and little enough that a ping
that cannot leave does not keep a frozen peer from being found within 5 s."""

SLOWEST_BYTES_PER_S: Final = 256 << 10
"""A frame has that much longer for its size: the slowest connection that is kept."""


def write_whole_frames(conn: IMuxedConn) -> None:
    """Have `conn` send each frame whole, or be closed. Only Yamux is spoken here."""
    if not isinstance(conn, Yamux):
        raise TypeError(f"not a Yamux connection: {type(conn).__name__}")
    secured = conn.secured_conn
    write = secured.write

    async def write_whole(data: bytes) -> None:
        await leave_in_time(write, data, secured.close)

    secured.write = write_whole  # type: ignore[method-assign]  # there is no other way in; libp2p is pinned


async def leave_in_time(
    write: Callable[[bytes], Awaitable[None]],
    frame: bytes,
    close: Callable[[], Awaitable[None]],
) -> None:
    """Write `frame`, whoever is cancelled, or `close` the connection.

    Raises:
        RawConnError: It took too long. What `write` raises comes out as it is.
    """
    timeout_s = FRAME_TIMEOUT_S + len(frame) / SLOWEST_BYTES_PER_S
    deadline = trio.current_time() + timeout_s
    with trio.CancelScope(deadline=deadline, shield=True) as scope:
        await write(frame)
    if scope.cancelled_caught:
        await close()
        raise RawConnError(f"no frame could leave for {timeout_s:g} s")
