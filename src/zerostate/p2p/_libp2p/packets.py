"""A connection's Noise packets, straight from its socket and to it.

libp2p 0.8.1 takes a lock of trio's for each layer that a frame passes, and each lock is
a turn of the event loop: seven turns for one small frame out, five and three system
calls for one in. While there is nobody to wait for, none of them is needed.
"""

import logging
import os
from typing import Final, final

import trio
from libp2p.abc import IMuxedConn
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.io import (
    MAX_PLAINTEXT_LENGTH,
    SIZE_NOISE_MESSAGE_LEN,
    NoiseTransportReadWriter,
)
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.yamux.yamux import Yamux

from zerostate.p2p._libp2p.failures import FOREIGN
from zerostate.p2p._libp2p.whole_frames import leave_in_time

RECEIVE_BYTES: Final = 64 << 10
"""Bytes taken from the socket at once, so also what waits encrypted here, beside one
packet that has not come whole (64 KiB each)."""

CLOSE_TIMEOUT_S: Final = 1.0
"""Longest that closing a broken connection may take, in seconds."""

MAX_READS_AT_ONCE: Final = 64
"""Reads from what was received before, two a frame, until other tasks have a turn."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class Packets:
    """Encrypts and sends, receives and decrypts, for one connection.

    A frame, once begun, leaves whole, whoever is cancelled; see `whole_frames`.
    """

    def __init__(
        self, conn: Yamux, secured: SecureSession, socket: trio.socket.SocketType
    ) -> None:
        self._conn = conn
        self._secured = secured
        self._noise = secured.conn
        self._socket = socket
        self._sending = UncontendedLock()
        self._unsent = bytearray()
        self._received = bytearray()
        # What came along with the end of the handshake.
        self._decrypted = bytearray(secured._drain(None))  # noqa: SLF001  # there is no other way in; libp2p is pinned
        self._reads_at_once = 0
        self._is_over = False
        self._wait_for_body = conn._read_data_body  # noqa: SLF001  # see above

    def send_now(self, frame: bytes) -> bool:
        """Send `frame` if nothing else waits to be sent; return whether it is on its way.

        What the socket does not take at once is sent by a task of its own.
        """
        if self._unsent or self._sending.is_held or not self._conn.is_established:
            return False
        packets = self._encrypt(frame)
        try:
            sent_bytes = os.write(self._socket.fileno(), packets)
        except OSError:
            # The socket is full. Or broken, which the task will find out.
            sent_bytes = 0
        if sent_bytes < len(packets):
            self._unsent += packets[sent_bytes:]
            trio.lowlevel.spawn_system_task(self._finish)
        return True

    async def write(self, data: bytes) -> None:
        """Send `data`, after what waits already.

        Raises:
            ConnectionClosedError: The connection is broken.
            RawConnError: It did not leave in time, and the connection was closed.
        """
        async with self._sending:
            await leave_in_time(self._send, data, self._secured.close)

    async def write_frame(self, data: bytes) -> None:
        """Send a frame as `write` does, and let others have a turn."""
        await self.write(data)
        await trio.lowlevel.checkpoint()

    async def read(self, n: int | None = None) -> bytes:
        """Return the next `n` bytes; of None all there are, but one at least.

        Raises:
            IncompleteReadError: The connection ended in order.
            ConnectionClosedError: It broke, or a read has failed before.
        """
        if self._is_over:
            raise ConnectionClosedError("a read has failed before")
        try:
            return await self._read(n)
        except Exception:
            self._read_no_more()
            raise

    async def _read(self, n: int | None) -> bytes:
        decrypted = self._decrypted
        while len(decrypted) < (n or 1):
            if not self._decrypt_next():
                await self._receive()
        self._reads_at_once += 1
        if self._reads_at_once >= MAX_READS_AT_ONCE:
            self._reads_at_once = 0
            await trio.lowlevel.checkpoint()
        with memoryview(decrypted) as view:
            data = bytes(view[:n])
        del decrypted[: len(data)]
        return data

    async def read_body(self, length: int) -> bytes:
        """Return a frame's body; only what has not come yet takes a deadline."""
        while len(self._decrypted) < length and self._decrypt_next():
            pass
        if len(self._decrypted) >= length:
            return await self.read(length)
        try:
            return await self._wait_for_body(length)
        except Exception:
            self._read_no_more()
            raise

    def _read_no_more(self) -> None:
        """Have every later read fail.

        Yamux reads on after a body that did not come: what is here of that body would
        be taken for frames, of the other end's making only in name.
        """
        self._is_over = True
        self._decrypted.clear()
        self._received.clear()

    async def _finish(self) -> None:
        """Send what waits. The top of a system task: what it raised would end the node."""
        try:
            await self.write(b"")
        except FOREIGN as exc:
            _logger.debug("a frame did not leave: %r", exc)
        except Exception:
            _logger.exception("a frame did not leave")
        else:
            return
        with trio.CancelScope(
            deadline=trio.current_time() + CLOSE_TIMEOUT_S, shield=True
        ):
            try:
                await self._secured.close()
            except Exception as exc:  # noqa: BLE001  # it is broken already
                _logger.debug("what is broken does not end well: %r", exc)

    async def _send(self, data: bytes) -> None:
        await self._send_waiting()
        if data:
            self._unsent += self._encrypt(data)
            await self._send_waiting()

    async def _send_waiting(self) -> None:
        unsent = self._unsent
        while unsent:
            try:
                sent_bytes = os.write(self._descriptor(), unsent)
            except BlockingIOError:
                await self._wait_writable()
            except OSError as exc:
                raise ConnectionClosedError(f"cannot send: {exc}") from exc
            else:
                del unsent[:sent_bytes]

    async def _wait_writable(self) -> None:
        try:
            await trio.lowlevel.wait_writable(self._descriptor())
        except (OSError, trio.ClosedResourceError) as exc:
            raise ConnectionClosedError("closed while something waited") from exc

    def _descriptor(self) -> int:
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise ConnectionClosedError("the connection was closed here")
        return descriptor

    def _encrypt(self, frame: bytes) -> bytes:
        parts = []
        for start in range(0, len(frame), MAX_PLAINTEXT_LENGTH):
            part = self._noise.encrypt(frame[start : start + MAX_PLAINTEXT_LENGTH])
            parts.append(len(part).to_bytes(SIZE_NOISE_MESSAGE_LEN, "big"))
            parts.append(part)
        return b"".join(parts)

    def _decrypt_next(self) -> bool:
        """Decrypt one packet if there is a whole one; return whether there was."""
        received = self._received
        begin = SIZE_NOISE_MESSAGE_LEN
        end = begin + int.from_bytes(received[:begin], "big")
        if len(received) < max(begin, end):
            return False
        with memoryview(received) as view:
            packet = bytes(view[begin:end])
        del received[:end]
        self._decrypted += self._noise.decrypt(packet)
        return True

    async def _receive(self) -> None:
        self._reads_at_once = 0
        try:
            # Not tried before: most often there is nothing yet.
            await trio.lowlevel.wait_readable(self._descriptor())
            data = os.read(self._descriptor(), RECEIVE_BYTES)
        except BlockingIOError:
            return
        except trio.ClosedResourceError:
            data = b""
        except OSError as exc:
            raise ConnectionClosedError(f"cannot receive: {exc}") from exc
        if not data:
            raise IncompleteReadError("the connection has ended", received_bytes=0)
        self._received += data


