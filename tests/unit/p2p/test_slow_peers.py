"""A peer that does not read, or asks for too much, costs bounded memory."""

from collections import Counter

import pytest
import trio
import trio.testing

from zerostate.clock import SystemClock
from zerostate.errors import MessageTooLargeError, OverloadedError, PeerLostError
from zerostate.ids import PeerId
from zerostate.p2p import P2PConfig
from zerostate.p2p.answers import MAX_UNREAD_BYTES
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.frames import (
    FRAME_TIMEOUT_S,
    LENGTH_BYTES,
    read_frame,
    write_frame,
)
from zerostate.p2p.serving import MAX_INBOUND_BYTES, ROOM_TIMEOUT_S, SMALL_BYTES
from zerostate.p2p.shares import FairShares
from zerostate.p2p.writing import FRAME_OVERHEAD_BYTES, MAX_BATCH_BYTES, FrameWriter
from zerostate.telemetry import TraceCarrier
from zerostate.testing.peers import open_memory_peers

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")
MAX_BYTES = 16 << 20


def test_one_peer_gets_half_and_each_newcomer_half_of_the_rest():
    shares = FairShares(64)

    def taken(peer_id):
        count = 0
        while shares.take(peer_id):
            count += 1
        return count

    assert [taken(peer_id) for peer_id in (A, B, C)] == [32, 16, 8]
    assert (shares.free, shares.held_by(A)) == (8, 32)


def test_the_only_place_can_be_taken():
    shares = FairShares(1)

    assert shares.take(A)
    assert not shares.take(B)
    shares.give_back(A)
    assert shares.take(B)


async def test_who_waits_for_room_gets_it_when_it_is_given_back(autojump_clock):
    shares = FairShares(10)
    assert shares.take(A, 5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shares.wait_and_take, B, 6)
        await trio.testing.wait_all_tasks_blocked()
        assert shares.held_by(B) == 0
        shares.give_back(A, 5)

    assert (shares.held_by(A), shares.held_by(B), shares.free) == (0, 6, 4)


class SlowStream:
    """Takes one write at a time, each when `takes` is called."""

    remote = A
    ahead_bytes = 0

    def __init__(self):
        self.written = []
        self.takes_now = False
        self._may_take = trio.Semaphore(0)

    def takes(self):
        self._may_take.release()

    def write_now(self, data):
        if self.takes_now:
            self.written.append(data)
        return self.takes_now

    async def write(self, data):
        await self._may_take.acquire()
        self.written.append(data)


class Writing:
    """A `FrameWriter` on a slow stream."""

    def __init__(self, nursery, capacity=10_000):
        self.stream = SlowStream()
        self.room = FairShares(capacity)
        self.broken = 0
        self.writer = FrameWriter(
            self.stream, max_bytes=1000, room=self.room, broken=self._on_broken
        )
        nursery.start_soon(self.writer.run)

    async def _on_broken(self):
        self.broken += 1


@pytest.fixture
async def writing():
    async with trio.open_nursery() as nursery:
        yield Writing(nursery)
        nursery.cancel_scope.cancel()


def framed(data):
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


async def test_what_the_stream_takes_at_once_does_not_wait(writing, autojump_clock):
    writer, stream = writing.writer, writing.stream
    stream.takes_now = True
    writer.put(1, b"at once")
    assert stream.written == [framed(b"at once")]
    assert writing.room.free == 10_000

    stream.takes_now = False
    writer.put(2, b"later")
    stream.takes_now = True
    writer.put(3, b"behind it")
    assert stream.written == [framed(b"at once")]
    stream.takes()
    await trio.testing.wait_all_tasks_blocked()
    assert stream.written[1:] == [framed(b"later") + framed(b"behind it")]


async def test_what_waits_is_written_in_order_and_many_at_once(writing, autojump_clock):
    writer, stream = writing.writer, writing.stream
    for text in (b"first", b"second", b"third"):
        writer.put(text, text)
        await trio.testing.wait_all_tasks_blocked()
    assert writing.room.held_by(A) == 16 + 3 * FRAME_OVERHEAD_BYTES
    stream.takes()
    stream.takes()
    await trio.testing.wait_all_tasks_blocked()

    assert stream.written == [framed(b"first"), framed(b"second") + framed(b"third")]
    assert writing.room.held_by(A) == 0


async def test_at_once_is_not_more_than_a_batch(autojump_clock):
    async with trio.open_nursery() as nursery:
        writing = Writing(nursery, capacity=1 << 20)
        size = MAX_BATCH_BYTES // 2
        writing.writer._max_bytes = size
        for key in range(4):
            writing.writer.put(key, bytes(size))
        for _ in range(4):
            writing.stream.takes()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert [len(data) for data in writing.stream.written] == [
        2 * (size + LENGTH_BYTES)
    ] * 2


async def test_what_is_withdrawn_is_not_written_and_takes_no_room(
    writing, autojump_clock
):
    writing.writer.put(1, b"first")
    await trio.testing.wait_all_tasks_blocked()
    writing.writer.put(2, b"second")

    assert writing.writer.withdraw(2)
    assert not writing.writer.withdraw(2)
    assert not writing.writer.withdraw(1)
    writing.stream.takes()
    await trio.testing.wait_all_tasks_blocked()
    assert writing.stream.written == [framed(b"first")]
    assert writing.room.free == 10_000


async def test_more_than_the_room_or_a_frame_holds_is_refused(writing, autojump_clock):
    with pytest.raises(MessageTooLargeError):
        writing.writer.put(0, bytes(1001))
    put = 0
    with pytest.raises(OverloadedError, match="bytes to one peer wait"):
        for put in range(100):
            writing.writer.put(put, bytes(1000))

    # The fifth would leave less than is held already.
    assert put == 4
    assert writing.room.held_by(A) == 4 * (1000 + FRAME_OVERHEAD_BYTES)


