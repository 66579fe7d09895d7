"""What peers send and nobody has read yet: bounded, whatever they send.

libp2p 0.8.1 notes that a peer sends more on a stream than it was given room for, and
keeps it all the same, on any number of streams: one stream that nobody reads from was
enough to fill the memory of this process.
"""

import weakref
from typing import TYPE_CHECKING, Final, final

import trio
from libp2p.abc import IMuxedConn
from libp2p.stream_muxer.yamux.yamux import DEFAULT_WINDOW_SIZE, Yamux

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_UNREAD_BYTES: Final = 256 << 20
"""Bytes that wait to be read on all connections together (256 MiB). One connection
alone gets half: no more than it leaves free."""

ALWAYS_BYTES: Final = 1 << 20
"""Bytes that may wait on a connection however much waits on others (1 MiB)."""

CHECK_BYTES: Final = 256 << 10
"""Bytes that a connection may bring between two looks at what waits on it: one window
of Yamux."""

MAX_STREAMS: Final = 512
"""Streams open on one connection, of both ends: libp2p opens 256 at most itself."""

WINDOW_FACTOR: Final = 2
"""How far a stream's room may exceed its window: libp2p sometimes tells of the same
room twice."""


class UnreadLimitError(trio.TooSlowError):
    """A peer sent more than it had room for.

    A `TooSlowError`, for on no other exception does libp2p close the connection,
    whatever kind of frame it came with.
    """


@final
class Unread:
    """Bounds what waits to be read on the connections of one host.

    Args:
        exceeded: Called for each connection that is closed for sending too much.
        limit_bytes: What may wait on all connections together.
    """

    def __init__(
        self, exceeded: "Callable[[], None]", *, limit_bytes: int = MAX_UNREAD_BYTES
    ) -> None:
        self._exceeded = exceeded
        self._limit_bytes = limit_bytes
        self._conns: weakref.WeakSet[Yamux] = weakref.WeakSet()

    def watch(self, conn: IMuxedConn) -> None:
        """Have `conn` closed when its other end sends more than it may.

        What a stream holds is bounded by its window, what a connection holds by what
        the others leave free; both may be exceeded by one frame and `CHECK_BYTES`.
        """
        if not isinstance(conn, Yamux):
            raise TypeError(f"not a Yamux connection: {type(conn).__name__}")
        self._conns.add(conn)
        read = conn._read_data_body  # noqa: SLF001  # there is no other way in; libp2p is pinned
        unchecked_bytes = 0

        async def read_checked(length: int) -> bytes:
            nonlocal unchecked_bytes
            unchecked_bytes += length
            if unchecked_bytes >= CHECK_BYTES:
                unchecked_bytes = 0
                self._check(conn, length)
            return await read(length)

        conn._read_data_body = read_checked  # type: ignore[method-assign]  # noqa: SLF001  # see above

    def _check(self, conn: Yamux, coming_bytes: int) -> None:
        """Check what waits on `conn`, and what is about to come.

        Raises:
            UnreadLimitError: It is too much.
        """
        waiting_bytes = _waiting_bytes(conn)
        others_bytes = sum(_waiting_bytes(c) for c in self._conns if c is not conn)
        if (
            coming_bytes > _widest_bytes(conn)
            or any(_is_too_full(conn, stream_id) for stream_id in conn.streams)
            or waiting_bytes
            > max(ALWAYS_BYTES, self._limit_bytes - others_bytes - waiting_bytes)
        ):
            self._exceeded()
            raise UnreadLimitError(f"{waiting_bytes} bytes of {conn.peer_id} wait")


def has_room_for_stream(conn: IMuxedConn) -> bool:
    """Return whether the stream that was just opened on `conn` may stay open."""
    return not isinstance(conn, Yamux) or len(conn.streams) <= MAX_STREAMS


def _waiting_bytes(conn: Yamux) -> int:
    if conn.is_closed:
        return 0
    return sum(len(buffer) for buffer in conn.stream_buffers.values())


def _widest_bytes(conn: Yamux) -> int:
    windows = (stream.target_recv_window for stream in conn.streams.values())
    return WINDOW_FACTOR * max(windows, default=DEFAULT_WINDOW_SIZE)


def _is_too_full(conn: Yamux, stream_id: int) -> bool:
    window_bytes = conn.streams[stream_id].target_recv_window
    waiting_bytes = len(conn.stream_buffers.get(stream_id, b""))
    return waiting_bytes > WINDOW_FACTOR * window_bytes + CHECK_BYTES
