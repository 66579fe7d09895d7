"""A publication tells for how many neighbours the transport has taken it."""

from hosts import ALICE, BOB, CAROL, Recorder, eventually
from zerostate.p2p import P2PConfig
from zerostate.p2p._libp2p import libp2p_host

TOPIC = "zerostate/test/1"


async def test_it_is_the_number_of_neighbours_that_subscribed(open_hosts):
    async with open_hosts(ALICE, BOB, CAROL) as opened:
        (alice, _), (bob, bob_heard), (carol, carol_heard) = opened
        for host in (bob, carol):
            await alice.connect(host.addresses[0])
            await host.subscribe(TOPIC)
        await alice.subscribe(TOPIC)
        await eventually(lambda: len(alice.topic_peers(TOPIC)) == 2)

        assert await alice.publish(TOPIC, b"to both") == 2
        await eventually(lambda: bob_heard.gossip and carol_heard.gossip)
        assert await alice.publish("nobody/is/here", b"to nobody") == 0


async def test_a_neighbour_whose_queue_is_full_does_not_count():
    """py-libp2p drops such a message and says so to nobody."""
    config = P2PConfig()
    heard = Recorder(BOB)
    async with (
        libp2p_host(config, ALICE)(Recorder(ALICE)) as alice,
        libp2p_host(config, BOB)(heard) as bob,
    ):
        await alice.connect(bob.addresses[0])
        for host in (alice, bob):
            await host.subscribe(TOPIC)
        await eventually(lambda: alice.topic_peers(TOPIC))
        (queue,) = alice._pubsub.peer_queues.values()
        room = queue._queue.max_size
        queue._queue.max_size = 0

        assert await alice.publish(TOPIC, b"no room") == 0
        queue._queue.max_size = room
        assert await alice.publish(TOPIC, b"room again") == 1
        await eventually(lambda: heard.gossip)
        assert [data for _, _, data in heard.gossip] == [b"room again"]
