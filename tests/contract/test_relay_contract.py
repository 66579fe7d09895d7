"""`zerostate.p2p.relay_host.RelayHost`: connections through a third peer.

Alice and Bob listen nowhere, so that what they have with each other cannot be direct.
"""

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
import trio

from hosts import ALICE, BOB, CAROL, Recorder, RelayRecorder, eventually
from zerostate.errors import (
    PeerLostError,
    PeerUnreachableError,
    ProtocolNotSpokenError,
    RelayRefusedError,
)
from zerostate.evidence.identity import Identity
from zerostate.p2p.host import Host
from zerostate.p2p.relay_host import RelayLimits

TOPIC = "zerostate/test/1"
DAVE = Identity(bytes([4]) * 32)
LIMITS = RelayLimits(
    max_reservations=2,
    max_circuits=2,
    max_circuits_per_peer=1,
    circuit_s=60.0,
    circuit_bytes=1 << 20,
    reservation_s=60.0,
)


@dataclass
class End:
    host: Host
    seen: Recorder
    relaying: RelayRecorder

    @property
    def peer_id(self):
        return self.seen.identity.peer_id


def circuit(relay, to):
    return f"{relay.host.addresses[0]}/p2p-circuit/p2p/{to.peer_id}"


@asynccontextmanager
async def open_ends(open_hosts, *identities, limits=LIMITS, listening=()):
    """The relay first; the others listen nowhere, and are connected with it."""
    silent = [one for one in identities[1:] if one not in listening]
    async with open_hosts(*identities, silent=silent) as pairs:
        ends = [End(host, recorder, RelayRecorder()) for host, recorder in pairs]
        for end in ends:
            end.host.relays.start(end.relaying, limits if end is ends[0] else None)
        for end in ends[1:]:
            await end.host.connect(ends[0].host.addresses[0])
        yield ends


async def echo(host, to, text=b"hello"):
    stream = await host.open_stream(to.peer_id)
    with trio.fail_after(5):
        await stream.write(len(text).to_bytes(4, "big") + text)
        return await stream.read_exactly(len(text))


async def test_two_peers_that_listen_nowhere_talk_through_a_relay(open_hosts):
    async with open_ends(open_hosts, CAROL, ALICE, BOB) as [relay, alice, bob]:
        lifetime_s = await bob.host.relays.reserve(relay.peer_id)
        assert 58 < lifetime_s <= 61

        await alice.host.connect(circuit(relay, to=bob))

        assert await echo(alice.host, bob) == b"hello"
        assert await echo(bob.host, alice) == b"hello"
        there, back = alice.host.path(bob.peer_id), bob.host.path(alice.peer_id)
        assert (there.relay, there.dialled) == (relay.peer_id, True)
        assert (back.relay, back.dialled) == (relay.peer_id, False)
        assert there.address == f"/p2p/{relay.peer_id}/p2p-circuit"
        assert alice.host.path(relay.peer_id).relay is None
        assert alice.seen.presence == [
            ("connected", relay.peer_id),
            ("connected", bob.peer_id),
        ]
        await eventually(lambda: bob.relaying.events)
        assert bob.relaying.events == [("accept", relay.peer_id, alice.peer_id, "ok")]
        assert relay.relaying.events == [
            ("granted", bob.peer_id),
            ("forward", alice.peer_id, bob.peer_id, "ok"),
        ]


async def test_an_end_that_disconnects_is_noticed_by_the_other(open_hosts):
    async with open_ends(open_hosts, CAROL, ALICE, BOB) as [relay, alice, bob]:
        await bob.host.relays.reserve(relay.peer_id)
        await alice.host.connect(circuit(relay, to=bob))
        await eventually(lambda: alice.peer_id in bob.host.connected())

        await alice.host.disconnect(bob.peer_id)

        await eventually(lambda: alice.peer_id not in bob.host.connected())
        await eventually(lambda: relay.relaying.events[-1] == ("ended", "closed"))
        assert relay.peer_id in alice.host.connected()
        # The place is still there, and the circuit's room is free again.
        await alice.host.connect(circuit(relay, to=bob))
        assert await echo(alice.host, bob) == b"hello"