async def test_a_stream_that_takes_nothing_is_given_up_and_its_room_returned(
    writing, autojump_clock
):
    writing.writer.put(1, b"first")
    writing.writer.put(2, b"second")
    began_s = trio.current_time()
    with pytest.raises(PeerLostError):
        await writing.writer.wait_unsent_below(1)

    assert trio.current_time() - began_s == pytest.approx(FRAME_TIMEOUT_S)
    assert writing.broken == 1
    assert writing.room.free == 10_000
    with pytest.raises(PeerLostError):
        writing.writer.put(3, b"third")


class Raw:
    """Speaks the protocol by hand, and does not read unless told to."""

    def __init__(self, peer, stream, to):
        self.codec = MessageCodec(P2PConfig(), peer.identity, SystemClock())
        self.stream = stream
        self.to = to

    async def ask(self, body=b"", **fields):
        data = await self.codec.seal(
            "guild_join", body, TraceCarrier(), ttl_s=100, to=self.to, **fields
        )
        await write_frame(self.stream, data, max_bytes=MAX_BYTES)


async def raw(peer, to):
    return Raw(peer, await peer.host.open_stream(to.peer_id), to.peer_id)


async def test_who_does_not_take_its_replies_is_not_read_any_further(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        handled = []

        async def verbose(message):
            handled.append(message)
            return bytes(600_000)

        bob.node.handle("guild_join", verbose)
        asker = await raw(alice, bob)
        # In memory a write ends at once: what is not read is held by the pipe, so the
        # stream stands still for Bob as soon as Alice is asleep.
        alice.host.freeze()
        stream = asker.stream
        sealed = [
            await asker.codec.seal(
                "guild_join", b"", TraceCarrier(), ttl_s=100, to=bob.peer_id
            )
            for _ in range(12)
        ]
        for data in sealed:
            await stream._pipe.send_all(framed(data))
        await trio.sleep(1)

        assert len(handled) <= 2 + MAX_UNREAD_BYTES // 600_000
        unsent = bob.node._server._unsent
        assert unsent.held_by(alice.peer_id) >= MAX_UNREAD_BYTES
        await trio.sleep(FRAME_TIMEOUT_S)
        assert unsent.held_by(alice.peer_id) == 0
        assert bob.node._server._streams == Counter()


async def test_a_reply_without_room_ends_the_stream_and_is_counted(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        bob.node._server._unsent._free = 1000

        async def verbose(message):
            return bytes(600)

        bob.node.handle("guild_join", verbose)
        with pytest.raises(PeerLostError):
            await alice.node.request(bob.peer_id, "guild_join", b"")

        assert bob.node.stats()["replies.dropped"] == 1


async def test_one_peer_cannot_take_all_handlers(autojump_clock):
    config = P2PConfig(max_concurrent_handlers=8)
    async with open_memory_peers(3, config=config) as (alice, bob, carol):

        async def slow(message):
            await trio.sleep(50)
            return b"done"

        bob.node.handle("guild_join", slow)
        greedy = await raw(alice, bob)
        for _ in range(20):
            await greedy.ask()
        await trio.sleep(1)

        assert bob.node.stats()["requests.overloaded"] == 16
        reply = await carol.node.request(bob.peer_id, "guild_join", b"", timeout_s=60)
        assert reply == b"done"


async def test_large_requests_wait_for_room_and_then_for_nothing(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        inbound = bob.node._server._inbound

        async def slow(message):
            await trio.sleep(50)
            return b""

        bob.node.handle("guild_join", slow)
        asker = await raw(alice, bob)
        body = bytes(900_000)
        assert len(body) > SMALL_BYTES
        inbound._free = 2_500_000
        began_s = trio.current_time()
        await asker.ask(body)
        await asker.ask(body)
        with pytest.raises(PeerLostError):
            await asker.stream.read_exactly(1)

        assert trio.current_time() - began_s == pytest.approx(ROOM_TIMEOUT_S, abs=0.1)
        assert bob.node.stats()["streams.overloaded"] == 1
        await trio.sleep(60)
        assert inbound.free == 2_500_000
        assert MAX_INBOUND_BYTES > 4 * MAX_BYTES


async def test_a_large_request_gets_the_room_that_another_leaves(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):

        async def slow(message):
            await trio.sleep(2)
            return b"%d" % len(message.body)

        bob.node.handle("guild_join", slow)
        bob.node._server._inbound._free = 1_900_000
        replies = []

        async def ask():
            body = bytes(900_000)
            replies.append(await alice.node.request(bob.peer_id, "guild_join", body))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)

        assert replies == [b"900000"] * 2
        assert bob.node._server._inbound.free == 1_900_000


async def test_a_length_of_which_no_more_comes_ends_the_stream(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        stream = await alice.host.open_stream(bob.peer_id)
        await trio.sleep(10 * FRAME_TIMEOUT_S)
        await stream.write(b"\0")

        with trio.fail_after(FRAME_TIMEOUT_S + 1), pytest.raises(PeerLostError):
            await stream.read_exactly(1)


async def test_a_frame_of_which_no_more_comes_ends_the_stream(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        stream = await alice.host.open_stream(bob.peer_id)
        began_s = trio.current_time()
        await stream.write((100).to_bytes(LENGTH_BYTES, "big") + b"half")
        with pytest.raises(PeerLostError):
            await read_frame(stream, max_bytes=100)

        assert trio.current_time() - began_s == pytest.approx(FRAME_TIMEOUT_S)
