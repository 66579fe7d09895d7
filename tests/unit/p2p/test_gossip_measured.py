"""Gossip that is lost, late or too much is counted; what was handed on is told."""

import pytest
import trio

from zerostate.clock import SystemClock
from zerostate.errors import MessageTooLargeError
from zerostate.ids import PeerId
from zerostate.p2p import P2PConfig
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.flooding import MAX_RATED_PEERS, FloodGate
from zerostate.p2p.sequences import MAX_MISSING, MAX_MISSING_IN_ALL, SequenceGaps
from zerostate.telemetry import TraceCarrier
from zerostate.testing import FakeClock
from zerostate.testing.peers import open_memory_peers

TOPIC = "zerostate/test/1"
A, B = PeerId("a"), PeerId("b")


class Arrivals:
    """Notes numbers of one author, each a little later than the one before."""

    def __init__(self):
        self.gaps = SequenceGaps()
        self._now_ns = 0

    def note(self, *numbers, author=A, topic=TOPIC, sent=None):
        for number in numbers:
            self._now_ns += 1
            sent_ns = self._now_ns if sent is None else sent
            self.gaps.note(author, topic, number, sent_unix_ns=sent_ns)
        return self.gaps.missing, self.gaps.late, self.gaps.restarts


def test_gaps_are_missing_until_they_turn_up():
    arrivals = Arrivals()

    assert arrivals.note(1, 2, 3) == (0, 0, 0)
    assert arrivals.note(7) == (3, 0, 0)
    assert arrivals.note(5, sent=3) == (2, 1, 0)
    assert arrivals.note(8) == (2, 1, 0)


def test_what_came_before_the_first_heard_of_is_not_missing():
    assert Arrivals().note(100, 101) == (0, 0, 0)


def test_authors_and_topics_are_numbered_apart():
    arrivals = Arrivals()
    arrivals.note(1)
    arrivals.note(5, author=B)
    arrivals.note(9, topic="other")

    assert arrivals.note(2) == (0, 0, 0)


def test_an_author_that_begins_anew_has_lost_nothing():
    arrivals = Arrivals()
    arrivals.note(*range(1, 20))

    assert arrivals.note(1, 2, 3) == (0, 0, 1)
    assert arrivals.note(5) == (1, 0, 1)


def test_an_old_message_that_comes_late_is_no_new_beginning():
    arrivals = Arrivals()
    arrivals.note(10, 11)

    assert arrivals.note(9, sent=0) == (0, 0, 0)
    assert arrivals.note(12) == (0, 0, 0)


def test_a_message_of_before_the_restart_makes_no_gap():
    arrivals = Arrivals()
    arrivals.note(*range(1, 20))
    arrivals.note(1)

    assert arrivals.note(20, sent=15) == (0, 0, 1)
    assert arrivals.note(2) == (0, 0, 1)


def test_a_leap_is_a_new_beginning_and_not_a_loss():
    arrivals = Arrivals()
    arrivals.note(1)

    assert arrivals.note(2**63) == (0, 0, 1)
    assert arrivals.note(2**63 + 2) == (1, 0, 1)


def test_what_was_missing_too_long_ago_stays_missing():
    arrivals = Arrivals()
    arrivals.note(1)
    arrivals.note(MAX_MISSING)
    arrivals.note(2 * MAX_MISSING)
    missing = 2 * MAX_MISSING - 3

    assert arrivals.note(2, sent=1) == (missing, 0, 0)
    assert arrivals.note(2 * MAX_MISSING - 1, sent=1) == (missing - 1, 1, 0)


def test_numberings_are_bounded_and_their_losses_stay_counted():
    gaps = SequenceGaps(limit=2)
    for author in (A, B, PeerId("c")):
        gaps.note(author, TOPIC, 1, sent_unix_ns=1)
        gaps.note(author, TOPIC, 3, sent_unix_ns=2)

    assert len(gaps) == 2
    assert gaps.missing == 3


