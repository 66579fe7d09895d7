"""Being reached through a relay, by whole peers in virtual time."""

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from zerostate.clock import SystemClock
from zerostate.errors import ConfigError, PeerLostError, RelayRefusedError
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.address import parse_peer_address
from zerostate.testing import SpanRecorder, assert_trace
from zerostate.testing.network import MemoryNetwork

ALICE, BOB, CAROL = (Identity(bytes([n]) * 32) for n in (1, 2, 3))
CONFIG = P2PConfig(health_interval_s=0, relay_reservation_s=600)


class World:
    """Carol relays; Bob is behind her; Alice wants to talk to him."""

    def __init__(self):
        self.network = MemoryNetwork()
        self.recorders = {}
        self.nodes = {}
        self.stack = AsyncExitStack()

    async def open(self, identity, config, *, listens=False):
        recorder = self.recorders[identity] = SpanRecorder()
        self.nodes[identity] = await self.stack.enter_async_context(
            open_peer_node(
                replace(config, listen=CONFIG.listen if listens else ()),
                identity,
                tracer=P2PTracer(recorder.provider),
                clock=SystemClock(),
                opener=self.network.opener(identity, listens=listens),
            )
        )
        return self.nodes[identity]

    def host(self, identity):
        return self.network.find(identity.peer_id)

    def relayed(self, identity, direction):
        return [
            span
            for span in self.recorders[identity].spans
            if span.name == "p2p.relay"
            and span.attributes["relay.direction"] == direction
        ]


@asynccontextmanager
async def open_world(*, bob_listens=False, **limits):
    world = World()
    async with world.stack:
        config = replace(CONFIG, relay_service=True, **limits)
        carol = await world.open(CAROL, config, listens=True)
        behind = replace(CONFIG, relays=carol.addresses)
        await world.open(BOB, behind, listens=bob_listens)
        await world.open(ALICE, CONFIG)
        await trio.sleep(1)
        yield world


async def echo(message):
    return message.body


async def test_a_peer_behind_a_relay_has_an_address_and_is_reached(autojump_clock):
    async with open_world() as world:
        alice, bob = world.nodes[ALICE], world.nodes[BOB]
        (address,) = bob.addresses
        parsed = parse_peer_address(address)
        assert (parsed.relay, parsed.peer_id) == (CAROL.peer_id, BOB.peer_id)
        assert str(parsed) == address
        bob.handle("guild_join", echo)

        await alice.connect(address)

        assert alice.connected() == {BOB.peer_id, CAROL.peer_id}
        assert alice.path(BOB.peer_id).relay == CAROL.peer_id
        assert await alice.request(BOB.peer_id, "guild_join", b"hello") == b"hello"
        assert world.nodes[CAROL].stats()["relay.circuits.asked"] == 1


async def test_each_peers_spans_tell_its_part_of_the_path(autojump_clock):
    async with open_world() as world:
        await world.nodes[ALICE].connect(world.nodes[BOB].addresses[0])

        assert_trace(
            world.recorders[ALICE].spans,
            """
            p2p.connection.establish
              p2p.connection.establish
              p2p.relay
            """,
        )
        assert_trace(
            world.recorders[BOB].spans,
            """
            p2p.connection.establish
            p2p.relay
            p2p.relay
            """,
        )
        (reserve,) = world.relayed(BOB, "reserve")
        path = {
            "relay.src_peer": ALICE.peer_id,
            "relay.dst_peer": BOB.peer_id,
            "relay.peer.id": CAROL.peer_id,
        }
        for identity, direction in (
            (ALICE, "dial"),
            (CAROL, "forward"),
            (BOB, "accept"),
        ):
            (span,) = world.relayed(identity, direction)
            assert dict(span.attributes) == path | {"relay.direction": direction}
        assert reserve.attributes["relay.src_peer"] == BOB.peer_id
        assert world.relayed(CAROL, "forward")[0].parent is None
        assert world.relayed(BOB, "accept")[0].parent is None


async def test_a_place_is_renewed_before_it_ends(autojump_clock):
    async with open_world() as world:
        await trio.sleep(3600)

        assert len(world.nodes[BOB].addresses) == 1
        granted = world.nodes[CAROL].stats()["relay.reservations.granted"]
        assert granted == pytest.approx(3600 / 300, abs=2)


async def test_a_place_is_taken_again_when_the_relay_is_back(autojump_clock):
    async with open_world() as world:
        await world.host(CAROL).vanish()
        await trio.testing.wait_all_tasks_blocked()
        assert world.nodes[BOB].addresses == ()
        await trio.sleep(5)

        (address,) = world.nodes[BOB].addresses
        await world.nodes[ALICE].connect(address)


async def test_a_place_that_is_not_renewed_is_advertised_no_longer(autojump_clock):
    async with open_world() as world:
        world.nodes[CAROL].relay._access._deny = frozenset({BOB.peer_id})
        await trio.sleep(700)

        assert world.nodes[BOB].addresses == ()
        assert world.nodes[BOB].stats()["relay.reservations.failed"] > 1
        assert world.nodes[CAROL].stats()["relay.refused.permission_denied"] > 1


