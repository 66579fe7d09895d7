"""Connections that the DHT makes: traced, refused and counted as all others, and few."""

from dataclasses import replace

import pytest
import trio

from zerostate.clock import SystemClock
from zerostate.errors import OverloadedError, PeerDeniedError
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.dht_stays import SPARED_S
from zerostate.testing import SpanRecorder, assert_trace
from zerostate.testing.peers import open_memory_peers

# Two of these may be the DHT's own.
CONFIG = P2PConfig(health_interval_s=0, max_connections=4, dht=False)


async def apart(peers):
    """End all connections, so that the first peer can make its own."""
    for peer in peers:
        await peer.host.vanish()
    for peer in peers:
        peer.recorder.clear()


def addresses(*peers):
    return [peer.node.addresses[0] for peer in peers]


async def test_the_dht_has_only_a_part_of_the_connections(autojump_clock):
    async with open_memory_peers(5, config=CONFIG) as peers:
        await apart(peers)
        alice, *others = peers
        to = addresses(*others)
        connections = alice.node._connections
        for address in to[:2]:
            await connections.connect_for_dht(address)

        with pytest.raises(OverloadedError, match="part of max_connections"):
            await connections.connect_for_dht(to[2])
        assert alice.node.stats()["connections.refused.dht_limit"] == 1
        # Others still find room.
        await alice.node.connect(to[2])
        await alice.node.connect(to[3])
        assert len(alice.node.connected()) == 4


async def test_the_oldest_that_nobody_uses_makes_room_for_a_new_one(autojump_clock):
    async with open_memory_peers(5, config=CONFIG) as peers:
        await apart(peers)
        alice, bob, carol, dave, erin = peers
        connections = alice.node._connections
        to = addresses(bob, carol, dave, erin)
        await connections.connect_for_dht(to[0])
        await connections.connect_for_dht(to[1])
        await trio.sleep(SPARED_S)

        await connections.connect_for_dht(to[2])

        assert alice.node.connected() == {carol.peer_id, dave.peer_id}
        assert alice.node.stats()["connections.ended.dht_idle"] == 1
        # Wanted by somebody else, it counts no more, and stays.
        await alice.node.connect(to[1])
        await connections.connect_for_dht(to[3])
        assert len(alice.node.connected()) == 3


async def test_who_is_asked_something_is_not_dropped(autojump_clock):
    async with open_memory_peers(4, config=CONFIG) as peers:
        await apart(peers)
        alice, bob, carol, dave = peers

        async def answer(message):
            return message.body

        bob.node.handle("guild_join", answer)
        connections = alice.node._connections
        for address in addresses(bob, carol):
            await connections.connect_for_dht(address)
        await alice.node.request(bob.peer_id, "guild_join", b"")
        await trio.sleep(SPARED_S)

        await connections.connect_for_dht(*addresses(dave))

        assert alice.node.connected() == {bob.peer_id, dave.peer_id}


async def test_a_lookup_over_libp2p_dials_as_the_peer_does():
    """Its dials have spans inside its own, and a denied peer is not dialled."""
    clear = SpanRecorder()
    alice_id, bob_id, carol_id, dave_id = (Identity(bytes([n]) * 32) for n in range(4))

    def start(identity, recorder, **settings):
        return open_peer_node(
            replace(P2PConfig(health_interval_s=0), **settings),
            identity,
            tracer=P2PTracer(recorder.provider),
            clock=SystemClock(),
        )

    deny = frozenset({dave_id.peer_id})
    async with (
        start(bob_id, SpanRecorder()) as bob,
        start(carol_id, SpanRecorder()) as carol,
        start(dave_id, SpanRecorder()) as dave,
        start(alice_id, clear, deny=deny) as alice,
    ):
        await alice.connect(bob.addresses[0])
        for other in (carol, dave):
            await other.connect(bob.addresses[0])
        with trio.fail_after(5):
            while bob.dht.table_size() < 3:  # noqa: ASYNC110  # identify has no event
                await trio.sleep(0.02)
        clear.clear()

        assert (await alice.dht.put("status", b"up")).peers == 2

        assert alice.connected() == {bob.peer_id, carol.peer_id}
        assert_trace(clear.spans, "p2p.dht.put\n  p2p.connection.establish")
        assert alice.stats()["connections.refused.denied"] >= 1
        with pytest.raises(PeerDeniedError):
            await alice.connect(dave.addresses[0])
