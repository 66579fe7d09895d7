"""guild.requests: what a member asks for and signs itself."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guild_parties import CREATOR, GUILD, NOW_NS, join_request, peer
from zerostate.errors import GuildLogError
from zerostate.evidence.envelope import seal
from zerostate.guild import records_pb2 as pb
from zerostate.guild.keys import new_member_key
from zerostate.guild.membership import MAX_CAPABILITIES, MAX_CAPABILITY_CHARS, Member
from zerostate.guild.requests import (
    DOMAIN,
    JOIN_TYPE,
    LEAVE_TYPE,
    MAX_PRICE,
    MAX_REQUEST_BYTES,
    MAX_TIME_NS,
    JoinRequest,
    open_join,
    open_leave,
    sign_join,
    sign_leave,
)

ALICE = peer(2)
KEY = new_member_key().public
REQUEST = JoinRequest(
    guild_id=GUILD, creator=CREATOR.peer_id, public_key=KEY, at_unix_ns=NOW_NS
)
PRICES = st.integers(0, MAX_PRICE)
OFFERS = st.builds(
    dict,
    capabilities=st.lists(
        st.text(min_size=1, max_size=MAX_CAPABILITY_CHARS), max_size=MAX_CAPABILITIES
    ).map(tuple),
    price=st.none() | st.tuples(PRICES, PRICES),
    at_unix_ns=st.integers(0, MAX_TIME_NS),
)


@given(OFFERS)
def test_a_request_to_join_survives_the_wire(offer):
    base, per_gigafuel = offer["price"] or (None, None)
    request = replace(
        REQUEST,
        capabilities=offer["capabilities"],
        price_base=base,
        price_per_gigafuel=per_gigafuel,
        at_unix_ns=offer["at_unix_ns"],
    )

    signed = open_join(sign_join(ALICE, request))

    assert (signed.subject, signed.request) == (ALICE.peer_id, request)


def test_the_largest_request_fits():
    request = replace(
        REQUEST,
        capabilities=("𝄞" * MAX_CAPABILITY_CHARS,) * MAX_CAPABILITIES,
        price_base=MAX_PRICE,
        price_per_gigafuel=MAX_PRICE,
    )

    assert len(sign_join(ALICE, request)) <= MAX_REQUEST_BYTES


@pytest.mark.parametrize(
    ("fields", "role"),
    [
        ({"capabilities": ()}, "member"),
        ({"capabilities": ("witness",)}, "member"),
        ({"capabilities": ("witness", "wasm")}, "executor"),
        ({"observer": True}, "observer"),
    ],
)
def test_the_role_follows_from_what_is_asked_and_offered(fields, role):
    signed = open_join(sign_join(ALICE, replace(REQUEST, **fields)))

    assert signed.member.role == role


def test_the_member_is_what_it_asked_to_be():
    request = replace(
        REQUEST, capabilities=("wasm",), price_base=5, price_per_gigafuel=0
    )

    assert open_join(sign_join(ALICE, request)).member == Member(
        ALICE.peer_id, "executor", ("wasm",), KEY, 5, 0
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"guild_id": "guild-x"}, "not a guild id"),
        ({"public_key": b""}, "public_key"),
        ({"public_key": bytes(32)}, "low order"),
        ({"capabilities": ("x",) * (MAX_CAPABILITIES + 1)}, "more than 16"),
        ({"capabilities": ("",)}, "1 to 64 characters"),
        ({"capabilities": ("x" * 65,)}, "1 to 64 characters"),
        ({"price_base": 1}, "without the other"),
        ({"price_per_gigafuel": 1}, "without the other"),
        ({"price_base": -1, "price_per_gigafuel": 1}, "a price is not within"),
        ({"price_base": 0, "price_per_gigafuel": 2**63}, "a price is not within"),
        ({"at_unix_ns": -1}, "a time is not within"),
        ({"at_unix_ns": 2**63}, "a time is not within"),
        ({"observer": True, "capabilities": ("wasm",)}, "an observer offers no"),
        (
            {"observer": True, "price_base": 1, "price_per_gigafuel": 1},
            "an observer offers no",
        ),
    ],
)
def test_a_request_is_bounded(fields, problem):
    with pytest.raises(ValueError, match=problem):
        replace(REQUEST, **fields)


def sealed(message, payload_type: bytes = JOIN_TYPE, domain: str = DOMAIN) -> bytes:
    payload = message.SerializeToString()
    return seal(ALICE, domain=domain, payload_type=payload_type, payload=payload)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 40,
        bytes(MAX_REQUEST_BYTES + 1),
        sealed(pb.JoinRequest()),
        sealed(pb.JoinRequest(guild_id=GUILD, creator="nobody", public_key=KEY)),
        sealed(
            pb.JoinRequest(
                guild_id=GUILD,
                creator=CREATOR.peer_id,
                public_key=KEY,
                at_unix_ns=2**64 - 1,
            )
        ),
        sign_leave(ALICE, guild_id=GUILD, join_sha256="ab" * 32),
        sealed(pb.JoinRequest(guild_id=GUILD), domain="zerostate-message"),
    ],
    ids=["empty", "noise", "large", "bare", "creator", "time", "leave", "domain"],
)
def test_what_is_no_request_to_join_is_refused(data):
    with pytest.raises(GuildLogError) as refused:
        open_join(data)

    assert refused.value.reason == "evidence"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(MAX_REQUEST_BYTES + 1),
        sealed(pb.LeaveRequest(guild_id="x", join_sha256=bytes(32)), LEAVE_TYPE),
        sealed(pb.LeaveRequest(guild_id=GUILD, join_sha256=bytes(31)), LEAVE_TYPE),
        join_request(ALICE),
    ],
    ids=["empty", "large", "guild", "hash", "join"],
)
def test_what_is_no_request_to_leave_is_refused(data):
    with pytest.raises(GuildLogError) as refused:
        open_leave(data)

    assert refused.value.reason == "evidence"


def test_a_request_to_leave_survives_the_wire():
    leave = open_leave(sign_leave(ALICE, guild_id=GUILD, join_sha256="ab" * 32))

    assert (leave.subject, leave.guild_id, leave.join_sha256) == (
        ALICE.peer_id,
        GUILD,
        "ab" * 32,
    )


def test_a_request_has_one_hash_whatever_envelope_it_comes_in():
    data = join_request(ALICE)
    with_unknown_field = data + b"\x7a\x00"

    assert open_join(with_unknown_field).sha256 == open_join(data).sha256
