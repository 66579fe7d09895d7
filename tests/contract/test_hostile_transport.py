"""Whatever a peer sends on a protocol of libp2p's own, the node stays up and counts it.

A bare host speaks with a whole node over real sockets.
"""

import logging
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.kad_dht.pb.kademlia_pb2 import Message as Kad
from libp2p.pubsub.pb import rpc_pb2
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, StopMessage
from libp2p.utils.varint import encode_uvarint

from hosts import Recorder, eventually
from zerostate.clock import SystemClock
from zerostate.errors import P2PError, PeerUnreachableError
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p._libp2p import libp2p_host
from zerostate.testing import SpanRecorder

EVE, BOB, CAROL = (Identity(bytes([n]) * 32) for n in (44, 45, 46))
CONFIG = P2PConfig(health_interval_s=0, relay_service=True)
TOPIC = "zerostate/test/1"

GOSSIP = "/meshsub/1.1.0"
HOP = "/libp2p/circuit/relay/0.2.0/hop"
STOP = "/libp2p/circuit/relay/0.2.0/stop"
KAD = "/ipfs/kad/1.0.0"
PUSH = "/ipfs/id/push/1.0.0"
PING = "/ipfs/ping/1.0.0"
IDENTIFY = "/ipfs/id/1.0.0"
OURS = ("/zerostate/message/1", "/zerostate/clock/1")
PROTOCOLS = (GOSSIP, "/meshsub/1.2.0", HOP, STOP, KAD, PUSH, PING, IDENTIFY, *OURS)


def framed(message):
    data = message if isinstance(message, bytes) else message.SerializeToString()
    return encode_uvarint(len(data)) + data


def rpc(**fields):
    return framed(rpc_pb2.RPC(**fields))


def published(**fields):
    return rpc(publish=[rpc_pb2.Message(**({"data": b"x"} | fields))])


def controlled(**fields):
    return rpc(control=rpc_pb2.ControlMessage(**fields))


def providing_from_nowhere():
    message = Kad(type=Kad.ADD_PROVIDER, key=b"\x12\x20" + b"a" * 32)
    message.providerPeers.add(id=b"\xff\xff", addrs=[b"\xff"])
    return framed(message)


FORGED = {"from_id": b"\xff" * 5, "seqno": b"1", "signature": b"x", "key": b"zz"}

MALFORMED = {
    "nothing": b"",
    "text without a length": b"\x05abcde",
    "a frame of garbage": framed(b"\xff" * 30),
    "a length too long to be one": b"\xff" * 20,
    "a length too large": b"\xff\xff\xff\xff\x0f",
    "half a frame": b"\x40abc",
}
"""What is sent on each protocol, by what it is."""

CRAFTED = {
    "a forged message": (GOSSIP, published(topicIDs=[TOPIC], **FORGED)),
    "a forged message elsewhere": (GOSSIP, published(topicIDs=["t"], **FORGED)),
    "a message from nobody": (GOSSIP, published(topicIDs=[TOPIC])),
    "a message about nothing": (GOSSIP, published()),
    "a graft": (GOSSIP, controlled(graft=[rpc_pb2.ControlGraft(topicID="none")])),
    "ids of no message": (
        GOSSIP,
        controlled(ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[b"?"])]),
    ),
    "a wish for no message": (
        GOSSIP,
        controlled(iwant=[rpc_pb2.ControlIWant(messageIDs=[b"?"])]),
    ),
    "a prune with odd peers": (
        GOSSIP,
        controlled(
            prune=[
                rpc_pb2.ControlPrune(
                    topicID=TOPIC,
                    peers=[rpc_pb2.PeerInfo(peerID=b"\xff", signedPeerRecord=b"zz")],
                )
            ]
        ),
    ),
    "a forged record": (GOSSIP, rpc(senderRecord=b"garbage")),
    "a question of the DHT": (KAD, framed(Kad(type=Kad.FIND_NODE, key=b"\xff"))),
    "an empty question": (KAD, framed(Kad())),
    "an odd key": (KAD, framed(Kad(type=Kad.GET_VALUE, key=b"\xff\xfe"))),
    "an odd record": (
        KAD,
        framed(
            Kad(
                type=Kad.PUT_VALUE,
                key=b"\xff\xfe",
                record={"key": b"\xff", "value": b"x"},
            )
        ),
    ),
    "an odd provider": (KAD, providing_from_nowhere()),
    "a circuit to nowhere": (HOP, framed(HopMessage(type=HopMessage.CONNECT))),
    "a reservation": (HOP, framed(HopMessage(type=HopMessage.RESERVE))),
    "a circuit from nowhere": (STOP, framed(StopMessage(type=StopMessage.CONNECT))),
}
"""What is sent on one protocol, by what it is."""