@final
class UncontendedLock:
    """A lock that whoever finds it free takes without a turn of the event loop."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    @property
    def is_held(self) -> bool:
        """Whether somebody has it."""
        return self._lock.locked()

    async def __aenter__(self) -> None:
        """Take the lock."""
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    async def __aexit__(self, *_error: object) -> None:
        """Give it back."""
        self._lock.release()


def send_straight(conn: IMuxedConn) -> bool:
    """Have `conn` use its socket without libp2p's layers; return whether it has one.

    A connection through a relay has none of its own. Before `conn` is started.
    """
    if not isinstance(conn, Yamux):
        raise TypeError(f"not a Yamux connection: {type(conn).__name__}")
    socket = _socket_of(conn)
    secured = conn.secured_conn
    if socket is None or not isinstance(secured, SecureSession):
        return False
    put_in(Packets(conn, secured, socket), conn, secured)
    return True


def put_in(packets: Packets, conn: Yamux, secured: SecureSession) -> None:
    """Have `conn` read and write by `packets`."""
    secured.read = packets.read  # type: ignore[method-assign]  # there is no other way in; libp2p is pinned
    secured.write = packets.write  # type: ignore[method-assign]  # see above
    conn._write_frame = packets.write_frame  # type: ignore[method-assign]  # noqa: SLF001  # see above
    conn._read_data_body = packets.read_body  # type: ignore[method-assign]  # noqa: SLF001  # see above
    conn.streams_lock = UncontendedLock()  # type: ignore[assignment]  # see above


def packets_of(conn: Yamux) -> Packets | None:
    """Return the packets of a connection that sends straight; None for another."""
    packets = getattr(conn._write_frame, "__self__", None)  # noqa: SLF001  # where they were put
    return packets if isinstance(packets, Packets) else None


def _socket_of(conn: Yamux) -> trio.socket.SocketType | None:
    noise = getattr(conn.secured_conn, "conn", None)
    if not isinstance(noise, NoiseTransportReadWriter):
        return None
    raw = noise.read_writer.read_write_closer
    if not isinstance(raw, RawConnection) or not isinstance(raw.stream, TrioTCPStream):
        return None
    return raw.stream.stream.socket
