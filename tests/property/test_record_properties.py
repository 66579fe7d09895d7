"""What holds for every DHT record, whatever its author or an attacker does."""

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zerostate.errors import RecordRefusedError
from zerostate.evidence.identity import Identity
from zerostate.p2p.records import (
    MAX_RECORD_BYTES,
    MAX_SEQUENCE,
    MAX_TTL_S,
    MAX_VALUE_BYTES,
    encode_record,
    open_record,
    parse_record_key,
    record_key,
    select_record,
    validate_record,
)
from zerostate.units import NS_PER_S

NOW_NS = 1_800_000_000 * NS_PER_S
AUTHOR, OTHER = Identity(b"a" * 32), Identity(b"o" * 32)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,47}", fullmatch=True)
VALUES = st.binary(max_size=MAX_VALUE_BYTES)
SEQUENCES = st.integers(1, MAX_SEQUENCE)
TTLS_NS = st.integers(1, round(MAX_TTL_S) * NS_PER_S)


def record(name="status", value=b"up", sequence=1, ttl_ns=NS_PER_S, by=AUTHOR):
    return encode_record(
        by, name, value, sequence=sequence, expires_unix_ns=NOW_NS + ttl_ns
    )


@given(NAMES, VALUES, SEQUENCES, TTLS_NS)
def test_what_an_author_signs_is_read_back_and_fits(name, value, sequence, ttl_ns):
    data = record(name, value, sequence, ttl_ns)

    found = validate_record(record_key(AUTHOR.peer_id, name), data, now_unix_ns=NOW_NS)

    assert len(data) <= MAX_RECORD_BYTES
    assert (found.author, found.name) == (AUTHOR.peer_id, name)
    assert (found.value, found.sequence) == (value, sequence)
    assert found.expires_unix_ns == NOW_NS + ttl_ns


@given(NAMES)
def test_a_key_is_read_back_and_fits_into_a_request(name):
    key = record_key(AUTHOR.peer_id, name)

    assert parse_record_key(key) == (AUTHOR.peer_id, name)
    assert len(key.encode()) <= 128


@given(st.one_of(st.text(), st.from_regex(r"/zerostate/peer/12D3Koo\w{45}/a+")))
def test_any_other_key_is_refused(text):
    with pytest.raises(RecordRefusedError) as refused:
        parse_record_key(text)

    assert refused.value.reason == "namespace"


@given(st.binary(max_size=MAX_RECORD_BYTES + 10))
def test_any_bytes_are_refused_with_a_reason(data):
    with pytest.raises(RecordRefusedError) as refused:
        open_record(record_key(AUTHOR.peer_id, "status"), data)

    assert refused.value.reason in {"bad_envelope", "too_large"}


@given(VALUES, st.integers(min_value=0), st.integers(1, 255))
def test_one_changed_byte_is_refused_or_changes_nothing(value, position, difference):
    data = bytearray(record(value=value))
    data[position % len(data)] ^= difference
    key = record_key(AUTHOR.peer_id, "status")

    try:
        found = open_record(key, bytes(data))
    except RecordRefusedError:
        return
    assert found == open_record(key, record(value=value))


@given(NAMES, NAMES)
def test_a_record_stands_under_its_own_name_only(name, other):
    assume(name != other)

    with pytest.raises(RecordRefusedError) as refused:
        open_record(record_key(AUTHOR.peer_id, other), record(name))

    assert refused.value.reason == "wrong_key"


@given(NAMES, VALUES)
def test_nobody_writes_under_anothers_id(name, value):
    with pytest.raises(RecordRefusedError) as refused:
        open_record(record_key(AUTHOR.peer_id, name), record(name, value, by=OTHER))

    assert refused.value.reason == "wrong_author"


@given(TTLS_NS, st.integers(0, 2 * round(MAX_TTL_S) * NS_PER_S))
def test_a_record_is_believed_until_it_expires(ttl_ns, later_ns):
    key, data = record_key(AUTHOR.peer_id, "status"), record(ttl_ns=ttl_ns)

    if later_ns < ttl_ns:
        validate_record(key, data, now_unix_ns=NOW_NS + later_ns)
    else:
        with pytest.raises(RecordRefusedError) as refused:
            validate_record(key, data, now_unix_ns=NOW_NS + later_ns)
        assert refused.value.reason == "expired"


@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda sequence, value: record(sequence=sequence, value=value),
                st.integers(1, 3),
                st.binary(max_size=2),
            ),
            st.just(record(by=OTHER, sequence=9)),
            st.just(b"garbage"),
        ),
        max_size=4,
    )
)
def test_all_orders_select_the_same_newest_valid_record(values):
    key = record_key(AUTHOR.peer_id, "status")
    chosen = set()
    for order in itertools.permutations(values):
        index = select_record(key, order, now_unix_ns=NOW_NS)
        chosen.add(None if index is None else order[index])

    valid = [v for v in values if v != b"garbage" and v != record(by=OTHER, sequence=9)]
    newest = max((open_record(key, v).sequence for v in valid), default=None)
    (winner,) = chosen
    assert (winner is None) == (not valid)
    if winner is not None:
        assert open_record(key, winner).sequence == newest