async def test_a_relay_that_goes_takes_its_circuits_along(open_hosts):
    async with open_hosts(ALICE, BOB, silent=[ALICE, BOB]) as pairs:
        alice, bob = (End(*pair, RelayRecorder()) for pair in pairs)
        for end in (alice, bob):
            end.host.relays.start(end.relaying, None)
        async with open_hosts(CAROL) as [(host, recorder)]:
            relay = End(host, recorder, RelayRecorder())
            host.relays.start(relay.relaying, LIMITS)
            for end in (alice, bob):
                await end.host.connect(host.addresses[0])
            await bob.host.relays.reserve(relay.peer_id)
            await alice.host.connect(circuit(relay, to=bob))
            stream = await alice.host.open_stream(bob.peer_id)
        with trio.fail_after(5), pytest.raises(PeerLostError):
            await stream.read_exactly(1)

        for end in (alice, bob):
            await eventually(lambda end=end: end.host.connected() == frozenset())
            assert [what for what, _ in end.seen.presence].count("disconnected") == 2


async def test_nobody_is_reached_without_a_place_at_the_relay(open_hosts):
    async with open_ends(open_hosts, CAROL, ALICE, BOB) as [relay, alice, bob]:
        with pytest.raises(RelayRefusedError):
            await alice.host.connect(circuit(relay, to=bob))

        assert alice.host.connected() == {relay.peer_id}
        assert relay.relaying.events == [("refused", alice.peer_id, "no_reservation")]


async def test_a_place_is_lost_with_the_connection(open_hosts):
    async with open_ends(open_hosts, CAROL, ALICE, BOB) as [relay, alice, bob]:
        await bob.host.relays.reserve(relay.peer_id)
        await bob.host.disconnect(relay.peer_id)
        await eventually(lambda: bob.peer_id not in relay.host.connected())
        await bob.host.connect(relay.host.addresses[0])
        await eventually(lambda: bob.peer_id in relay.host.connected())

        with pytest.raises(RelayRefusedError):
            await alice.host.connect(circuit(relay, to=bob))


async def test_who_relays_for_nobody_says_so(open_hosts):
    async with open_ends(open_hosts, CAROL, ALICE, limits=None) as [relay, alice]:
        with pytest.raises(ProtocolNotSpokenError):
            await alice.host.relays.reserve(relay.peer_id)


async def test_a_relay_that_is_not_connected_is_not_dialled(open_hosts):
    async with open_hosts(CAROL, ALICE, silent=[ALICE]) as [(relay, _), (alice, _)]:
        alice.relays.start(RelayRecorder(), None)

        with pytest.raises(PeerUnreachableError):
            await alice.relays.reserve(CAROL.peer_id)
        with pytest.raises(PeerUnreachableError):
            await alice.connect(f"{relay.addresses[0]}/p2p-circuit/p2p/{BOB.peer_id}")


async def test_a_relay_gives_no_more_places_than_it_has(open_hosts):
    limits = replace(LIMITS, max_reservations=1)
    async with open_ends(open_hosts, CAROL, ALICE, BOB, limits=limits) as ends:
        relay, alice, bob = ends
        await bob.host.relays.reserve(relay.peer_id)
        with pytest.raises(RelayRefusedError):
            await alice.host.relays.reserve(relay.peer_id)
        await bob.host.relays.reserve(relay.peer_id)

        assert relay.relaying.events == [
            ("granted", bob.peer_id),
            ("refused", alice.peer_id, "reservation_refused"),
            ("granted", bob.peer_id),
        ]


async def test_a_relay_gives_no_more_circuits_than_it_has(open_hosts):
    async with open_ends(open_hosts, CAROL, ALICE, BOB, DAVE) as ends:
        relay, alice, bob, dave = ends
        await bob.host.relays.reserve(relay.peer_id)
        await alice.host.connect(circuit(relay, to=bob))
        with pytest.raises(RelayRefusedError):
            await dave.host.connect(circuit(relay, to=bob))

        assert relay.relaying.events[-1] == (
            "refused",
            dave.peer_id,
            "resource_limit_exceeded",
        )


async def test_one_circuits_end_is_not_the_end_of_another(open_hosts):
    limits = replace(LIMITS, max_circuits_per_peer=2)
    async with open_ends(open_hosts, CAROL, ALICE, BOB, DAVE, limits=limits) as ends:
        relay, alice, bob, dave = ends
        await bob.host.relays.reserve(relay.peer_id)
        await alice.host.connect(circuit(relay, to=bob))
        await dave.host.connect(circuit(relay, to=bob))
        await alice.host.disconnect(bob.peer_id)
        await eventually(lambda: ("ended", "closed") in relay.relaying.events)

        assert await echo(dave.host, bob) == b"hello"
        assert bob.host.connected() == {relay.peer_id, dave.peer_id}


