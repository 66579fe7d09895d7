"""The bounds of a DHT record, and one that stands in bytes."""

import pytest

from zerostate.errors import MessageTooLargeError, RecordRefusedError
from zerostate.evidence.envelope import seal
from zerostate.evidence.identity import Identity
from zerostate.p2p import record_pb2
from zerostate.p2p.records import (
    DOMAIN,
    MAX_CLOCK_SKEW_S,
    MAX_RECORD_BYTES,
    MAX_SEQUENCE,
    MAX_TTL_S,
    MAX_VALUE_BYTES,
    PAYLOAD_TYPE,
    encode_record,
    open_record,
    record_key,
    select_record,
    validate_record,
)
from zerostate.units import NS_PER_S

NOW_NS = 1_800_000_000 * NS_PER_S
ALICE = Identity(b"\x01" * 32)
KEY = record_key(ALICE.peer_id, "status")

VECTOR = (
    "0a4b2f7a65726f73746174652f706565722f313244334b6f6f574b3939566f56784e4537587a"
    "79427758457a573778684b37477076383572394633563366794b53554b5048352f7374617475"
    "7310071880b0eddfc8d0b8fd1822027570"
)
"""Alice's record "status" = b"up", sequence 7, until 1,800,000,060 s: the payload."""


def encode(value=b"up", *, sequence=7, ttl_s=60.0, name="status"):
    expires_unix_ns = NOW_NS + round(ttl_s * NS_PER_S)
    return encode_record(
        ALICE, name, value, sequence=sequence, expires_unix_ns=expires_unix_ns
    )


def sealed(payload, *, domain=DOMAIN, payload_type=PAYLOAD_TYPE):
    return seal(ALICE, domain=domain, payload_type=payload_type, payload=payload)


def reason(data, key=KEY, now_ns=NOW_NS):
    with pytest.raises(RecordRefusedError) as refused:
        validate_record(key, data, now_unix_ns=now_ns)
    return refused.value.reason


def test_the_signed_bytes_are_these():
    assert encode() == sealed(bytes.fromhex(VECTOR))


@pytest.mark.parametrize("name", ["", "A", "a/b", "-a", "a" * 49, "ä", "a b"])
def test_a_name_that_cannot_be_used_is_said(name):
    with pytest.raises(ValueError, match="expected 1 to 48 characters"):
        encode(name=name)


def test_a_value_that_is_too_large_is_not_signed():
    assert len(encode(b"x" * MAX_VALUE_BYTES)) <= MAX_RECORD_BYTES
    with pytest.raises(MessageTooLargeError, match="the limit is 4096"):
        encode(b"x" * (MAX_VALUE_BYTES + 1))


@pytest.mark.parametrize("sequence", [0, -1, MAX_SEQUENCE + 1])
def test_a_sequence_that_cannot_be_replaced_is_not_signed(sequence):
    with pytest.raises(ValueError, match="sequence"):
        encode(sequence=sequence)


def test_a_signature_for_something_else_is_none_for_a_record():
    payload = bytes.fromhex(VECTOR)

    assert reason(sealed(payload, domain="zerostate-message")) == "bad_envelope"
    assert reason(sealed(payload, payload_type=b"/other/1")) == "bad_envelope"
    assert reason(sealed(b"\xff\xff")) == "malformed"
    assert reason(sealed(b"")) == "wrong_key"


def test_a_signed_payload_out_of_bounds_is_malformed():
    assert reason(sealed(open_payload(sequence=0))) == "malformed"
    assert reason(sealed(open_payload(value=b"x" * 4097))) == "malformed"
    assert reason(sealed(open_payload(value=b"x" * 5000))) == "too_large"


def open_payload(sequence=1, value=b""):
    return record_pb2.Record(
        key=KEY,
        sequence=sequence,
        expires_unix_ns=NOW_NS + NS_PER_S,
        value=value,
    ).SerializeToString()


def test_no_record_is_in_force_for_longer_than_a_day():
    assert validate_record(
        KEY, encode(ttl_s=MAX_TTL_S + MAX_CLOCK_SKEW_S), now_unix_ns=NOW_NS
    )
    assert reason(encode(ttl_s=MAX_TTL_S + MAX_CLOCK_SKEW_S + 1)) == "too_long"


@pytest.mark.parametrize(
    "key",
    [
        "plain",
        "/pk/status",
        f"/other/peer/{ALICE.peer_id}/status",
        f"/zerostate/guild/{ALICE.peer_id}/status",
        "/zerostate/peer/abc/status",
        f"/zerostate/peer/{ALICE.peer_id}/",
        f"/zerostate/peer/{ALICE.peer_id}/status\n",
    ],
)
def test_keys_of_others_are_refused(key):
    assert reason(encode(), key=key) == "namespace"


def test_of_equal_bytes_the_last_is_selected_and_an_expired_one_never():
    old, new = encode(sequence=1), encode(sequence=2)
    expired = encode(sequence=3, ttl_s=0)

    assert select_record(KEY, [new, new, old, expired], now_unix_ns=NOW_NS) == 1
    assert select_record(KEY, [expired], now_unix_ns=NOW_NS) is None
    assert open_record(KEY, expired).sequence == 3