def test_many_authors_with_long_gaps_are_bounded_together():
    gaps = SequenceGaps()
    authors = 2 * MAX_MISSING_IN_ALL // MAX_MISSING
    for number in range(authors):
        author = PeerId(str(number))
        gaps.note(author, TOPIC, 1, sent_unix_ns=1)
        gaps.note(author, TOPIC, MAX_MISSING + 2, sent_unix_ns=2)

    followed = [len(n.missing) for n in gaps._numberings.values()]
    assert sum(followed) == MAX_MISSING_IN_ALL
    assert gaps.missing == authors * MAX_MISSING
    gaps.note(PeerId(str(authors - 1)), TOPIC, 2, sent_unix_ns=3)
    assert gaps.late == 1


def test_what_has_no_number_is_not_followed():
    gaps = SequenceGaps()
    gaps.note(A, TOPIC, 0, sent_unix_ns=1)

    assert len(gaps) == 0


def test_a_flood_is_let_through_at_its_rate_and_peers_do_not_share_one():
    clock = FakeClock()
    config = P2PConfig(
        gossip_rate_per_s=5, gossip_author_rate_per_s=5, gossip_forwarder_rate_per_s=10
    )
    gate = FloodGate(config, clock)

    assert [gate.may_write(A) for _ in range(11)] == [True] * 10 + [False]
    assert gate.may_write(B)
    assert [gate.may_bring(A) for _ in range(21)] == [True] * 20 + [False]
    clock.advance(1)
    assert [gate.may_write(A) for _ in range(6)] == [True] * 5 + [False]
    for number in range(MAX_RATED_PEERS + 1):
        gate.may_write(PeerId(str(number)))
    assert len(gate._authors) == MAX_RATED_PEERS


async def subscribe(peers):
    for peer in peers:
        await peer.node.subscribe(TOPIC)
        peer.node.on_gossip("task_request", ignore)


async def ignore(message):
    """Nothing to do."""


async def publish(peer, count=1, **options):
    return [
        await peer.node.publish(TOPIC, "task_request", b"", **options)
        for _ in range(count)
    ]


