"""What a receiver refuses, and why."""

from dataclasses import dataclass, replace

import pytest

from zerostate.errors import MessageRefusedError, UnknownMessageTypeError
from zerostate.evidence.envelope import seal
from zerostate.evidence.identity import Identity
from zerostate.ids import MessageId, PeerId
from zerostate.p2p import wire_pb2 as pb
from zerostate.p2p.admission import SeenMessages
from zerostate.p2p.message import (
    DOMAIN,
    MAX_CLOCK_SKEW_S,
    PAYLOAD_TYPE,
    Message,
    decode_message,
    encode_message,
)
from zerostate.telemetry import TraceCarrier
from zerostate.units import NS_PER_S

NOW = 1_800_000_000 * NS_PER_S
ALICE = Identity(b"a" * 32)
BOB = Identity(b"b" * 32)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def encoded(**changes) -> bytes:
    fields = {
        "message_type": "guild_join",
        "body": b"body",
        "sent_unix_ns": NOW,
        "expires_unix_ns": NOW + 10 * NS_PER_S,
        "carrier": TraceCarrier(TRACEPARENT),
        "to": BOB.peer_id,
    }
    return encode_message(ALICE, **(fields | changes))


def signed(**fields) -> bytes:
    """A message with whatever fields, correctly signed by Alice."""
    whole = {
        "id": b"i" * 16,
        "type": "guild_join",
        "from": ALICE.peer_id,
        "to": BOB.peer_id,
        "sent_unix_ns": NOW,
        "expires_unix_ns": NOW + NS_PER_S,
    }
    payload = pb.Message(**(whole | fields)).SerializeToString()
    return seal(ALICE, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)


def decoded(data: bytes, *, now: int = NOW, remote: PeerId = ALICE.peer_id) -> Message:
    return decode_message(data, now_unix_ns=now, me=BOB.peer_id, remote=remote)


def test_a_message_arrives_as_it_was_sent():
    message = decoded(encoded(message_id=MessageId(b"m" * 16)))

    assert message == Message(
        id=MessageId(b"m" * 16),
        type="guild_join",
        author=ALICE.peer_id,
        to=BOB.peer_id,
        topic=None,
        sent_unix_ns=NOW,
        expires_unix_ns=NOW + 10 * NS_PER_S,
        carrier=TraceCarrier(TRACEPARENT),
        body=b"body",
        sequence=0,
    )


def test_a_malformed_trace_header_is_dropped_and_the_message_survives():
    data = signed(headers={"traceparent": "garbage", "baggage": "a=1"})

    assert decoded(data).carrier == TraceCarrier(baggage="a=1")


@dataclass
class Refusal:
    reason: str
    data: bytes
    now: int = NOW
    remote: PeerId = ALICE.peer_id


def last_bit_flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


SKEW_NS = MAX_CLOCK_SKEW_S * NS_PER_S

REFUSALS = [
    Refusal("bad_envelope", b"not an envelope"),
    Refusal("bad_envelope", last_bit_flipped(encoded())),
    Refusal("malformed", signed(id=b"short")),
    Refusal("malformed", signed(in_reply_to=b"short")),
    Refusal("malformed", signed(cancels=b"short")),
    Refusal("malformed", signed(topic="t" * 129)),
    Refusal("malformed", signed(error_code="c" * 65)),
    Refusal("author_mismatch", signed(**{"from": BOB.peer_id})),
    Refusal("unknown_type", signed(type="coffee_request")),
    Refusal("peer_mismatch", encoded(), remote=BOB.peer_id),
    Refusal("not_addressed", encoded(to=ALICE.peer_id)),
    Refusal("not_addressed", encoded(to=None)),
    Refusal("expired", encoded(expires_unix_ns=NOW)),
    Refusal("clock_skew", encoded(), now=NOW + SKEW_NS + 1),
    Refusal("clock_skew", encoded(), now=NOW - SKEW_NS - 1),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.reason)
def test_what_must_not_be_acted_on_is_refused_with_its_reason(case):
    with pytest.raises(MessageRefusedError) as caught:
        decoded(case.data, now=case.now, remote=case.remote)

    assert caught.value.reason == case.reason


def test_a_clock_that_is_off_by_the_allowed_difference_is_accepted():
    late = encoded(expires_unix_ns=NOW + 2 * SKEW_NS)

    assert decoded(late, now=NOW + SKEW_NS).body == b"body"
    assert decoded(late, now=NOW - SKEW_NS).body == b"body"


def test_gossip_for_everyone_may_also_come_on_a_stream():
    assert decoded(encoded(to=None, topic="t")).topic == "t"


def test_gossip_on_another_topic_than_the_signed_one_is_refused():
    data = encoded(to=None, topic="t")

    with pytest.raises(MessageRefusedError, match="topic_mismatch"):
        decode_message(data, now_unix_ns=NOW, topic="u")


def test_a_reply_over_gossip_is_refused():
    data = encoded(to=None, topic="t", in_reply_to=MessageId(b"m" * 16))

    with pytest.raises(MessageRefusedError, match="malformed"):
        decode_message(data, now_unix_ns=NOW, topic="t")


def test_an_unregistered_type_is_not_even_signed():
    with pytest.raises(UnknownMessageTypeError, match="coffee_request"):
        encoded(message_type="coffee_request")


def numbered(number: int, *, sent: int = NOW) -> Message:
    message = decoded(encoded(expires_unix_ns=NOW + 2 * SKEW_NS))
    return replace(message, id=MessageId(number.to_bytes(16, "big")), sent_unix_ns=sent)


def test_a_message_is_admitted_once():
    seen = SeenMessages()
    seen.add(numbered(1), now_unix_ns=NOW)

    with pytest.raises(MessageRefusedError, match="replayed"):
        seen.add(numbered(1), now_unix_ns=NOW + SKEW_NS)

    assert numbered(1) in seen
    assert numbered(2) not in seen


def test_an_id_is_forgotten_only_when_its_message_is_too_old_to_be_accepted():
    seen = SeenMessages()
    from_the_future = numbered(1, sent=NOW + SKEW_NS)
    seen.add(from_the_future, now_unix_ns=NOW)

    seen.add(numbered(2), now_unix_ns=NOW + 2 * SKEW_NS)
    assert from_the_future in seen

    seen.add(numbered(3), now_unix_ns=NOW + 2 * SKEW_NS + 1)
    assert from_the_future not in seen


def test_a_full_memory_refuses_instead_of_forgetting():
    seen = SeenMessages(limit=2)
    seen.add(numbered(1), now_unix_ns=NOW)
    seen.add(numbered(2), now_unix_ns=NOW)

    with pytest.raises(MessageRefusedError, match="seen_full"):
        seen.add(numbered(3), now_unix_ns=NOW)

    assert numbered(1) in seen
    assert len(seen) == 2


def test_one_author_cannot_fill_the_memory():
    seen = SeenMessages(author_limit=1)
    seen.add(numbered(1), now_unix_ns=NOW)
    with pytest.raises(MessageRefusedError, match="seen_full"):
        seen.add(numbered(2), now_unix_ns=NOW)

    seen.add(replace(numbered(2), author=BOB.peer_id), now_unix_ns=NOW)
