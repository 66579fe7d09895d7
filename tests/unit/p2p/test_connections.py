"""Stays, their ends and their spans, over the network in memory."""

from contextlib import suppress
from dataclasses import replace

import pytest
import trio
import trio.testing

from zerostate.errors import (
    OverloadedError,
    PeerDeniedError,
    PeerLostError,
    PeerUnreachableError,
)
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig
from zerostate.p2p.access import MAX_BANS
from zerostate.p2p.presence import Presence
from zerostate.testing import assert_trace
from zerostate.testing.memory_relay import join
from zerostate.testing.peers import open_memory_peers

QUIET = P2PConfig(health_interval_s=0)
CLOSE = "p2p.connection.close"


def closes(peer):
    return [span for span in peer.recorder.spans if span.name == CLOSE]


def told(span):
    return {key: span.attributes[key] for key in ("peer.id", "connection.close_reason")}


async def test_an_end_that_we_ask_for_is_a_child_of_whoever_asks(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await trio.sleep(7)
        tracer = alice.recorder.provider.get_tracer("test")
        with tracer.start_as_current_span("asker"):
            await alice.node.disconnect(bob.peer_id)
        await alice.node.disconnect(bob.peer_id)

        (mine,), (theirs,) = closes(alice), closes(bob)
        assert told(mine) == {
            "peer.id": bob.peer_id,
            "connection.close_reason": "local",
        }
        assert mine.attributes["connection.stood_s"] == pytest.approx(7)
        assert_trace(alice.recorder.spans, f"asker\n  {CLOSE}")
        assert told(theirs) == {
            "peer.id": alice.peer_id,
            "connection.close_reason": "remote",
        }
        assert theirs.parent is None
        assert theirs.context.trace_id != mine.context.trace_id


async def test_a_stay_has_one_span_however_often_its_end_is_asked_for(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(alice.node.disconnect, bob.peer_id)
            nursery.start_soon(bob.node.disconnect, alice.peer_id)

        assert len(closes(alice)) == len(closes(bob)) == 1
        await alice.node.connect(bob.node.addresses[0])
        await bob.host.vanish()
        assert len(closes(alice)) == 2


async def test_a_span_opened_by_hand_is_the_span_of_the_call(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        tracer = alice.node._connections._tracer
        with tracer.trace_connection(bob.peer_id, "close"):
            await alice.node.disconnect(bob.peer_id)
        with tracer.trace_connection(bob.peer_id, "establish"):
            await alice.node.connect(bob.node.addresses[0])

        assert_trace(alice.recorder.spans, f"{CLOSE}\np2p.connection.establish")
        close, establish = alice.recorder.spans
        assert close.attributes["connection.close_reason"] == "local"
        assert establish.attributes["network.peer.address"] == "127.0.0.1"


async def test_a_frozen_peers_end_is_the_watchdogs(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        bob.host.freeze()
        await alice.node.wait_lost(bob.peer_id)

        # In memory the frozen peer still watches, and misses alice as much.
        ends = closes(alice) + closes(bob)
        reasons = [span.attributes["connection.close_reason"] for span in ends]
        assert sorted(reasons) == ["remote", "watchdog"]
        assert [span.parent for span in ends] == [None, None]


async def test_the_end_of_a_stay_is_over_when_its_span_is(autojump_clock):
    """Whoever waits for the peer is woken inside the span, not some time later."""
    async with open_memory_peers(2) as (alice, bob):

        async def never(message):
            await trio.sleep_forever()

        bob.node.handle("guild_join", never)
        async with trio.open_nursery() as nursery:

            async def ask():
                with pytest.raises(PeerLostError):
                    await alice.node.request(bob.peer_id, "guild_join", b"")

            nursery.start_soon(ask)
            await trio.sleep(1)
            await alice.node.disconnect(bob.peer_id)
            asked_at = trio.current_time()

        assert trio.current_time() == asked_at
        assert alice.node.connected() == frozenset()


async def test_each_stay_has_ended_when_the_peer_has_stopped(autojump_clock):
    recorders = []
    async with open_memory_peers(3) as peers:
        for peer in peers:
            # What the peers do when the block ends is what this is about.
            peer.recorder.stop = lambda: None
            recorders.append(peer)

    ends = [told(span) for peer in recorders for span in closes(peer)]
    assert len(ends) == 6
    assert {end["connection.close_reason"] for end in ends} == {"local", "remote"}


async def test_a_ban_disconnects_at_once_and_lasts_as_long_as_it_says(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        tracer = alice.recorder.provider.get_tracer("test")
        with tracer.start_as_current_span("judge"):
            alice.node.access.ban(bob.peer_id, 60, "sends garbage")
        with trio.fail_after(1):
            await alice.node.wait_lost(bob.peer_id)

        assert_trace(alice.recorder.spans, f"judge\n  {CLOSE}")
        assert closes(alice)[0].attributes["connection.close_reason"] == "banned"
        for _ in range(2):
            with pytest.raises(PeerDeniedError):
                await alice.node.connect(bob.node.addresses[0])
        with pytest.raises(PeerUnreachableError):
            await bob.node.connect(alice.node.addresses[0])
        assert alice.node.stats()["connections.refused.banned"] == 3

        await trio.sleep(61)
        await bob.node.connect(alice.node.addresses[0])
        assert alice.node.connected() == {bob.peer_id}


async def test_a_banned_authors_gossip_is_refused_whoever_brings_it(autojump_clock):
    async with open_memory_peers(3, chain=True) as (alice, bob, carol):
        heard = []

        async def hear(message):
            heard.append(message.body)

        for peer in (alice, bob, carol):
            peer.node.on_gossip("guild_announce", hear)
            await peer.node.subscribe("topic")
        carol.node.access.ban(alice.peer_id, 60, "a test")
        await alice.node.publish("topic", "guild_announce", b"of alice")
        await bob.node.publish("topic", "guild_announce", b"of bob")
        await trio.sleep(1)

        assert sorted(heard) == [b"of alice", b"of bob", b"of bob"]
        assert carol.node.stats()["refused.banned"] == 1


async def test_who_is_denied_or_not_allowed_is_refused_both_ways(autojump_clock):
    alice_id, bob_id, carol_id = (Identity(bytes([n]) * 32).peer_id for n in (1, 2, 3))
    config = replace(QUIET, allow=frozenset({alice_id, bob_id}))
    async with open_memory_peers(2, config=config) as (alice, bob):
        assert alice.node.connected() == {bob.peer_id}
        assert alice.node.access.refusal(carol_id) == "not_allowed"
    config = replace(QUIET, deny=frozenset({carol_id}))
    async with open_memory_peers(2, config=config) as (alice, _bob):
        assert alice.node.access.refusal(carol_id) == "denied"
        assert alice.node.access.refusal(bob_id) is None


async def test_one_connection_too_many_is_refused_and_counted(autojump_clock):
    config = replace(QUIET, max_connections=2)
    with suppress(PeerUnreachableError, OverloadedError):
        async with open_memory_peers(4, config=config):
            pytest.fail("the fourth peer found room at three full ones")
    async with open_memory_peers(4, config=config, chain=True) as peers:
        first, second, third, fourth = peers
        with pytest.raises(OverloadedError):
            await second.node.connect(fourth.node.addresses[0])
        with pytest.raises(PeerUnreachableError):
            await fourth.node.connect(second.node.addresses[0])

        assert second.node.stats()["connections.refused.limit"] == 2
        assert second.node.connected() == {first.peer_id, third.peer_id}
        await second.node.disconnect(third.peer_id)
        await fourth.node.connect(second.node.addresses[0])


async def test_a_third_connection_with_one_peer_is_refused(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        # One stands; a second is what a dial by both at once would have given.
        join(bob.host, alice.host)
        with pytest.raises(PeerUnreachableError):
            join(bob.host, alice.host)

        assert bob.node.stats()["connections.refused.peer_limit"] == 1
        assert alice.node.connected() == {bob.peer_id}


async def test_bans_are_bounded_and_checked(autojump_clock):
    async with open_memory_peers(1) as (alice,):
        with pytest.raises(ValueError, match="itself"):
            alice.node.access.ban(alice.peer_id, 60, "a test")
        for for_s in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="above 0"):
                alice.node.access.ban("somebody", for_s, "a test")
        alice.node.access.ban("soonest", 1, "a test")
        for n in range(MAX_BANS):
            alice.node.access.ban(f"peer {n}", 60, "a test")

        assert not alice.node.access.is_banned("soonest")
        assert alice.node.access.is_banned("peer 0")
        assert alice.node.stats()["bans.displaced"] == 1
        alice.node.access.unban("peer 0")
        assert not alice.node.access.is_banned("peer 0")


async def test_who_no_longer_waits_for_a_peer_is_forgotten(autojump_clock):
    presence = Presence()
    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(presence.wait_here, f"peer {n % 10}")
    assert presence._awaited == {}

    async with trio.open_nursery() as nursery:
        nursery.start_soon(presence.wait_here, "late")
        with trio.move_on_after(1):
            await presence.wait_here("late")
        assert list(presence._awaited) == ["late"]
        presence.arrived("late")
    assert presence._awaited == {}


async def test_each_stay_is_told_once_also_the_present_ones(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        arrived = []
        alice.node.tell_arrivals(arrived.append)
        assert arrived == [bob.peer_id]
        await alice.node.disconnect(bob.peer_id)
        await alice.node.connect(bob.node.addresses[0])
        await bob.node.connect(alice.node.addresses[0])

        assert arrived == [bob.peer_id] * 2


async def test_a_line_opened_to_a_peer_that_went_meanwhile_is_none(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        bob.host.freeze()
        lines = alice.node._connections._lines
        async with trio.open_nursery() as nursery:

            async def open_line():
                with pytest.raises(PeerUnreachableError):
                    await lines.to(bob.peer_id)

            nursery.start_soon(open_line)
            await trio.testing.wait_all_tasks_blocked()
            lines.drop(bob.peer_id)
            bob.host.thaw()

        assert lines.standing(bob.peer_id) is None
        assert alice.host.streams == set()
        assert not (await lines.to(bob.peer_id)).broken
