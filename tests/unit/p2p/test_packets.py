"""Noise packets straight from a socket and to it: whole, in order, without waits."""

import socket as stdlib_socket
import struct
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError
from libp2p.network.connection.exceptions import RawConnError
from libp2p.peer.id import ID
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_SYN,
    TYPE_DATA,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
    Yamux,
)

from zerostate.p2p._libp2p.packets import (
    MAX_READS_AT_ONCE,
    Packets,
    UncontendedLock,
    put_in,
)

KEY = 0x5A
BIG_BYTES = 1 << 20
"""More than the two ends of a socket hold."""


class Noise:
    """Encrypts so that a test can see through it, and a packet too many is garbled."""

    def __init__(self):
        self._sealed = 0
        self._opened = 0

    def encrypt(self, data):
        self._sealed += 1
        return bytes([self._sealed % 256]) + bytes(byte ^ KEY for byte in data)

    def decrypt(self, data):
        self._opened += 1
        assert data[0] == self._opened % 256, "a packet is missing"
        return bytes(byte ^ KEY for byte in data[1:])


class Secured:
    """What was secured: keys, and what the handshake read too much."""

    def __init__(self, socket, left=b""):
        self.conn = Noise()
        self.socket = socket
        self._left = left

    def _drain(self, n):
        assert n is None
        return self._left

    async def close(self):
        self.socket.close()


class Muxed:
    """What is multiplexed: up, and with a deadline of its own for bodies."""

    is_established = True

    def __init__(self):
        self.waited_for = []

    async def _read_data_body(self, length):
        self.waited_for.append(length)
        return b"in time"


class End:
    """One end of a connection."""

    def __init__(self, raw, left=b""):
        raw.setblocking(False)
        raw.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, 4096)
        self.socket = trio.socket.from_stdlib_socket(raw)
        self.conn = Muxed()
        secured = Secured(self.socket, left)
        self.packets = Packets(self.conn, secured, self.socket)

    def fill(self):
        """Send numbered frames until the socket is full; return how many."""
        count = 0
        while self.packets.send_now(numbered(count)):
            count += 1
        return count


def numbered(number):
    return number.to_bytes(4, "big") * 256


@asynccontextmanager
async def open_ends(left=b""):
    near, far = stdlib_socket.socketpair()
    with near, far:
        yield End(near), End(far, left)


async def test_a_frame_is_there_as_soon_as_it_is_sent():
    async with open_ends() as (near, far):
        assert near.packets.send_now(b"first")
        assert near.packets.send_now(b"second")
        with trio.fail_after(5):
            assert await far.packets.read(5) == b"first"
            assert await far.packets.read(2) == b"se"
            assert await far.packets.read() == b"cond"


async def test_what_the_handshake_left_comes_first():
    async with open_ends(left=b"left") as (near, far):
        near.packets.send_now(b" over")
        with trio.fail_after(5):
            assert await far.packets.read(9) == b"left over"


async def test_frames_that_find_the_socket_full_leave_whole_and_in_order():
    async with open_ends() as (near, far):
        count = near.fill()
        assert count > 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.packets.write_frame, numbered(count))
            with trio.fail_after(5):
                for number in range(count + 1):
                    assert await far.packets.read(1024) == numbered(number)
        assert near.packets.send_now(b"free again")


async def test_nothing_is_sent_at_once_before_the_connection_is_established():
    async with open_ends() as (near, _):
        near.conn.is_established = False
        assert not near.packets.send_now(b"early")


async def test_a_frame_larger_than_a_packet_comes_whole():
    data = bytes(range(256)) * 1024
    async with open_ends() as (near, far), trio.open_nursery() as nursery:
        nursery.start_soon(near.packets.write_frame, data)
        with trio.fail_after(5):
            assert await far.packets.read(len(data)) == data


async def test_only_a_body_that_has_not_come_whole_is_waited_for():
    async with open_ends() as (near, far):
        near.packets.send_now(b"header")
        near.packets.send_now(b"all of the body")
        with trio.fail_after(5):
            assert await far.packets.read(6) == b"header"
            assert await far.packets.read_body(15) == b"all of the body"
        assert far.conn.waited_for == []
        near.packets.send_now(b"half")
        assert await far.packets.read_body(8) == b"in time"
        assert far.conn.waited_for == [8]


async def test_a_cancelled_writer_ends_its_frame():
    async with open_ends() as (near, far):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.packets.write_frame, b"x" * BIG_BYTES)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True), trio.fail_after(5):
                assert await far.packets.read(BIG_BYTES) == b"x" * BIG_BYTES
        assert near.packets.send_now(b"next")
        with trio.fail_after(5):
            assert await far.packets.read(4) == b"next"