async def test_a_circuit_ends_when_its_time_is_up(open_hosts):
    limits = replace(LIMITS, circuit_s=0.3)
    async with open_ends(open_hosts, CAROL, ALICE, BOB, limits=limits) as ends:
        relay, alice, bob = ends
        await bob.host.relays.reserve(relay.peer_id)
        await alice.host.connect(circuit(relay, to=bob))

        for end in (alice, bob):
            await eventually(lambda end=end: end.host.connected() == {relay.peer_id})
        assert relay.relaying.events[-1] == ("ended", "time_up")


async def test_a_relay_serves_only_whom_its_owner_wants(open_hosts):
    async with open_ends(open_hosts, CAROL, ALICE, BOB) as [relay, alice, bob]:
        relay.relaying.wanted = lambda peer_id: peer_id == bob.peer_id
        await bob.host.relays.reserve(relay.peer_id)
        with pytest.raises(RelayRefusedError):
            await alice.host.relays.reserve(relay.peer_id)
        with pytest.raises(RelayRefusedError):
            await alice.host.connect(circuit(relay, to=bob))

        assert relay.relaying.events[1:] == [
            ("refused", alice.peer_id, "permission_denied"),
            ("refused", alice.peer_id, "permission_denied"),
        ]


async def test_an_end_that_admits_nobody_is_not_connected(open_hosts):
    async with open_ends(open_hosts, CAROL, ALICE, BOB) as [relay, alice, bob]:
        await bob.host.relays.reserve(relay.peer_id)
        bob.seen.wanted = lambda _newcomer: False

        with pytest.raises(PeerUnreachableError):
            await alice.host.connect(circuit(relay, to=bob))
            # Where only the loss of the connection tells:
            await eventually(lambda: bob.peer_id not in alice.host.connected())
            raise PeerUnreachableError

        assert bob.host.connected() == {relay.peer_id}


async def test_a_direct_connection_takes_over_from_a_relayed_one(open_hosts):
    opened = open_ends(open_hosts, CAROL, ALICE, BOB, listening=[BOB])
    async with opened as [relay, alice, bob]:
        await bob.host.relays.reserve(relay.peer_id)
        await alice.host.connect(circuit(relay, to=bob))
        assert alice.host.path(bob.peer_id).relay == relay.peer_id

        await alice.host.connect(bob.host.addresses[0])
        await alice.host.connect(circuit(relay, to=bob))

        assert alice.host.path(bob.peer_id).relay is None
        assert await echo(alice.host, bob) == b"hello"
        # The relay may go now.
        await alice.host.disconnect(relay.peer_id)
        await eventually(lambda: relay.relaying.events[-1] == ("ended", "closed"))
        assert await echo(alice.host, bob) == b"hello"
        assert ("disconnected", bob.peer_id) not in alice.seen.presence
        assert ("disconnected", alice.peer_id) not in bob.seen.presence


async def test_gossip_goes_on_when_one_of_two_connections_ends(open_hosts):
    opened = open_ends(open_hosts, CAROL, ALICE, BOB, listening=[BOB])
    async with opened as [relay, alice, bob]:
        await bob.host.relays.reserve(relay.peer_id)
        await alice.host.connect(circuit(relay, to=bob))
        for end in (alice, bob):
            await end.host.subscribe(TOPIC)
        await eventually(lambda: bob.peer_id in alice.host.topic_peers(TOPIC))
        await alice.host.publish(TOPIC, b"through the relay")
        await eventually(lambda: bob.seen.gossip)

        await alice.host.connect(bob.host.addresses[0])
        await alice.host.disconnect(relay.peer_id)
        await eventually(lambda: relay.relaying.events[-1] == ("ended", "closed"))
        await trio.sleep(0.5)
        await eventually(lambda: bob.peer_id in alice.host.topic_peers(TOPIC))
        await eventually(lambda: alice.peer_id in bob.host.topic_peers(TOPIC))
        await alice.host.publish(TOPIC, b"directly")
        await bob.host.publish(TOPIC, b"and back")

        await eventually(lambda: len(bob.seen.gossip) == 2)
        await eventually(lambda: alice.seen.gossip)
        assert bob.seen.gossip[-1] == (TOPIC, alice.peer_id, b"directly")