@asynccontextmanager
async def open_scene():
    async with (
        open_peer_node(
            CONFIG,
            BOB,
            tracer=P2PTracer(SpanRecorder().provider),
            clock=SystemClock(),
        ) as bob,
        libp2p_host(CONFIG, EVE)(Recorder(EVE)) as eve,
        libp2p_host(CONFIG, CAROL)(Recorder(CAROL)) as carol,
    ):
        await bob.subscribe(TOPIC)
        await eve.connect(bob.addresses[0])
        await carol.connect(bob.addresses[0])
        await carol.subscribe(TOPIC)
        await eventually(lambda: bob.peer_id in carol.topic_peers(TOPIC))
        yield bob, eve, carol


async def send(bob, eve, protocol, data, *, abruptly):
    if bob.peer_id not in eve.connected():
        await eve.connect(bob.addresses[0])
    try:
        stream = await eve.open_stream(bob.peer_id, protocol)
        await stream.write(data)
        if not abruptly:
            with trio.move_on_after(0.1):
                await stream.read_exactly(1)
        await stream.aclose()
    except P2PError:
        # It may be thrown out at once.
        return


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_malformed_bytes_on_no_protocol_end_the_node(protocol):
    async with open_scene() as (bob, eve, carol):
        for data in MALFORMED.values():
            for abruptly in (True, False):
                await send(bob, eve, protocol, data, abruptly=abruptly)

        assert await carol.ping(bob.peer_id) > 0
        assert CAROL.peer_id in bob.connected()


@pytest.mark.parametrize("name", CRAFTED)
async def test_no_crafted_message_ends_the_node(name):
    protocol, data = CRAFTED[name]
    async with open_scene() as (bob, eve, carol):
        for abruptly in (True, False):
            await send(bob, eve, protocol, data, abruptly=abruptly)

        assert await carol.ping(bob.peer_id) > 0
        assert CAROL.peer_id in bob.connected()


@pytest.mark.parametrize(
    ("data", "counted"),
    [
        (MALFORMED["text without a length"], "transport.streams_failed"),
        (CRAFTED["a forged message"][1], "transport.tasks_failed"),
    ],
)
async def test_gossip_that_cannot_be_read_is_counted(data, counted):
    async with open_scene() as (bob, eve, _):
        assert counted not in bob.stats()
        await send(bob, eve, GOSSIP, data, abruptly=False)

        await eventually(lambda: bob.stats().get(counted) == 1)
        assert EVE.peer_id in bob.connected()


async def test_a_bug_in_any_handler_ends_its_stream_and_is_told_once(caplog):
    caplog.set_level(logging.WARNING, "zerostate")
    async with open_scene() as (bob, eve, carol):

        async def fail(_stream):
            raise ZeroDivisionError("a bug")

        carol._host.set_stream_handler(TProtocol("/zerostate/future/1"), fail)
        with pytest.raises(PeerUnreachableError):
            await carol.open_stream(EVE.peer_id, "/zerostate/future/1")
        await eve.connect(carol.addresses[0])
        for _ in range(3):
            with trio.fail_after(5), pytest.raises(P2PError):
                stream = await eve.open_stream(CAROL.peer_id, "/zerostate/future/1")
                await stream.read_exactly(1)

        await eventually(lambda: carol.stats() == {"transport.streams_failed": 3})
        assert await carol.ping(bob.peer_id) > 0
    told = [r.getMessage() for r in caplog.records if "was ended" in r.getMessage()]
    assert told == ["/zerostate/future/1 failed and was ended"]
