"""Peers found by what they offer, over the network in memory."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.discovery import ADVERTISE_AFTER_S, ADVERTISE_PAUSE_S
from zerostate.testing import SpanRecorder
from zerostate.testing.network import MemoryNetwork
from zerostate.testing.peers import open_memory_peers

SOON_S = ADVERTISE_AFTER_S + 0.5


async def test_offers_are_told_soon_and_found_over_a_hop(autojump_clock):
    async with open_memory_peers(3, chain=True) as (alice, bob, carol):
        carol.node.discovery.advertise(["wasm", "witness", "wasm"])
        assert await alice.node.discovery.find("wasm") == ()
        await trio.sleep(SOON_S)
        assert await alice.node.discovery.find("witness") == ()
        await trio.sleep(ADVERTISE_PAUSE_S)

        assert carol.peer_id not in alice.node.connected()
        assert await alice.node.discovery.find("wasm") == (carol.peer_id,)
        assert carol.peer_id in alice.node.connected()
        assert await alice.node.discovery.find("witness") == (carol.peer_id,)
        assert await carol.node.discovery.find("wasm") == ()
        assert bob.peer_id in alice.node.connected()


async def test_telling_it_is_a_trace_of_its_own_and_nobodys_work(autojump_clock):
    async with open_memory_peers(2) as (alice, _):
        alice.node.discovery.advertise(["wasm"])
        await trio.sleep(SOON_S)

        (span,) = alice.recorder.spans
        assert (span.name, span.parent) == ("p2p.dht.put", None)
        assert dict(span.attributes) == {
            "dht.operation": "put",
            "dht.key": "/zerostate/capability/wasm",
            "dht.record": "provider",
            "dht.peers": 1,
            "zerostate.background": True,
        }


async def test_offers_are_told_again_before_they_are_forgotten(autojump_clock):
    config = P2PConfig(advertise_interval_s=100, dht_refresh_interval_s=10_000)
    async with open_memory_peers(2, config=config) as (alice, bob):
        alice.node.discovery.advertise(["wasm"])
        await trio.sleep(SOON_S)
        assert await bob.node.discovery.find("wasm") == (alice.peer_id,)
        alice.host.dht._providers.clear()
        bob.host.dht._providers.clear()
        await trio.sleep(90)
        assert await bob.node.discovery.find("wasm") == ()

        await trio.sleep(20)

        assert await bob.node.discovery.find("wasm") == (alice.peer_id,)


async def test_new_offers_are_told_at_once_and_old_ones_no_more(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        alice.node.discovery.advertise(["wasm"])
        await trio.sleep(SOON_S + ADVERTISE_PAUSE_S)
        bob.host.dht._providers.clear()
        alice.node.discovery.advertise(["gpu"])
        await trio.sleep(SOON_S)

        assert list(bob.host.dht._providers) == ["/zerostate/capability/gpu"]

        alice.node.discovery.advertise([])
        bob.host.dht._providers.clear()
        await trio.sleep(2000)
        assert bob.host.dht._providers == {}


async def test_who_is_alone_tells_it_as_soon_as_somebody_is_there(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await alice.node.disconnect(bob.peer_id)
        alice.node.discovery.advertise(["wasm"])
        await trio.sleep(50)
        assert [s for s in alice.recorder.spans if s.name == "p2p.dht.put"] == []
        await alice.node.connect(bob.node.addresses[0])

        await trio.sleep(SOON_S)

        assert await bob.node.discovery.find("wasm") == (alice.peer_id,)


async def test_no_more_are_dialled_than_wanted_and_connected_ones_come_first(
    autojump_clock,
):
    async with star(MemoryNetwork(), 6) as (center, *leaves):
        for leaf in leaves[1:]:
            leaf.discovery.advertise(["wasm"])
        await trio.sleep(SOON_S)
        seeker = leaves[0]
        assert seeker.connected() == {center.peer_id}

        found = await seeker.discovery.find("wasm", limit=2)
        assert len(found) == 2
        assert seeker.connected() >= set(found)

        again = await seeker.discovery.find("wasm", limit=2)
        assert set(again) <= seeker.connected()
        more = await seeker.discovery.find("wasm", limit=20)
        assert set(more) == {leaf.peer_id for leaf in leaves[1:]}


async def test_who_has_gone_is_left_out(autojump_clock):
    network = MemoryNetwork()
    async with star(network, 3) as (_, seeker, helper):
        async with star_leaf(network, 9, helper.addresses[0]) as gone:
            for node in (helper, gone):
                node.discovery.advertise(["wasm"])
            await trio.sleep(SOON_S)
            listed = await seeker.dht.find_providers("wasm")
            assert {peer.peer_id for peer in listed} == {helper.peer_id, gone.peer_id}

        assert await seeker.discovery.find("wasm") == (helper.peer_id,)
        assert seeker.stats()["discovery.unreachable"] == 1


async def test_what_cannot_be_offered_or_looked_for_is_said():
    async with open_memory_peers(1) as [alice]:
        discovery = alice.node.discovery
        with pytest.raises(ValueError, match="the limit is 64"):
            discovery.advertise(str(number) for number in range(65))
        with pytest.raises(ValueError, match="not a capability"):
            discovery.advertise(["wasm", ""])
        for limit in (0, 21):
            with pytest.raises(ValueError, match="limit is"):
                await discovery.find("wasm", limit=limit)
        assert discovery._offered == ()


@asynccontextmanager
async def star_leaf(network, number, center_address):
    identity = Identity(bytes([number]) * 32)
    async with open_peer_node(
        P2PConfig(),
        identity,
        tracer=P2PTracer(SpanRecorder().provider),
        clock=SystemClock(),
        opener=network.opener(identity),
    ) as node:
        if center_address is not None:
            await node.connect(center_address)
        yield node


@asynccontextmanager
async def star(network, count):
    """Run peers of which each but the first is connected with the first only."""
    async with AsyncExitStack() as stack:
        nodes = []
        for number in range(1, count + 1):
            center = nodes[0].addresses[0] if nodes else None
            nodes.append(
                await stack.enter_async_context(star_leaf(network, number, center))
            )
        yield nodes


async def test_who_is_listed_nowhere_is_counted_and_tries_again(autojump_clock):
    async with star(MemoryNetwork(), 2) as (center, leaf):
        # Nobody is left that could list it, though somebody is connected.
        center._host.dht._rules = None
        leaf.discovery.advertise(["wasm"])
        await trio.sleep(2 * (SOON_S + ADVERTISE_PAUSE_S))
        assert leaf.stats()["discovery.advertise_failed"] == 2


async def test_who_is_behind_a_relay_is_found_as_long_as_it_has_a_place(autojump_clock):
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:

        async def start(number, **settings):
            identity = Identity(bytes([number]) * 32)
            return await stack.enter_async_context(
                open_peer_node(
                    P2PConfig(health_interval_s=0, **settings),
                    identity,
                    tracer=P2PTracer(SpanRecorder().provider),
                    clock=SystemClock(),
                    opener=network.opener(identity, listens=number == 1),
                )
            )

        relay = await start(1, relay_service=True)
        seeker = await start(3)
        await seeker.connect(relay.addresses[0])
        behind = await start(2, relays=relay.addresses)
        behind.discovery.advertise(["wasm"])
        await trio.sleep(2 * SOON_S)

        assert await seeker.discovery.find("wasm") == (behind.peer_id,)
        assert await seeker.dht.find_peer(behind.peer_id) == behind.addresses
        assert seeker.path(behind.peer_id).relay == relay.peer_id

        # Without a place it is not told; with one again, not only after ten minutes.
        await network.find(relay.peer_id).vanish()
        relay._host.dht._providers.clear()
        await seeker.connect(relay.addresses[0])
        await trio.sleep(10)
        listed = await seeker.dht.find_providers("wasm")
        assert [peer.addresses for peer in listed] == [behind.addresses]
        assert "discovery.advertise_failed" not in behind.stats()
