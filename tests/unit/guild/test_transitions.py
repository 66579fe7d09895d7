"""guild.transitions: what the creator signs, byte for byte."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guild_parties import (
    CREATOR,
    GUILD,
    NOW_NS,
    OTHER_GUILD,
    Founder,
    founding,
    join_request,
    peer,
)
from zerostate.errors import GuildError, GuildLogError
from zerostate.evidence.envelope import seal
from zerostate.guild import records_pb2 as pb
from zerostate.guild.membership import Member
from zerostate.guild.requests import DOMAIN, MAX_TIME_NS, sign_leave
from zerostate.guild.transitions import (
    MAX_MEMBERS,
    MAX_TRANSITION_BYTES,
    TRANSITION_TYPE,
    Transition,
    found,
    open_transition,
    sign_transition,
)

ALICE = peer(2)
JOIN = join_request(ALICE, capabilities=("wasm",))
LEAVE = sign_leave(ALICE, guild_id=GUILD, join_sha256="cd" * 32)


def later(kind: str, **fields) -> Transition:
    given = {
        "guild_id": GUILD,
        "version": 2,
        "kind": kind,
        "subject": ALICE.peer_id,
        "member": None,
        "epoch": 2,
        "previous_sha256": "ab" * 32,
        "at_unix_ns": NOW_NS,
    }
    return Transition(**(given | fields))


def opened(transition: Transition):
    return open_transition(sign_transition(CREATOR, transition))


def test_the_first_transition_survives_the_wire():
    signed = opened(founding())

    assert signed.transition == founding()
    assert signed.transition.member == Member(CREATOR.peer_id, "creator", ())
    assert signed.author == CREATOR.peer_id


@given(
    st.sampled_from(["leave", "evict", "dissolve"]),
    st.integers(2, 2**63 - 1),
    st.integers(1, 2**63 - 1),
    st.integers(0, MAX_TIME_NS),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
)
def test_a_later_transition_survives_the_wire(kind, version, epoch, at_unix_ns, sha256):
    transition = later(
        kind,
        version=version,
        epoch=epoch,
        at_unix_ns=at_unix_ns,
        previous_sha256=sha256,
        evidence=LEAVE if kind == "leave" else b"",
    )

    assert opened(transition).transition == transition


def test_the_member_of_a_join_is_what_the_evidence_says():
    invented = Member(ALICE.peer_id, "creator", ("everything",))

    signed = opened(later("join", evidence=JOIN, member=invented))

    assert signed.transition.member == signed.request.member
    assert signed.transition.member.role == "executor"


def test_the_hash_is_of_what_was_signed_not_of_the_envelope():
    data = sign_transition(CREATOR, founding())

    assert open_transition(data + b"\x7a\x00").sha256 == open_transition(data).sha256


@pytest.mark.parametrize("max_members", [0, -1, MAX_MEMBERS + 1])
def test_a_guild_is_for_a_bounded_number_of_members(max_members):
    with pytest.raises(ValueError, match="members; 1 to"):
        founding(max_members=max_members)


def test_a_guild_ends_after_it_began():
    with pytest.raises(ValueError, match="over before"):
        found(GUILD, CREATOR.peer_id, max_members=1, expires_unix_ns=5, at_unix_ns=5)


def payload(**fields) -> bytes:
    message = pb.Transition(
        guild_id=GUILD,
        version=2,
        kind="evict",
        subject=ALICE.peer_id,
        epoch=2,
        previous_sha256=bytes(32),
        at_unix_ns=NOW_NS,
    )
    for name, value in fields.items():
        setattr(message, name, value)
    return message.SerializeToString()


def signed_payload(data: bytes, *, domain: str = DOMAIN) -> bytes:
    return seal(CREATOR, domain=domain, payload_type=TRANSITION_TYPE, payload=data)


def test_the_payload_below_is_a_good_one():
    assert open_transition(signed_payload(payload())).transition.kind == "evict"


@pytest.mark.parametrize(
    "fields",
    [
        {"guild_id": "guild-1"},
        {"kind": "king"},
        {"kind": ""},
        {"subject": "alice"},
        {"version": 0},
        {"version": 1},
        {"version": 2**64 - 1},
        {"epoch": 0},
        {"epoch": 2**64 - 1},
        {"previous_sha256": b""},
        {"previous_sha256": bytes(31)},
        {"at_unix_ns": 2**64 - 1},
        {"max_members": 3},
        {"expires_unix_ns": 3},
        {"kind": "create"},
        {"kind": "create", "version": 1, "epoch": 1, "previous_sha256": b""},
    ],
    ids=str,
)
def test_what_no_transition_can_say_is_malformed(fields):
    with pytest.raises(GuildLogError) as refused:
        open_transition(signed_payload(payload(**fields)))

    assert refused.value.reason == "malformed"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "signature"),
        (b"\xff" * 60, "signature"),
        (bytes(MAX_TRANSITION_BYTES + 1), "malformed"),
        (signed_payload(b"\xff\xff"), "malformed"),
        (signed_payload(payload(), domain="zerostate-message"), "signature"),
        (JOIN, "signature"),
    ],
    ids=["empty", "noise", "large", "garbage", "domain", "request"],
)
def test_what_is_no_signed_transition_is_refused(data, reason):
    with pytest.raises(GuildLogError) as refused:
        open_transition(data)

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "transition",
    [
        later("join"),
        later("join", evidence=LEAVE),
        later("join", evidence=JOIN, subject=peer(3).peer_id),
        later("join", evidence=join_request(ALICE, guild_id=OTHER_GUILD)),
        later("join", evidence=JOIN[:-1] + b"x"),
        later("leave"),
        later("leave", evidence=JOIN),
        later("leave", evidence=LEAVE, subject=peer(3).peer_id),
        later(
            "leave",
            evidence=sign_leave(ALICE, guild_id=OTHER_GUILD, join_sha256="cd" * 32),
        ),
        later("evict", evidence=LEAVE),
        later("dissolve", evidence=LEAVE),
        replace(founding(), evidence=JOIN),
    ],
    ids=[
        "nothing",
        "leave",
        "another",
        "guild",
        "forged",
        "bare",
        "join",
        "other",
        "elsewhere",
        "evict",
        "dissolve",
        "create",
    ],
)
def test_evidence_must_be_the_subjects_own_for_this_guild(transition):
    with pytest.raises(GuildLogError) as refused:
        opened(transition)

    assert refused.value.reason == "evidence"


def test_no_changed_byte_gives_another_transition():
    founder = Founder()
    data = founder.signed("join", evidence=JOIN)
    right = open_transition(data)

    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        try:
            read = open_transition(bytes(changed))
        except GuildError:
            continue
        assert read.sha256 == right.sha256
        assert read.transition == right.transition


@given(st.binary(max_size=200))
def test_noise_is_refused_with_a_reason(noise):
    with pytest.raises(GuildLogError, match="signature"):
        open_transition(noise)
