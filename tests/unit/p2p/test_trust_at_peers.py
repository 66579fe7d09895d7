"""p2p.trust: the policy between real peers, in memory."""

import pytest
import trio.testing
from opentelemetry import baggage
from opentelemetry.context import attach, detach

from zerostate.p2p.config import P2PConfig
from zerostate.telemetry.trust import Relation, Treatment, TrustPolicy
from zerostate.testing.peers import open_memory_peers


async def ask(alice, bob):
    token = attach(baggage.set_baggage("user", "alice"))
    try:
        await alice.node.request(bob.peer_id, "guild_join", b"")
    finally:
        detach(token)


def listen(bob):
    seen = []

    async def handler(message):
        seen.append(dict(baggage.get_all()))
        return b""

    bob.node.handle("guild_join", handler)
    return seen


def parents(bob):
    return [span.parent is not None for span in bob.recorder.spans]


async def test_a_known_peer_is_continued_without_its_baggage():
    async with open_memory_peers(2) as (alice, bob):
        seen = listen(bob)
        await ask(alice, bob)

        assert seen == [{}]
        assert bob.node.stats()["trust.known.continue"] == 1
    assert parents(bob) == [True]


async def test_a_member_is_continued_with_its_baggage():
    async with open_memory_peers(2) as (alice, bob):
        for peer in (alice, bob):
            peer.node.relations.is_member = lambda peer_id: True
        seen = listen(bob)
        await ask(alice, bob)

        assert seen == [{"user": "alice"}]
        assert bob.node.stats()["trust.member.continue"] == 1
    assert parents(bob) == [True]


async def test_of_several_relations_the_strongest_counts():
    async with open_memory_peers(2) as (alice, bob):
        relations = bob.node.relations

        def relation():
            return bob.node._trust.relation(alice.peer_id)

        assert relation() is Relation.KNOWN
        relations.is_member = lambda peer_id: peer_id == alice.peer_id
        assert relation() is Relation.MEMBER
        relations.is_counterpart = lambda peer_id: peer_id == alice.peer_id
        assert relation() is Relation.COUNTERPART
        assert bob.node.trusted(alice.peer_id)
        bob.node.access.ban(alice.peer_id, 60, "a test")
        assert relation() is Relation.BANNED
        assert not bob.node.trusted(alice.peer_id)
        assert bob.node._trust.relation(bob.peer_id) is Relation.KNOWN
        bob.node._trust._known.clear()
        assert bob.node._trust.relation(bob.peer_id) is Relation.STRANGER


async def test_a_request_that_does_not_concern_us_is_linked():
    async with open_memory_peers(2) as (alice, bob):
        asked = []

        async def handler(message):
            return b""

        bob.node.handle("guild_join", handler, continues=asked.append)
        await ask(alice, bob)

        assert [message.author for message in asked] == [alice.peer_id]
    (span,) = bob.recorder.spans
    assert span.parent is None
    assert span.links[0].attributes["zerostate.link.trust"] == "known"


async def test_a_strangers_baggage_does_not_reach_the_handler():
    async with open_memory_peers(2) as (alice, bob):
        seen = listen(bob)
        bob.node._trust._known.clear()
        await ask(alice, bob)

        assert seen == [{}]
        assert bob.node.stats()["trust.stranger.restart"] == 1
    (span,) = bob.recorder.spans
    assert span.parent is None
    assert set(span.links[0].context.trace_state) == {"ot"}


async def test_who_is_trusted_without_being_known_is_a_member():
    policy = TrustPolicy(member=Treatment.RESTART, known=Treatment.CONTINUE)
    async with open_memory_peers(2, config=P2PConfig(trust=policy)) as (alice, bob):
        listen(bob)
        bob.node._trust._known.clear()
        bob.node.relations.is_member = lambda peer_id: True
        await ask(alice, bob)

        assert bob.node._trust.relation(alice.peer_id) is Relation.MEMBER
    (span,) = bob.recorder.spans
    assert span.links[0].attributes["zerostate.link.trust"] == "member"


async def test_a_known_peer_beyond_its_budget_is_linked():
    policy = TrustPolicy(peer_burst=2, peer_rate_per_s=0)
    async with open_memory_peers(2, config=P2PConfig(trust=policy)) as (alice, bob):
        listen(bob)
        for _ in range(3):
            await ask(alice, bob)

        assert bob.node.stats() == {
            "trust.known.continue": 2,
            "trust.known.restart": 1,
            "trust.known.exhausted": 1,
        }
    assert parents(bob) == [True, True, False]


@pytest.mark.parametrize("treatment", [Treatment.RESTART, Treatment.IGNORE])
async def test_a_policy_may_continue_nobody(treatment):
    policy = TrustPolicy(member=treatment, known=treatment)
    async with open_memory_peers(2, config=P2PConfig(trust=policy)) as (alice, bob):
        listen(bob)
        await ask(alice, bob)

    (span,) = bob.recorder.spans
    assert span.parent is None
    assert len(span.links) == (treatment is Treatment.RESTART)


def carriers(bob):
    seen = []

    async def on_request(message):
        seen.append(message.carrier)
        return b""

    async def on_gossip(message):
        seen.append(message.carrier)

    bob.node.handle("guild_join", on_request)
    bob.node.on_gossip("guild_announce", on_gossip)
    return seen


async def test_baggage_is_not_sent_to_a_stranger():
    async with open_memory_peers(2) as (alice, bob):
        seen = carriers(bob)
        alice.node._trust._known.clear()
        await ask(alice, bob)

    (carrier,) = seen
    assert carrier.trace_id
    assert carrier.baggage == ""


async def test_baggage_is_not_put_into_gossip_which_strangers_forward():
    async with open_memory_peers(2) as (alice, bob):
        seen = carriers(bob)
        for peer in (alice, bob):
            await peer.node.subscribe("topic")
        token = attach(baggage.set_baggage("user", "alice"))
        await alice.node.publish("topic", "guild_announce", b"")
        detach(token)
        await trio.testing.wait_all_tasks_blocked()

    (carrier,) = seen
    assert carrier.trace_id
    assert carrier.baggage == ""