async def test_lost_messages_are_counted_and_so_is_what_comes_late(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        await publish(alice)
        alice.network.loses = lambda *_: True
        lost, *_ = await publish(alice, 3)
        alice.network.loses = lambda *_: False
        await publish(alice)
        await trio.sleep(1)

        assert bob.node.stats()["gossip.missed"] == 3
        await alice.node.deliver_direct(lost, bob.peer_id)
        await alice.node.deliver_direct(lost, bob.peer_id)
        stats = bob.node.stats()
        # What has come late is not taken back: monitors read these as counters.
        assert (stats["gossip.missed"], stats["gossip.late"]) == (3, 1)
        assert (stats["gossip.direct"], stats["gossip.direct.duplicates"]) == (1, 1)
        assert stats["gossip.received"] == 2
        assert "gossip.missed" not in alice.node.stats()


async def test_a_message_that_is_too_large_leaves_no_gap(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        await publish(alice)
        with pytest.raises(MessageTooLargeError):
            await alice.node.publish(TOPIC, "task_request", bytes((64 << 10) - 10))
        await publish(alice)
        await trio.sleep(1)

        assert bob.node.stats()["gossip.received"] == 2
        assert "gossip.missed" not in bob.node.stats()


async def test_an_author_that_writes_too_much_is_refused_and_not_forwarded(
    autojump_clock,
):
    config = P2PConfig(gossip_rate_per_s=2, gossip_author_rate_per_s=2)
    async with open_memory_peers(3, config=config, clock=FakeClock(), chain=True) as (
        alice,
        bob,
        carol,
    ):
        await subscribe([alice, bob, carol])
        await publish(alice, 9)
        await publish(bob)
        await trio.sleep(1)

        assert bob.node.stats()["gossip.refused.rate"] == 5
        assert bob.node.stats()["gossip.received"] == 4
        assert carol.node.stats()["gossip.received"] == 5
        # They arrived: what is refused is not missing.
        assert "gossip.missed" not in bob.node.stats()


async def test_a_neighbour_that_brings_too_much_is_not_even_verified(autojump_clock):
    config = P2PConfig(gossip_forwarder_rate_per_s=2)
    async with open_memory_peers(2, config=config, clock=FakeClock()) as (alice, bob):
        await subscribe([alice, bob])
        for number in range(9):
            await alice.host.publish(TOPIC, b"forged %d" % number)
        await trio.sleep(1)

        assert bob.node.stats()["refused.bad_envelope"] == 4
        assert bob.node.stats()["gossip.refused.rate"] == 5


async def test_who_repeats_anothers_messages_does_not_use_up_its_rate(autojump_clock):
    config = P2PConfig(gossip_rate_per_s=1, gossip_author_rate_per_s=1)
    clock = FakeClock()
    async with open_memory_peers(2, config=config, clock=clock) as (alice, bob):
        await subscribe([alice, bob])
        (published,) = await publish(alice)
        await trio.sleep(0.1)
        for _ in range(9):
            assert bob.node._gossip.arrived(TOPIC, alice.peer_id, published.envelope)
        await publish(alice)
        await trio.sleep(0.1)

        assert bob.node.stats()["gossip.received"] == 2
        assert bob.node.stats()["gossip.duplicates"] == 9


async def test_a_delivery_tells_who_brought_it_and_how_long_it_seems_to_have_taken(
    autojump_clock,
):
    async with open_memory_peers(3, chain=True) as (alice, bob, carol):
        await subscribe([alice, bob, carol])
        (published,) = await publish(alice)
        await trio.sleep(1)

    span = carol.recorder.named("p2p.gossip.deliver")
    assert span.attributes["messaging.message.id"] == published.message_id.hex()
    assert span.attributes["peer.id"] == alice.peer_id
    assert span.attributes["gossip.forwarder.peer.id"] == bob.peer_id
    assert 0 <= span.attributes["gossip.skewed_latency_ns"] < 10**9


async def test_the_difference_of_the_clocks_is_in_the_latency(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        ahead = FakeClock(wall_ns=SystemClock().wall_ns() + 60 * 10**9)
        codec = MessageCodec(P2PConfig(), alice.identity, ahead)
        data = await codec.seal(
            "task_request", b"", TraceCarrier(), ttl_s=60, topic=TOPIC, sequence=1
        )
        await alice.host.publish(TOPIC, data)
        await trio.sleep(1)

    latency_ns = bob.recorder.named("p2p.gossip.deliver").attributes[
        "gossip.skewed_latency_ns"
    ]
    assert -61 * 10**9 < latency_ns < -58 * 10**9


async def test_what_the_mesh_does_not_take_is_counted(autojump_clock):
    async with open_memory_peers(3) as (alice, bob, carol):
        await subscribe([alice, bob, carol])
        (whole,) = await publish(alice)
        real = alice.node._publisher._host

        class FullForOne:
            topic_peers = staticmethod(real.topic_peers)

            async def publish(self, topic, data):
                return await real.publish(topic, data) - 1

        alice.node._publisher._host = FullForOne()
        (part,) = await publish(alice)

    assert (whole.peers, part.peers) == (2, 1)
    assert alice.node.stats()["gossip.not_taken"] == 1


async def test_copies_of_what_was_above_the_rate_do_not_use_up_the_next(
    autojump_clock,
):
    config = P2PConfig(gossip_rate_per_s=1, gossip_author_rate_per_s=1)
    clock = FakeClock()
    async with open_memory_peers(2, config=config, clock=clock) as (alice, bob):
        await subscribe([alice, bob])
        *_, refused = await publish(alice, 3)
        await trio.sleep(0.1)
        assert bob.node.stats()["gossip.refused.rate"] == 1
        clock.advance(1)

        for _ in range(3):
            assert not bob.node._gossip.arrived(TOPIC, alice.peer_id, refused.envelope)
        await publish(alice)
        await trio.sleep(0.1)

        assert bob.node.stats()["gossip.received"] == 3
        assert bob.node.stats()["gossip.refused.rate"] == 1
        assert bob.node.stats()["gossip.duplicates"] == 3
        # Not taken for one that was acted on: it may still come directly.
        assert not await alice.node.deliver_direct(refused, bob.peer_id)
        await trio.sleep(0.1)
        assert bob.node.stats()["gossip.direct"] == 1
