"""Gossip over the network in memory: spans, trust, deduplication, loss."""

from dataclasses import replace

import pytest
import trio

from zerostate.errors import MessageTooLargeError, RemoteError, UnknownMessageTypeError
from zerostate.p2p import P2PConfig
from zerostate.testing import FakeClock, SpanRecorder, assert_trace
from zerostate.testing.peers import open_memory_peers

TOPIC = "zerostate/test/1"


class Inbox:
    """Gathers what a peer acts on."""

    def __init__(self, peer, message_type="task_request", **options):
        self.messages = []
        self._arrived = trio.Event()
        peer.node.on_gossip(message_type, self._take, **options)

    async def _take(self, message):
        self.messages.append(message)
        self._arrived.set()

    async def first(self):
        with trio.fail_after(2):
            await self._arrived.wait()
        return self.messages[0]


async def subscribe(peers):
    for peer in peers:
        await peer.node.subscribe(TOPIC)


async def test_an_announcement_over_two_hops_is_one_trace(autojump_clock):
    recorder = SpanRecorder()
    async with open_memory_peers(3, recorder=recorder, chain=True) as peers:
        await subscribe(peers)
        inboxes = [Inbox(peer, "guild_announce") for peer in peers[1:]]

        published = await peers[0].node.publish(TOPIC, "guild_announce", b"come")
        messages = [await inbox.first() for inbox in inboxes]
        await trio.sleep(0.1)

    assert published.peers == 1
    assert [message.id for message in messages] == [published.message_id] * 2
    assert_trace(
        recorder.spans,
        """
        p2p.message.guild_announce
          p2p.gossip.publish PRODUCER
            p2p.gossip.deliver CONSUMER
              p2p.message.guild_announce
            p2p.gossip.deliver CONSUMER
              p2p.message.guild_announce
        """,
    )
    forwarders = {
        span.attributes["gossip.forwarder.peer.id"]
        for span in recorder.spans
        if span.name == "p2p.gossip.deliver"
    }
    assert forwarders == {peers[0].peer_id, peers[1].peer_id}


async def test_only_the_addressee_acts_and_others_record_a_link(autojump_clock):
    async with open_memory_peers(3) as (alice, bob, carol):
        await subscribe([alice, bob, carol])
        for_bob, for_carol = Inbox(bob), Inbox(carol)

        await alice.node.publish(TOPIC, "task_request", b"do", to=bob.peer_id)
        await for_bob.first()
        await trio.sleep(0.1)

        assert for_carol.messages == []
    published = alice.recorder.named("p2p.gossip.publish")
    assert bob.recorder.named("p2p.gossip.deliver").parent.span_id == (
        published.context.span_id
    )
    overheard = carol.recorder.named("p2p.gossip.deliver")
    assert overheard.parent is None
    assert overheard.links[0].context.span_id == published.context.span_id
    assert overheard.links[0].attributes["zerostate.link.trust"] == "known"
    assert [span.name for span in carol.recorder.spans] == ["p2p.gossip.deliver"]


@pytest.mark.parametrize(
    ("trusted", "continues", "trust"),
    [(True, True, None), (True, False, "known"), (False, True, "stranger")],
)
async def test_who_continues_a_trace(autojump_clock, trusted, continues, trust):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        if not trusted:
            bob.node._trust._known.clear()
        inbox = Inbox(bob, continues=lambda message: continues)

        await alice.node.publish(TOPIC, "task_request", b"")
        await inbox.first()
        await trio.sleep(0.1)

    span = bob.recorder.named("p2p.gossip.deliver")
    assert (span.parent is not None) == (trust is None)
    assert [link.attributes["zerostate.link.trust"] for link in span.links] == (
        [] if trust is None else [trust]
    )


