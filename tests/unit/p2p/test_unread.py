"""Bytes that wait to be read on all connections of a host share one room."""

import pytest
import trio
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from zerostate.evidence.identity import Identity
from zerostate.p2p._libp2p.unread import ALWAYS_BYTES, CHECK_BYTES, Unread

LIMIT_BYTES = 8 << 20
WINDOW_BYTES = 16 << 20


class Endless:
    """A secured connection whose other end never stops to send."""

    remote_peer = local_peer = ID.from_string(Identity(b"e" * 32).peer_id)

    async def read(self, n):
        return bytes(n)


def connection(unread, *waiting_bytes):
    """Return a connection with a stream for each of the numbers of waiting bytes."""
    conn = Yamux(Endless(), Endless.remote_peer, is_initiator=False)
    for stream_id, size_bytes in enumerate(waiting_bytes, 1):
        stream = YamuxStream(stream_id, conn, is_initiator=False)
        stream.target_recv_window = WINDOW_BYTES
        conn.streams[stream_id] = stream
        conn.stream_buffers[stream_id] = bytearray(size_bytes)
    unread.watch(conn)
    return conn


@pytest.fixture
def exceeded():
    return []


@pytest.fixture
def unread(exceeded):
    return Unread(lambda: exceeded.append(1), limit_bytes=LIMIT_BYTES)


async def test_one_connection_gets_half_of_the_room_over_all_its_streams(unread):
    quarter = LIMIT_BYTES // 4
    alone = connection(unread, quarter, quarter)
    await alone._read_data_body(CHECK_BYTES)
    alone.stream_buffers[1].extend(b"x")
    with pytest.raises(trio.TooSlowError):
        await alone._read_data_body(CHECK_BYTES)


async def test_what_waits_on_others_leaves_less_room(unread, exceeded):
    first = connection(unread, LIMIT_BYTES // 2)
    second = connection(unread, LIMIT_BYTES // 4 + 1)
    with pytest.raises(trio.TooSlowError):
        await second._read_data_body(CHECK_BYTES)
    assert exceeded == [1]
    first.event_closed.set()
    await second._read_data_body(CHECK_BYTES)


async def test_a_little_may_wait_on_a_connection_however_full_the_others_are(unread):
    full = connection(unread, LIMIT_BYTES)
    little = connection(unread, ALWAYS_BYTES)
    assert len(await little._read_data_body(CHECK_BYTES)) == CHECK_BYTES
    assert full.stream_buffers


async def test_no_frame_is_read_that_no_stream_has_room_for(unread):
    conn = connection(unread, 0)
    conn.streams[1].target_recv_window = CHECK_BYTES
    with pytest.raises(trio.TooSlowError):
        await conn._read_data_body(2 * CHECK_BYTES + 1)


async def test_few_bytes_are_read_without_a_look_at_what_waits(unread):
    full = connection(unread, LIMIT_BYTES)
    assert len(await full._read_data_body(CHECK_BYTES - 1)) == CHECK_BYTES - 1
    with pytest.raises(trio.TooSlowError):
        await full._read_data_body(1)