async def test_only_the_first_time_a_place_is_asked_for_is_no_background_work(
    autojump_clock,
):
    async with open_world() as world:
        await trio.sleep(1000)
        first, *renewals = world.relayed(BOB, "reserve")
        assert len(renewals) >= 2
        assert "zerostate.background" not in first.attributes
        for span in renewals:
            assert span.attributes["zerostate.background"] is True
            assert span.parent is None


async def test_a_relay_that_refuses_is_asked_again_in_the_background(autojump_clock):
    async with open_world(relay_max_reservations=1) as world:
        refused = replace(CONFIG, relays=world.nodes[CAROL].addresses)
        dave = Identity(b"d" * 32)
        await world.open(dave, refused)
        await trio.sleep(60)

        first, *retries = world.relayed(dave, "reserve")
        assert len(retries) >= 2
        assert first.attributes["error.type"] == "relay_refused"
        assert "zerostate.background" not in first.attributes
        for span in retries:
            assert span.attributes["error.type"] == "relay_refused"
            assert span.attributes["zerostate.background"] is True


async def test_a_relay_that_dies_ends_requests_at_both_ends(autojump_clock):
    async with open_world() as world:
        alice, bob = world.nodes[ALICE], world.nodes[BOB]

        async def never(message):
            await trio.sleep_forever()

        bob.handle("guild_join", never)
        await alice.connect(bob.addresses[0])
        async with trio.open_nursery() as nursery:

            async def ask():
                with pytest.raises(PeerLostError):
                    await alice.request(BOB.peer_id, "guild_join", b"")

            nursery.start_soon(ask)
            await trio.sleep(1)
            await world.host(CAROL).vanish()

        assert ALICE.peer_id not in bob.connected()
        assert alice.connected() == frozenset()


async def test_a_frozen_relay_is_found_and_its_circuits_with_it(autojump_clock):
    async with open_world() as world:
        alice = world.nodes[ALICE]
        await alice.connect(world.nodes[BOB].addresses[0])
        world.host(CAROL).freeze()
        with trio.fail_after(5):
            await alice.wait_lost(BOB.peer_id)


async def test_a_full_relay_fails_the_dial_with_its_reason(autojump_clock):
    async with open_world(relay_max_circuits=1, relay_max_circuits_per_peer=1) as world:
        dave = await world.open(Identity(b"d" * 32), CONFIG)
        address = world.nodes[BOB].addresses[0]
        await world.nodes[ALICE].connect(address)

        with pytest.raises(RelayRefusedError):
            await dave.connect(address)

        stats = world.nodes[CAROL].stats()
        assert stats["relay.refused.resource_limit_exceeded"] == 1


async def test_a_direct_way_that_worked_is_tried_before_the_relay(autojump_clock):
    async with open_world(bob_listens=True) as world:
        alice, bob = world.nodes[ALICE], world.nodes[BOB]
        direct, circuit = bob.addresses
        await alice.connect(direct)
        await alice.disconnect(BOB.peer_id)

        await alice.connect(circuit)
        assert alice.path(BOB.peer_id).relay is None

        await alice.disconnect(BOB.peer_id)
        world.host(BOB).listens = False
        await alice.connect(circuit)
        assert alice.path(BOB.peer_id).relay == CAROL.peer_id


async def test_requests_move_to_a_direct_way_and_lose_none(autojump_clock):
    async with open_world(bob_listens=True) as world:
        alice, bob = world.nodes[ALICE], world.nodes[BOB]
        release = trio.Event()

        async def slow(message):
            await release.wait()
            return message.body

        bob.handle("guild_join", slow)
        bob.handle("task_accept", echo)
        direct, circuit = bob.addresses
        await alice.connect(circuit)
        replies = []
        async with trio.open_nursery() as nursery:

            async def ask():
                replies.append(await alice.request(BOB.peer_id, "guild_join", b"slow"))

            nursery.start_soon(ask)
            await trio.sleep(1)
            await alice.connect(direct)
            assert alice.path(BOB.peer_id).relay is None
            reply = await alice.request(BOB.peer_id, "task_accept", b"quick")
            assert reply == b"quick"
            assert replies == []
            release.set()

        assert replies == [b"slow"]
        await trio.sleep(2)
        # Nothing is on the relayed connection any more.
        await alice.disconnect(CAROL.peer_id)
        assert await alice.request(BOB.peer_id, "task_accept", b"on") == b"on"
        names = [span.name for span in world.recorders[ALICE].spans]
        assert names.count("p2p.connection.close") == 1


def test_a_relay_is_reached_directly():
    carol, bob = CAROL.peer_id, BOB.peer_id
    circuit = f"/ip4/127.0.0.1/tcp/1/p2p/{carol}/p2p-circuit/p2p/{bob}"
    with pytest.raises(ConfigError, match="not reached through another"):
        P2PConfig(relays=(circuit,))
    with pytest.raises(ValueError, match="its own relay"):
        parse_peer_address(circuit.replace(bob, carol))
    with pytest.raises(ValueError, match="not a peer address"):
        parse_peer_address(circuit + "/p2p-circuit/p2p/" + carol)