async def test_trust_given_later_continues_later_traces(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        inbox = Inbox(bob)
        bob.node.trust(alice.peer_id)

        await alice.node.publish(TOPIC, "task_request", b"")
        await inbox.first()
        await trio.sleep(0.1)

    assert bob.recorder.named("p2p.gossip.deliver").parent is not None


async def test_a_lost_message_delivered_directly_is_acted_on_once(autojump_clock):
    recorder = SpanRecorder()
    async with open_memory_peers(2, recorder=recorder) as (alice, bob):
        await subscribe([alice, bob])
        inbox = Inbox(bob)
        alice.network.loses = lambda topic, sender, receiver: True
        published = await alice.node.publish(
            TOPIC, "task_request", b"do", to=bob.peer_id
        )

        assert await alice.node.deliver_direct(published, bob.peer_id) is False
        assert await alice.node.deliver_direct(published, bob.peer_id) is True
        await trio.sleep(0.1)

        assert [message.body for message in inbox.messages] == [b"do"]
    assert_trace(
        recorder.spans,
        """
        p2p.message.task_request
          p2p.gossip.publish PRODUCER
            p2p.message.task_request SERVER
        p2p.message.task_request CLIENT
        p2p.message.task_request CLIENT
        """,
    )


async def test_a_message_that_arrived_by_gossip_is_a_duplicate_on_the_stream(
    autojump_clock,
):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        inbox = Inbox(bob)
        published = await alice.node.publish(TOPIC, "task_request", b"do")
        await inbox.first()

        assert await alice.node.deliver_direct(published, bob.peer_id) is True
        assert len(inbox.messages) == 1


async def test_a_direct_delivery_is_confirmed_before_its_handler_ends(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        alice.network.loses = lambda topic, sender, receiver: True

        async def long(message):
            await trio.sleep(600)

        bob.node.on_gossip("task_request", long)
        published = await alice.node.publish(TOPIC, "task_request", b"")
        start = trio.current_time()

        await alice.node.deliver_direct(published, bob.peer_id)

        assert trio.current_time() - start < 1


async def test_an_expired_message_is_refused(autojump_clock):
    clock = FakeClock()
    async with open_memory_peers(2, clock=clock) as (alice, bob):
        await subscribe([alice, bob])
        alice.network.loses = lambda topic, sender, receiver: True
        published = await alice.node.publish(TOPIC, "task_request", b"", ttl_s=5)
        clock.advance(6)

        with pytest.raises(RemoteError, match="expired"):
            await alice.node.deliver_direct(published, bob.peer_id)

        assert bob.node.stats()["refused.expired"] == 1


async def test_a_forged_message_is_refused_and_not_forwarded(autojump_clock):
    async with open_memory_peers(3, chain=True) as (alice, bob, carol):
        await subscribe([alice, bob, carol])
        inbox = Inbox(carol)

        await alice.host.publish(TOPIC, b"forged")
        await trio.sleep(1)

        assert inbox.messages == []
        assert bob.node.stats() == {"refused.bad_envelope": 1}
        assert carol.node.stats() == {}


async def test_one_handler_too_many_is_counted_and_can_still_come_directly(
    autojump_clock,
):
    config = P2PConfig(max_concurrent_handlers=1)
    async with open_memory_peers(2, config=config) as (alice, bob):
        await subscribe([alice, bob])
        handled = []

        async def slow(message):
            await trio.sleep(1)
            handled.append(message.body)

        bob.node.on_gossip("task_request", slow)
        await alice.node.publish(TOPIC, "task_request", b"1")
        second = await alice.node.publish(TOPIC, "task_request", b"2")
        await trio.sleep(0.5)
        assert bob.node.stats()["gossip.dropped.overloaded"] == 1
        with pytest.raises(RemoteError, match="overloaded"):
            await alice.node.deliver_direct(second, bob.peer_id)
        await trio.sleep(2)

        assert await alice.node.deliver_direct(second, bob.peer_id) is False
        await trio.sleep(2)
        assert handled == [b"1", b"2"]


async def test_a_publication_waits_for_the_first_subscriber(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        inbox = Inbox(bob)
        async with trio.open_nursery() as nursery:

            async def subscribe_late():
                await trio.sleep(1)
                await bob.node.subscribe(TOPIC)

            nursery.start_soon(subscribe_late)
            published = await alice.node.publish(TOPIC, "task_request", b"")

        assert published.peers == 1
        await inbox.first()


async def test_a_publication_without_subscribers_says_so(autojump_clock, caplog):
    async with open_memory_peers(2) as (alice, _):
        start = trio.current_time()
        published = await alice.node.publish(TOPIC, "task_request", b"")

        assert published.peers == 0
        assert trio.current_time() - start == pytest.approx(3, abs=0.1)
        assert alice.node.stats()["gossip.published_to_nobody"] == 1
    assert "nobody else is subscribed" in caplog.text


async def test_own_messages_are_ignored_and_sequences_count_up(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        own, theirs = Inbox(alice), Inbox(bob)
        for _ in range(3):
            await alice.node.publish(TOPIC, "task_request", b"")
        await trio.sleep(1)

        assert own.messages == []
        assert sorted(message.sequence for message in theirs.messages) == [1, 2, 3]


async def test_what_cannot_be_published_is_refused(autojump_clock):
    async with open_memory_peers(1) as (alice,):
        with pytest.raises(UnknownMessageTypeError):
            await alice.node.publish(TOPIC, "coffee_request", b"")
        with pytest.raises(MessageTooLargeError):
            await alice.node.publish(TOPIC, "task_request", b"x" * (64 << 10))
        with pytest.raises(ValueError, match="topic"):
            await alice.node.publish("", "task_request", b"")


async def test_a_failing_handler_is_logged_and_counted(autojump_clock, caplog):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])

        async def broken(message):
            raise KeyError("oops")

        bob.node.on_gossip("task_request", broken)
        await alice.node.publish(TOPIC, "task_request", b"")
        await trio.sleep(0.1)

        assert bob.node.stats()["handler.errors"] == 1
    assert "oops" in caplog.text
    deliver = bob.recorder.named("p2p.gossip.deliver")
    assert deliver.attributes["error.type"] == "KeyError"


async def test_an_envelope_may_not_be_changed_on_the_way(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await subscribe([alice, bob])
        alice.network.loses = lambda topic, sender, receiver: True
        published = await alice.node.publish(TOPIC, "task_request", b"pay 1")
        forged = replace(
            published, envelope=published.envelope.replace(b"pay 1", b"pay 9")
        )

        with pytest.raises(Exception, match="went away"):
            await alice.node.deliver_direct(forged, bob.peer_id)

        assert bob.node.stats()["refused.bad_envelope"] == 1
