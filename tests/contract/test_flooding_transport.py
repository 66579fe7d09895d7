"""However much a peer sends, it takes neither all memory nor all turns of the loop.

A host that keeps to no bound speaks with a whole node over real sockets.
"""

import secrets
import struct
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, TYPE_WINDOW_UPDATE
from libp2p.utils.varint import encode_uvarint

from hosts import Recorder, eventually
from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p._libp2p import libp2p_host
from zerostate.p2p._libp2p.building import build_gossip, build_host
from zerostate.p2p._libp2p.guard import Guard
from zerostate.p2p._libp2p.router import MAX_IDONTWANTS, MAX_IDS
from zerostate.p2p._libp2p.unread import MAX_STREAMS
from zerostate.testing import SpanRecorder

EVE, BOB = (Identity(bytes([n]) * 32) for n in (47, 48))
CONFIG = P2PConfig(health_interval_s=0, dht=False)
TOPIC = "zerostate/test/1"
GOSSIP = "/meshsub/1.1.0"
PING = "/ipfs/ping/1.0.0"
SYN = 1
FRAME_BYTES = 64 << 10
FAR_TOO_MUCH_BYTES = 40 << 20
"""More than twice the largest window of Yamux, which libp2p soon grants."""

MESSAGES = 500


@asynccontextmanager
async def open_scene():
    """Yield Bob's node and a host that is connected with it."""
    async with (
        open_peer_node(
            CONFIG, BOB, tracer=P2PTracer(SpanRecorder().provider), clock=SystemClock()
        ) as bob,
        libp2p_host(CONFIG, EVE)(Recorder(EVE)) as eve,
    ):
        await bob.subscribe(TOPIC)
        await eve.connect(bob.addresses[0])
        yield bob, eve


def muxed(eve):
    """Return the multiplexed connection below all of Eve's streams."""
    (conn,) = eve._swarm.get_connections()
    return conn.muxed_conn


def frame(kind, flags, stream_id, length):
    """Return a Yamux header."""
    return struct.pack("!BBHII", 0, kind, flags, stream_id, length)


async def send_rpc(stream, rpc):
    data = rpc.SerializeToString()
    await stream.write(encode_uvarint(len(data)) + data)


async def test_who_sends_more_than_a_stream_has_room_for_is_disconnected():
    async with open_scene() as (bob, eve):
        stream = await eve.open_stream(bob.peer_id, PING)
        stream_id = stream._stream.muxed_stream.stream_id
        data = frame(TYPE_DATA, 0, stream_id, FRAME_BYTES) + bytes(FRAME_BYTES)
        conn = muxed(eve)
        with suppress(BaseLibp2pError):
            for _ in range(FAR_TOO_MUCH_BYTES // FRAME_BYTES):
                await conn._write_frame(data)
        await eventually(lambda: not bob.connected())
        assert bob.stats()["transport.unread_limit"] == 1


async def test_streams_above_the_limit_are_refused_and_the_others_live():
    async with open_scene() as (bob, eve):
        conn = muxed(eve)
        first_id = 10_001
        for number in range(MAX_STREAMS + 50):
            stream_id = first_id + 2 * number
            await conn._write_frame(frame(TYPE_WINDOW_UPDATE, SYN, stream_id, 0))
        await eventually(lambda: bob.stats().get("transport.streams_refused", 0) >= 50)
        assert bob.connected() == {EVE.peer_id}
        assert bob.stats()["transport.streams_refused"] < 60


async def test_others_have_their_turn_between_the_messages_of_one_neighbour():
    async with open_scene() as (bob, eve):
        stream = await eve.open_stream(bob.peer_id, GOSSIP)
        forged = rpc_pb2.RPC(
            publish=(
                rpc_pb2.Message(
                    topicIDs=[TOPIC],
                    from_id=b"\xff" * 5,
                    seqno=secrets.token_bytes(8),
                    key=b"zz",
                    signature=b"x",
                )
                for _ in range(MESSAGES)
            )
        )
        turns = 0
        async with trio.open_nursery() as nursery:

            async def take_turns():
                nonlocal turns
                while True:
                    await trio.lowlevel.checkpoint()
                    failed = bob.stats().get("transport.tasks_failed", 0)
                    turns += 0 < failed < MESSAGES

            nursery.start_soon(take_turns)
            await send_rpc(stream, forged)
            await eventually(
                lambda: bob.stats().get("transport.tasks_failed") == MESSAGES
            )
            nursery.cancel_scope.cancel()
        assert turns >= MESSAGES // 2


@pytest.fixture
def router():
    """The router of a host that takes part in one topic, without a neighbour."""
    guard = Guard()
    pubsub, router = build_gossip(build_host(BOB, ()), guard)
    assert router.pubsub is pubsub
    router.mesh[TOPIC] = set()
    return router


def topics(count):
    return [f"no such topic {number}" for number in range(count)]


NEIGHBOUR = ID.from_string(EVE.peer_id)


async def test_nothing_is_kept_of_topics_that_a_neighbour_only_names(router):
    named = [*topics(2000), TOPIC]
    control = rpc_pb2.ControlMessage(
        prune=(rpc_pb2.ControlPrune(topicID=t, backoff=2**60) for t in named),
        ihave=(rpc_pb2.ControlIHave(topicID=t) for t in named),
    )
    await router.handle_rpc(rpc_pb2.RPC(control=control), NEIGHBOUR)
    assert set(router.back_off) == {TOPIC}
    assert set(router.graft_flood_tracking[NEIGHBOUR]) == {TOPIC}
    assert set(router.ihave_message_limits[NEIGHBOUR]) == {TOPIC}


async def test_a_neighbour_s_control_messages_are_bounded(router):
    ids = [b"%d" % number for number in range(MAX_IDS)]
    control = rpc_pb2.ControlMessage(
        graft=[rpc_pb2.ControlGraft(topicID=TOPIC)] * 100,
        prune=[rpc_pb2.ControlPrune(topicID=TOPIC, backoff=2**60)] * 100,
        ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[*ids, b"x"])],
        iwant=[rpc_pb2.ControlIWant(messageIDs=[b"one"] * 5000 + ids)] * 3,
        idontwant=[rpc_pb2.ControlIDontWant()] * 5000,
    )
    kept = router._within_bounds(control)
    assert [graft.topicID for graft in kept.graft] == [TOPIC]
    assert [prune.backoff for prune in kept.prune] == [3600]
    assert [len(ihave.messageIDs) for ihave in kept.ihave] == [MAX_IDS]
    assert [len(set(iwant.messageIDs)) for iwant in kept.iwant] == [MAX_IDS]
    assert [len(iwant.messageIDs) for iwant in kept.iwant] == [MAX_IDS]
    assert len(kept.idontwant) == MAX_IDONTWANTS


async def test_what_has_run_out_and_what_was_left_is_forgotten(router):
    router.back_off = {"gone": {NEIGHBOUR: 1}, TOPIC: {NEIGHBOUR: 1}}
    router.graft_flood_tracking[NEIGHBOUR] |= {"gone": 1.0, TOPIC: 1.0}
    other = ID.from_string(BOB.peer_id)
    router._add_back_off(other, TOPIC, is_unsubscribe=False)
    assert {topic: set(noted) for topic, noted in router.back_off.items()} == {
        TOPIC: {other}
    }
    assert set(router.graft_flood_tracking[NEIGHBOUR]) == {TOPIC}
