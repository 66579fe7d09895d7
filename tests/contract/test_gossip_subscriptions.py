"""What neighbours take part in is known, whatever becomes of their gossip streams."""

import pytest
import trio

from hosts import ALICE, BOB, Recorder, eventually
from zerostate.errors import P2PError
from zerostate.p2p import P2PConfig
from zerostate.p2p._libp2p import host as host_module
from zerostate.p2p._libp2p import libp2p_host

TOPIC = "zerostate/test/1"


@pytest.mark.parametrize("is_left", [False, True])
async def test_a_change_while_a_neighbour_is_added_is_told(is_left, monkeypatch):
    """libp2p writes what we take part in, and only then counts the neighbour as one."""
    config = P2PConfig()
    async with (
        libp2p_host(config, ALICE)(Recorder(ALICE)) as alice,
        libp2p_host(config, BOB)(Recorder(BOB)) as bob,
        trio.open_nursery() as nursery,
    ):
        if is_left:
            await bob.subscribe(TOPIC)
        change = bob.unsubscribe if is_left else bob.subscribe
        hello, told = bob._pubsub.get_hello_packet, []

        def hello_and_change():
            packet = hello()
            if not told:
                nursery.start_soon(change, TOPIC)
            told.append([each.topicid for each in packet.subscriptions])
            return packet

        monkeypatch.setattr(bob._pubsub, "get_hello_packet", hello_and_change)
        await alice.subscribe("another")
        await bob.connect(alice.addresses[0])
        await eventually(lambda: bob.topic_peers("another"))
        # So far alice was told what no longer holds.
        assert told == [[TOPIC] if is_left else []]
        await bob.subscribe("later")
        known = alice._pubsub.peer_topics
        await eventually(lambda: "later" in known)
        expected = [] if is_left else [BOB.peer_id]
        assert [*map(str, known.get(TOPIC, ()))] == expected


async def test_a_neighbour_gets_messages_on_a_new_stream_when_the_old_one_broke():
    config = P2PConfig()
    heard = Recorder(ALICE)
    async with (
        libp2p_host(config, ALICE)(heard) as alice,
        libp2p_host(config, BOB)(Recorder(BOB)) as bob,
    ):
        await alice.subscribe(TOPIC)
        await bob.connect(alice.addresses[0])
        await eventually(lambda: bob.topic_peers(TOPIC))
        (broken,) = bob._pubsub.peers.values()
        await broken.reset()
        await bob.publish(TOPIC, b"on the broken one")
        await eventually(lambda: broken not in bob._pubsub.peers.values())
        await eventually(lambda: bob.topic_peers(TOPIC))

        assert await bob.publish(TOPIC, b"heard") == 1
        await eventually(lambda: b"heard" in [data for _, _, data in heard.gossip])


async def stuck(_topic):
    await trio.sleep_forever()


async def test_a_topic_that_gossip_does_not_take_in_time_is_an_error_and_not_ours(
    monkeypatch,
):
    monkeypatch.setattr(host_module, "GOSSIP_TIMEOUT_S", 0.05)
    heard = Recorder(ALICE)
    async with (
        libp2p_host(P2PConfig(), ALICE)(heard) as alice,
        libp2p_host(P2PConfig(), BOB)(Recorder(BOB)) as bob,
    ):
        await bob.connect(alice.addresses[0])
        await bob.subscribe(TOPIC)
        join = alice._pubsub.router.join
        monkeypatch.setattr(alice._pubsub.router, "join", stuck)
        with pytest.raises(P2PError, match=r"no topic within 0\.05 s"):
            await alice.subscribe(TOPIC)
        assert TOPIC not in alice._pubsub.topic_ids
        assert TOPIC not in alice._pubsub.topic_validators

        monkeypatch.setattr(alice._pubsub.router, "join", join)
        await alice.subscribe(TOPIC)
        await eventually(lambda: bob.topic_peers(TOPIC))
        await bob.publish(TOPIC, b"hello")
        await eventually(lambda: heard.gossip == [(TOPIC, BOB.peer_id, b"hello")])


async def test_a_topic_is_left_also_when_neighbours_cannot_be_told(monkeypatch):
    monkeypatch.setattr(host_module, "GOSSIP_TIMEOUT_S", 0.05)
    heard = Recorder(ALICE)
    async with libp2p_host(P2PConfig(), ALICE)(heard) as alice:
        await alice.subscribe(TOPIC)
        monkeypatch.setattr(alice._pubsub.router, "leave", stuck)
        await alice.unsubscribe(TOPIC)

        assert TOPIC not in alice._pubsub.topic_ids
        assert TOPIC not in alice._pubsub.topic_validators
        assert alice.stats()["transport.topics_left_untold"] == 1
