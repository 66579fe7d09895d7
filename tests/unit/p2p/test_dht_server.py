"""No peer keeps the others from the DHT: the streams served are bounded."""

from types import SimpleNamespace

import trio
import trio.testing
from libp2p.network.stream.exceptions import StreamReset

from zerostate.p2p._libp2p.dht_server import (
    MAX_STREAMS,
    MAX_STREAMS_OF_PEER,
    SERVE_TIMEOUT_S,
    KadServer,
)


class Stream:
    """As much of a stream as the server uses."""

    def __init__(self, peer, *, fails=False):
        self.muxed_conn = SimpleNamespace(peer_id=peer)
        self.served = False
        self.resets = 0
        self.fails = fails

    async def reset(self):
        self.resets += 1
        if self.fails:
            raise StreamReset


async def serve_for_ever(stream):
    stream.served = True
    await trio.sleep_forever()


async def serve_quickly(stream):
    stream.served = True


async def test_a_peer_with_many_streams_leaves_room_for_others(autojump_clock):
    refused = []
    server = KadServer(serve_for_ever, refused.append)
    greedy = [Stream("greedy", fails=True) for _ in range(MAX_STREAMS_OF_PEER + 3)]
    modest = Stream("modest")
    async with trio.open_nursery() as nursery:
        for stream in [*greedy, modest]:
            nursery.start_soon(server.handle, stream)
        await trio.testing.wait_all_tasks_blocked()

        assert sum(stream.served for stream in greedy) == MAX_STREAMS_OF_PEER
        assert modest.served
        assert refused == ["too_many"] * 3
        assert sum(stream.resets for stream in greedy) == 3
        nursery.cancel_scope.cancel()


async def test_the_streams_of_all_are_bounded_too(autojump_clock):
    refused = []
    server = KadServer(serve_for_ever, refused.append)
    streams = [Stream(f"peer {number}") for number in range(MAX_STREAMS + 1)]
    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(server.handle, stream)
        await trio.testing.wait_all_tasks_blocked()
        assert sum(stream.served for stream in streams) == MAX_STREAMS
        nursery.cancel_scope.cancel()
    assert refused == ["too_many"]


async def test_an_idle_stream_ends_and_its_place_is_free_again(autojump_clock):
    refused = []
    server = KadServer(serve_for_ever, refused.append)
    idle = Stream("idle")
    started = trio.current_time()
    await server.handle(idle)

    assert trio.current_time() - started == SERVE_TIMEOUT_S
    assert (idle.resets, refused) == (1, ["too_slow"])
    assert not server._open


async def test_a_stream_that_ends_by_itself_is_left_alone(autojump_clock):
    refused = []
    server = KadServer(serve_quickly, refused.append)
    for _ in range(MAX_STREAMS_OF_PEER + 1):
        stream = Stream("peer")
        await server.handle(stream)
        assert (stream.served, stream.resets) == (True, 0)
    assert refused == []
