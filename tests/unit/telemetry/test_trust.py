"""telemetry.trust: who signed it decides, whatever it says."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, trace

from zerostate.errors import ConfigError
from zerostate.telemetry.propagation import TraceCarrier
from zerostate.telemetry.sampling import ConsistentProbability, ParentBased
from zerostate.telemetry.sampling.adapters import ToSdk
from zerostate.telemetry.trust import Relation, Treatment, TrustGate, TrustPolicy
from zerostate.testing.clocks import FakeClock

TRACE = "0af7651916cd43dd84ffffffffffffff"
SPAN = "b7ad6b7169203331"
CARRIER = TraceCarrier(
    f"00-{TRACE}-{SPAN}-01", "ot=th:8;rv:ffffffffffffff;x:1,a=1", "user=eve"
)

OUTSIDERS = (Relation.STRANGER, Relation.BANNED)


def gate(**changes):
    clock = FakeClock()
    return TrustGate(TrustPolicy(**changes), clock), clock


def admit(trust, relation, author="eve", carrier=CARRIER, **more):
    return trust.admit(carrier, author=author, relation=relation, **more)


@pytest.mark.parametrize("relation", [Relation.COUNTERPART, Relation.KNOWN])
def test_who_is_trusted_without_being_a_member_is_continued_without_baggage(relation):
    trust, _ = gate()
    admission = admit(trust, relation)

    span = trace.get_current_span(admission.context).get_span_context()
    assert admission.treatment is Treatment.CONTINUE
    assert f"{span.trace_id:032x}" == TRACE
    assert set(span.trace_state) == {"ot"}
    assert baggage.get_all(admission.context) == {}


@pytest.mark.parametrize("relation", set(Relation) - set(OUTSIDERS))
def test_who_has_full_context_is_continued_with_everything(relation):
    trust, _ = gate(full_context=set(Relation) - set(OUTSIDERS))
    admission = admit(trust, relation)

    span = trace.get_current_span(admission.context).get_span_context()
    assert admission.treatment is Treatment.CONTINUE
    assert f"{span.trace_id:032x}" == TRACE
    assert span.trace_state.to_header() == CARRIER.tracestate
    assert baggage.get_baggage("user", admission.context) == "eve"
    assert admission.links == ()
    assert admission.attributes == {}


def test_a_stranger_gets_a_link_and_nothing_else():
    trust, _ = gate()
    admission = admit(trust, Relation.STRANGER)

    (link,) = admission.links
    assert admission.treatment is Treatment.RESTART
    assert admission.context == {}
    assert f"{link.context.trace_id:032x}" == TRACE
    assert not link.context.trace_flags.sampled
    assert "a" not in link.context.trace_state
    assert dict(link.attributes) == dict(admission.attributes)
    assert link.attributes == {
        "zerostate.link.author": "eve",
        "zerostate.link.trust": "stranger",
    }


def test_of_a_banned_peer_nothing_is_kept():
    trust, _ = gate()
    admission = admit(trust, Relation.BANNED)

    assert admission.treatment is Treatment.IGNORE
    assert admission.context == {}
    assert admission.links == ()


@pytest.mark.parametrize("relation", [Relation.MEMBER, Relation.KNOWN])
def test_what_does_not_concern_us_is_linked_even_from_the_trusted(relation):
    trust, _ = gate()
    admission = admit(trust, relation, may_continue=False)

    assert admission.treatment is Treatment.RESTART
    assert admission.context == {}
    assert admission.links[0].attributes["zerostate.link.trust"] == relation
    assert admit(trust, Relation.BANNED, may_continue=False).links == ()


def test_a_message_without_a_span_has_nothing_to_link():
    trust, _ = gate()

    for relation in Relation:
        admission = admit(trust, relation, carrier=TraceCarrier(baggage="user=eve"))
        assert admission.links == ()
        span = trace.get_current_span(admission.context).get_span_context()
        assert not span.is_valid


def test_a_known_peer_beyond_its_budget_is_linked_until_it_refills():
    trust, clock = gate(peer_rate_per_s=2, peer_burst=3)

    def treatments(count):
        return [admit(trust, Relation.KNOWN).treatment.value for _ in range(count)]

    assert treatments(5) == ["continue"] * 3 + ["restart"] * 2
    assert admit(trust, Relation.KNOWN, "bob").treatment is Treatment.CONTINUE
    clock.advance(1)
    assert treatments(3) == ["continue"] * 2 + ["restart"]
    assert trust.stats() == {
        "known.continue": 6,
        "known.restart": 3,
        "known.exhausted": 3,
    }


def test_members_and_counterparts_have_no_budget():
    trust, _ = gate(peer_burst=0, peer_rate_per_s=0)

    for relation in (Relation.MEMBER, Relation.COUNTERPART):
        assert admit(trust, relation).treatment is Treatment.CONTINUE


def test_a_stranger_beyond_its_budget_is_ignored():
    trust, clock = gate(peer_rate_per_s=1, peer_burst=2)

    found = [admit(trust, Relation.STRANGER).treatment.value for _ in range(3)]
    assert found == ["restart", "restart", "ignore"]
    clock.advance(1)
    assert admit(trust, Relation.STRANGER).treatment is Treatment.RESTART


def test_many_identities_share_one_budget():
    trust, clock = gate(stranger_rate_per_s=10, stranger_burst=20)
    links = 0
    for number in range(10_000):
        if number % 1000 == 0:
            clock.advance(1)
        links += len(admit(trust, Relation.STRANGER, f"id-{number}").links)

    assert links <= 20 + 10 * 10
    assert trust.stats()["stranger.exhausted"] == 10_000 - links


def test_an_exhausted_stranger_does_not_use_up_what_is_for_all():
    trust, _ = gate(peer_burst=1, peer_rate_per_s=0, stranger_burst=3)
    for _ in range(100):
        admit(trust, Relation.STRANGER, "eve")

    assert admit(trust, Relation.STRANGER, "bob").links
    assert admit(trust, Relation.STRANGER, "carol").links
    assert not admit(trust, Relation.STRANGER, "dave").links


def test_strangers_cannot_use_up_the_budget_of_the_known():
    trust, _ = gate(stranger_burst=5, stranger_rate_per_s=0, max_buckets=1)
    for number in range(100):
        admit(trust, Relation.STRANGER, f"id-{number}")

    assert admit(trust, Relation.KNOWN).treatment is Treatment.CONTINUE


def test_memory_is_bounded_whoever_comes():
    trust, _ = gate(max_buckets=16)
    for number in range(1000):
        admit(trust, Relation.STRANGER, f"s-{number}")
        admit(trust, Relation.KNOWN, f"k-{number}")

    assert len(trust._strangers) == 16
    assert len(trust._peers) == 16


def test_who_forwards_is_charged_too():
    trust, _ = gate(peer_burst=2, peer_rate_per_s=0)

    def links(author):
        return admit(trust, Relation.STRANGER, author, forwarder="mallory").links

    assert links("a")
    assert links("b")
    assert not links("c")
    assert admit(trust, Relation.STRANGER, "c", forwarder="c").links


def test_a_stranger_cannot_force_sampling():
    """At a rate of 1 in 4, all its ground ids and flags buy what one bucket allows."""
    trust, _ = gate(stranger_randomness_per_s=1)
    sampler = ParentBased(ConsistentProbability(0.25))
    provider_sampler = ToSdk(sampler)
    taken_over = 0
    for _ in range(1000):
        admission = admit(trust, Relation.STRANGER)
        result = provider_sampler.should_sample(
            admission.context, 1, "a", links=admission.links
        )
        taken_over += result.decision is result.decision.RECORD_AND_SAMPLE

    assert taken_over == 10


def test_a_trusted_peers_restarted_trace_is_kept_with_its_own():
    trust, _ = gate()
    sampler = ToSdk(ParentBased(ConsistentProbability(0.25)))
    for trace_id, kept in ((TRACE, True), (TRACE[:18] + "0" * 14, False)):
        carrier = TraceCarrier(f"00-{trace_id}-{SPAN}-03")
        admission = admit(trust, Relation.MEMBER, carrier=carrier, may_continue=False)
        result = sampler.should_sample(
            admission.context, 1 if kept else (1 << 128) - 1, "a", links=admission.links
        )
        assert (result.decision is result.decision.RECORD_AND_SAMPLE) == kept


def test_baggage_and_tracestate_are_exchanged_with_whom_the_policy_names():
    trust, _ = gate(full_context=(Relation.MEMBER,))

    assert trust.visible(CARRIER, Relation.MEMBER) == CARRIER
    assert trust.visible(CARRIER, Relation.KNOWN) == TraceCarrier(
        CARRIER.traceparent, "ot=th:8;rv:ffffffffffffff"
    )
    context = admit(trust, Relation.KNOWN).context
    assert baggage.get_all(context) == {}
    assert TraceCarrier.inject(context).trace_id == TRACE


def test_a_policy_goes_through_json():
    policy = TrustPolicy(known=Treatment.RESTART, full_context=(Relation.MEMBER,))
    text = json.dumps(policy.to_mapping())

    assert TrustPolicy.from_mapping(json.loads(text)) == policy
    assert TrustPolicy.from_mapping({}) == TrustPolicy()
    assert TrustPolicy.from_mapping({"peer_burst": 5}).peer_burst == 5.0


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"friend": "continue"}, "trust.friend: unknown"),
        ({"member": "welcome"}, "trust.member"),
        ({"member": None}, "trust.member"),
        ({"stranger": "continue"}, "trust.stranger: continue"),
        ({"stranger": "budget"}, "trust.stranger"),
        ({"banned": "continue"}, "trust.banned"),
        ({"peer_burst": "many"}, "trust.peer_burst"),
        ({"peer_burst": True}, "trust.peer_burst"),
        ({"peer_rate_per_s": -1}, "trust.peer_rate_per_s"),
        ({"peer_rate_per_s": float("nan")}, "trust.peer_rate_per_s"),
        ({"max_buckets": 0}, "trust.max_buckets"),
        ({"max_buckets": float("inf")}, "trust.max_buckets"),
        ({"full_context": "member"}, "trust.full_context"),
        ({"full_context": ["friend"]}, "trust.full_context"),
        ({"full_context": ["stranger"]}, "trust.full_context: stranger"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(mapping, problem):
    with pytest.raises(ConfigError, match=problem):
        TrustPolicy.from_mapping(mapping)


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        TrustPolicy.from_mapping({"friend": 1, "member": "x"})

    assert len(caught.value.problems) == 2


def test_every_decision_is_counted_from_any_thread():
    trust, _ = gate()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: admit(trust, Relation.MEMBER), range(2000)))

    assert trust.stats() == {"member.continue": 2000}


def test_plain_words_are_treatments_and_others_are_refused():
    assert TrustPolicy(known="continue").known is Treatment.CONTINUE
    with pytest.raises(ConfigError, match=r"trust.known: 'welcome' is none of"):
        TrustPolicy(known="welcome")