@pytest.mark.parametrize("how", ["write", "send_now"])
async def test_a_connection_that_takes_no_frame_is_closed(how, autojump_clock):
    async with open_ends() as (near, far):
        if how == "write":
            with pytest.raises(RawConnError):
                await near.packets.write_frame(b"x" * BIG_BYTES)
        else:
            near.fill()
            await trio.sleep(10)
        assert near.socket.fileno() == -1
        assert not near.packets.send_now(b"late")
        with pytest.raises(ConnectionClosedError):
            await near.packets.write(b"late")
        del far


async def test_an_end_in_order_is_told_from_a_broken_connection():
    async with open_ends() as (near, far):
        near.packets.send_now(b"last")
        near.socket.close()
        assert await far.packets.read(4) == b"last"
        with pytest.raises(IncompleteReadError) as caught:
            await far.packets.read(1)
        assert caught.value.is_clean_close
        with pytest.raises(ConnectionClosedError):
            await far.packets.write(b"to nobody")


async def test_closing_it_ends_whoever_reads_and_whoever_writes():
    async with open_ends() as (near, _), trio.open_nursery() as nursery:

        async def read():
            with pytest.raises(IncompleteReadError):
                await near.packets.read(1)
            with pytest.raises(ConnectionClosedError):
                await near.packets.read(1)

        async def write():
            with pytest.raises(ConnectionClosedError):
                await near.packets.write(b"x" * BIG_BYTES)

        nursery.start_soon(read)
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        near.socket.close()


async def test_others_have_a_turn_while_much_is_read():
    async with open_ends() as (near, far):
        near.packets.send_now(bytes(4 * MAX_READS_AT_ONCE))
        turns = 0

        async def take_turns():
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turns)
            assert await far.packets.read(1) == b"\0"
            turns = 0
            for _ in range(3 * MAX_READS_AT_ONCE):
                await far.packets.read(1)
            assert turns >= 2  # of three; the last may be due just now
            nursery.cancel_scope.cancel()


async def test_a_free_lock_is_taken_without_a_turn_and_a_held_one_in_order(
    autojump_clock,
):
    lock = UncontendedLock()
    order = []

    async def take(name):
        async with lock:
            order.append(name)
            assert lock.is_held
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        async with lock:
            nursery.start_soon(take, "first")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(take, "second")
            await trio.testing.wait_all_tasks_blocked()
            assert order == []
    assert order == ["first", "second"]
    assert not lock.is_held
    with trio.testing.assert_no_checkpoints():
        async with lock:
            pass


@pytest.mark.parametrize("error", [ConnectionClosedError("gone"), KeyError("a bug")])
async def test_what_fails_when_a_rest_is_sent_ends_the_connection_alone(
    error, caplog, monkeypatch
):
    async with open_ends() as (one, other):

        async def fail(_data):
            raise error

        monkeypatch.setattr(one.packets, "_send", fail)
        assert one.packets.send_now(bytes(BIG_BYTES))
        with pytest.raises(IncompleteReadError):
            while True:
                await other.packets.read()


def yamux_frame(kind, flags, stream_id, length):
    return struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, stream_id, length)


def cut_off(end):
    end.shutdown(stdlib_socket.SHUT_WR)


def garble(end):
    end.sendall(b"\0\x01\0")


@pytest.mark.parametrize("break_it", [cut_off, garble])
async def test_what_came_of_a_body_is_never_taken_for_frames(break_it):
    """The real Yamux reads on after a body that did not come whole."""
    near, far = stdlib_socket.socketpair()
    near.setblocking(False)
    socket = trio.socket.from_stdlib_socket(near)
    here, there = (create_new_key_pair() for _ in range(2))
    noise = Noise()
    noise.close = Secured(socket).close
    secured = SecureSession(
        local_peer=ID.from_pubkey(here.public_key),
        local_private_key=here.private_key,
        remote_peer=ID.from_pubkey(there.public_key),
        remote_permanent_pubkey=there.public_key,
        is_initiator=False,
        conn=noise,
    )
    conn = Yamux(secured, secured.remote_peer, is_initiator=False)
    packets = Packets(conn, secured, socket)
    put_in(packets, conn, secured)
    sealing = Noise()

    def send(frame):
        packet = sealing.encrypt(frame)
        far.sendall(len(packet).to_bytes(2, "big") + packet)

    with near, far:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(conn.start)
            for stream_id in (1, 3):
                send(yamux_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, stream_id, 0))
            streams = [await conn.accept_stream() for _ in range(2)]
            body = yamux_frame(TYPE_DATA, 0, 3, 6) + b"forged"
            send(yamux_frame(TYPE_DATA, 0, 1, 60_000) + body)
            await trio.testing.wait_all_tasks_blocked(0.05)
            break_it(far)
            with trio.fail_after(5), pytest.raises(BaseLibp2pError):
                while True:
                    assert await streams[1].read(6) == b""
                    await trio.sleep(0.01)
            with pytest.raises(ConnectionClosedError):
                await packets.read(1)
            nursery.cancel_scope.cancel()
