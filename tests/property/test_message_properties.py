"""Whatever is sent comes back as it was; whatever else comes in is refused."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import EnvelopeError, MessageRefusedError
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity
from zerostate.ids import MessageId
from zerostate.p2p import wire_pb2 as pb
from zerostate.p2p.message import (
    DOMAIN,
    PAYLOAD_TYPE,
    TRACE_HEADERS,
    decode_message,
    encode_message,
    open_message,
)
from zerostate.p2p.types import REGISTERED_TYPES
from zerostate.telemetry import TraceCarrier
from zerostate.units import NS_PER_S

NOW = 1_800_000_000 * NS_PER_S
ALICE = Identity(b"a" * 32)
BOB = Identity(b"b" * 32)


def hexes(digits: int):
    alphabet = "0123456789abcdef"
    return st.text(alphabet, min_size=digits, max_size=digits).filter(
        lambda text: text.strip("0")
    )


traceparents = st.builds(
    "00-{}-{}-{}".format, hexes(32), hexes(16), st.sampled_from(["00", "01", "03"])
)
carriers = st.builds(
    TraceCarrier,
    traceparents,
    st.sampled_from(["", "zs=1", "zs=1,other@vendor=x"]),
    st.sampled_from(["", "guild=a", "a=1,b=2"]),
)
ids = st.binary(min_size=16, max_size=16).map(MessageId)


NEARLY_TRACEPARENTS = [
    "".join(parts)
    for parts in product(
        ["", " "],
        ["00-", "01-", "0-"],
        ["a" * 32, "A" * 32, "0" * 32, "0" * 31 + "1"],
        ["-" + "b" * 16, "-" + "B" * 16, "-" + "0" * 16, "-b" + "0" * 15],
        ["-00", "-01", "-02", "-03", "-04", "-0f", "-10", "-0"],
        ["", " ", "\n", "-more"],
    )
]
"""Each way to be one, or not quite."""


@given(
    st.fixed_dictionaries(
        {
            "message_type": st.sampled_from(sorted(REGISTERED_TYPES)),
            "body": st.binary(max_size=2000),
            "carrier": carriers,
            "message_id": ids,
            "sequence": st.integers(0, 2**64 - 1),
            "in_reply_to": st.none() | ids,
            "error_code": st.sampled_from(["", "guild_full"]),
            "error_message": st.text(max_size=100),
            "keep_reply": st.booleans(),
            "cancels": st.none() | ids,
        }
    )
)
def test_a_message_round_trips(fields):
    data = encode_message(
        ALICE,
        sent_unix_ns=NOW,
        expires_unix_ns=NOW + 1,
        to=BOB.peer_id,
        **fields,
    )

    message = decode_message(
        data, now_unix_ns=NOW, me=BOB.peer_id, remote=ALICE.peer_id
    )

    got = {name: getattr(message, name) for name in fields if hasattr(message, name)}
    wanted = dict(fields)
    assert message.type == wanted.pop("message_type")
    assert message.id == wanted.pop("message_id")
    assert got == wanted


def signed(**fields):
    """A message with whatever fields, correctly signed by Alice."""
    payload = pb.Message(**fields).SerializeToString()
    return seal(ALICE, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("traceparent", {}),
        ("Traceparent", {}),
        ("traceparent", {"baggage": "a=1"}),
        ("traceparent", {"tracestate": "zs=1"}),
    ],
)
def test_trace_headers_are_read_as_everywhere_else(name, others):
    for traceparent in NEARLY_TRACEPARENTS:
        headers = {name: traceparent, **others}
        fields = {"id": b"m" * 16, "type": "task_request", "from": ALICE.peer_id}
        message = open_message(signed(headers=headers, **fields))
        assert message.carrier == TraceCarrier.from_headers(headers)


short_texts = st.text(max_size=40)
numbers = st.integers(0, 2**64 - 1)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.binary(max_size=20) | ids,
            "type": short_texts | st.sampled_from(sorted(REGISTERED_TYPES)),
            "from": short_texts | st.just(ALICE.peer_id),
            "to": short_texts,
            "topic": short_texts,
            "sent_unix_ns": numbers | st.just(NOW),
            "expires_unix_ns": numbers,
            "headers": st.dictionaries(short_texts, short_texts, max_size=4),
            "body": st.binary(max_size=20),
            "in_reply_to": st.binary(max_size=20),
            "cancels": st.binary(max_size=20),
            "sequence": numbers,
            "error_code": st.text(max_size=80),
            "error_message": short_texts,
            "keep_reply": st.booleans(),
        },
    )
)
def test_whatever_is_signed_is_refused_or_has_the_shape_of_a_message(fields):
    try:
        message = decode_message(signed(**fields), now_unix_ns=NOW)
    except MessageRefusedError:
        return
    assert message.type in REGISTERED_TYPES
    assert message.author == ALICE.peer_id
    assert len(message.id) == 16
    assert {
        len(other) for other in (message.in_reply_to, message.cancels) if other
    } <= {16}


@given(
    st.dictionaries(
        st.sampled_from(["traceparent", "tracestate", "baggage", "Traceparent", "x"]),
        st.text(max_size=60) | traceparents,
    )
)
def test_a_message_survives_any_headers_and_what_was_dropped_is_counted(headers):
    message = decode_message(
        signed(
            **{
                "id": b"i" * 16,
                "type": "guild_join",
                "from": ALICE.peer_id,
                "sent_unix_ns": NOW,
                "expires_unix_ns": NOW + 1,
                "headers": headers,
            }
        ),
        now_unix_ns=NOW,
    )

    names = {name.lower() for name, value in headers.items() if value}
    kept = message.carrier.headers()
    assert message.dropped_headers <= len(names & TRACE_HEADERS)
    if message.dropped_headers == 0:
        assert "traceparent" in kept or "traceparent" not in names
        assert "baggage" in kept or "baggage" not in names


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data):
    with pytest.raises(MessageRefusedError):
        decode_message(data, now_unix_ns=NOW)


@given(st.binary(max_size=200), st.data())
def test_a_changed_envelope_is_refused_or_means_the_same(payload, data):
    sealed = seal(ALICE, domain="d", payload_type=b"t", payload=payload)
    position = data.draw(st.integers(0, len(sealed) - 1))
    flipped = bytearray(sealed)
    flipped[position] ^= data.draw(st.integers(1, 255))

    try:
        opened = unseal(bytes(flipped), domain="d", payload_type=b"t")
    except EnvelopeError:
        return
    assert (opened.author, opened.payload) == (ALICE.peer_id, payload)


@given(carriers)
def test_a_carrier_round_trips_through_a_context(carrier):
    assert TraceCarrier.from_headers(carrier.headers()) == carrier
    again = TraceCarrier.inject(carrier.extract())
    assert again.traceparent[:52] == carrier.traceparent[:52]
    assert again.tracestate == carrier.tracestate
    assert again.baggage == carrier.baggage
