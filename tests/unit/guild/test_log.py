"""guild.log: what may follow what."""

from dataclasses import replace

import pytest

from guild_parties import (
    CREATOR,
    GUILD,
    NOW_NS,
    OTHER_GUILD,
    TTL_NS,
    Founder,
    founding,
    join_request,
    peer,
)
from zerostate.errors import (
    GuildError,
    GuildExpiredError,
    GuildFullError,
    GuildLogError,
)
from zerostate.guild.keys import new_member_key
from zerostate.guild.log import MAX_JOINS, GuildLog
from zerostate.guild.requests import MAX_REQUEST_AGE_S, open_join, sign_leave
from zerostate.guild.transitions import found, open_transition, sign_transition
from zerostate.units import NS_PER_S

ALICE, BOB, CAROL = peer(2), peer(3), peer(4)
WINDOW_NS = MAX_REQUEST_AGE_S * NS_PER_S


@pytest.fixture
def founder() -> Founder:
    return Founder()


def refusal(log: GuildLog, data: bytes) -> str:
    """Return the reason for which `data` is refused; the log must not change."""
    before = (log.version, log.epoch, log.head_sha256, log.membership.members)
    with pytest.raises(GuildLogError) as refused:
        log.append(data)
    assert (log.version, log.epoch, log.head_sha256, log.membership.members) == before
    return refused.value.reason


def names(log: GuildLog) -> list[tuple[str, str]]:
    return [(m.peer_id, m.role) for m in log.membership.members]


def test_a_guild_begins_with_its_creator(founder):
    log = founder.log

    assert (log.version, log.epoch, log.dissolved) == (1, 1, False)
    assert (log.max_members, log.expires_unix_ns) == (10, NOW_NS + TTL_NS)
    assert log.membership.creator.peer_id == CREATOR.peer_id
    assert log.membership.guild_id == GUILD


def test_a_guilds_whole_life(founder):
    founder.join(ALICE, capabilities=("wasm",), price_base=3, price_per_gigafuel=4)
    founder.join(BOB, observer=True)
    founder.join(CAROL)
    assert names(founder.log) == [
        (CREATOR.peer_id, "creator"),
        (ALICE.peer_id, "executor"),
        (BOB.peer_id, "observer"),
        (CAROL.peer_id, "member"),
    ]
    alice = founder.log.membership.find(ALICE.peer_id)
    assert (alice.price_base, alice.price_per_gigafuel) == (3, 4)

    founder.leave(BOB)
    founder.evict(ALICE)
    ended_with = founder.dissolve()

    assert [m.peer_id for m in ended_with.members] == [CREATOR.peer_id, CAROL.peer_id]
    assert (founder.log.version, founder.log.epoch) == (7, 6)
    assert founder.log.dissolved


def test_whoever_reads_the_log_comes_to_the_same_membership(founder):
    founder.join(ALICE)
    founder.join(BOB, observer=True)
    founder.leave(ALICE)

    read = GuildLog.read(GUILD, CREATOR.peer_id, founder.log.since(0))

    assert read.membership == founder.log.membership
    assert read.head_sha256 == founder.log.head_sha256


def test_nothing_is_known_before_the_first_entry():
    log = GuildLog(GUILD, CREATOR.peer_id)

    assert (log.version, log.epoch, log.head_sha256, log.since(0)) == (0, 0, "", ())
    assert (log.max_members, log.expires_unix_ns, log.dissolved) == (0, 0, False)
    for look in (lambda: log.membership, lambda: log.draft("dissolve", at_unix_ns=0)):
        with pytest.raises(GuildLogError, match="empty"):
            look()


def test_the_first_entry_is_the_creators_creation(founder):
    log = GuildLog(GUILD, CREATOR.peer_id)
    join = founder.signed("join", evidence=join_request(ALICE))
    for_bob = found(GUILD, BOB.peer_id, max_members=2, expires_unix_ns=9, at_unix_ns=1)

    for data, reason in (
        (join, "gap"),
        (sign_transition(ALICE, founding()), "signer"),
        (sign_transition(CREATOR, for_bob), "subject"),
        (
            sign_transition(CREATOR, replace(founding(), guild_id=OTHER_GUILD)),
            "guild",
        ),
    ):
        with pytest.raises(GuildLogError) as refused:
            log.append(data)
        assert refused.value.reason == reason
    assert log.version == 0


def test_only_the_creator_signs(founder):
    founder.join(ALICE)
    evidence = join_request(BOB)

    assert refusal(founder.log, founder.signed("dissolve", by=ALICE)) == "signer"
    data = founder.signed("join", by=BOB, evidence=evidence)
    assert refusal(founder.log, data) == "signer"


def test_an_entry_that_is_held_is_known(founder):
    founder.join(ALICE)
    first, second = founder.log.since(0)

    assert refusal(founder.log, first) == "known"
    assert refusal(founder.log, second + b"\x7a\x00") == "known"


def test_two_stories_by_one_creator_are_a_fork(founder):
    other = GuildLog.read(GUILD, CREATOR.peer_id, founder.log.since(0))
    founder.join(ALICE)
    said_to_others = sign_transition(
        CREATOR, other.draft("join", at_unix_ns=NOW_NS, evidence=join_request(BOB))
    )
    other.append(said_to_others)
    after = sign_transition(CREATOR, other.draft("dissolve", at_unix_ns=NOW_NS))

    assert refusal(founder.log, said_to_others) == "fork"
    assert refusal(founder.log, after) == "chain"


def test_a_missing_entry_is_a_gap(founder):
    reader = GuildLog.read(GUILD, CREATOR.peer_id, founder.log.since(0))
    founder.join(ALICE)
    founder.join(BOB)

    assert refusal(reader, founder.log.since(2)[0]) == "gap"
    for entry in founder.log.since(reader.version):
        reader.append(entry)
    assert reader.membership == founder.log.membership


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"previous_sha256": "ab" * 32}, "chain"),
        ({"at_unix_ns": NOW_NS - 1}, "time"),
        ({"epoch": 1}, "epoch"),
        ({"epoch": 3}, "epoch"),
        ({"version": 3}, "gap"),
    ],
    ids=str,
)
def test_a_wrong_place_is_refused(founder, changes, reason):
    data = founder.signed("join", evidence=join_request(ALICE), changes=changes)

    assert refusal(founder.log, data) == reason


def test_the_end_rotates_no_key(founder):
    assert refusal(founder.log, founder.signed("dissolve", changes={"epoch": 2})) == (
        "epoch"
    )


def test_a_creators_clock_that_went_back_is_held(founder):
    draft = founder.log.draft("dissolve", at_unix_ns=NOW_NS - 5)

    assert draft.at_unix_ns == NOW_NS


def test_nothing_follows_the_end(founder):
    founder.join(ALICE)
    founder.dissolve()

    for data in (
        founder.signed("join", evidence=join_request(BOB)),
        founder.signed("evict", subject=ALICE.peer_id),
        founder.signed("dissolve"),
    ):
        assert refusal(founder.log, data) == "dissolved"


def test_only_the_creator_is_dissolved(founder):
    founder.join(ALICE)
    data = founder.signed("dissolve", subject=ALICE.peer_id)

    assert refusal(founder.log, data) == "subject"


def test_nobody_joins_twice(founder):
    founder.join(ALICE)

    again = founder.signed("join", evidence=join_request(ALICE))
    creator = founder.signed("join", evidence=join_request(CREATOR))

    assert refusal(founder.log, again) == "subject"
    assert refusal(founder.log, creator) == "subject"


@pytest.mark.parametrize("kind", ["leave", "evict"])
def test_only_a_member_goes_and_never_the_creator(founder, kind):
    founder.join(ALICE)
    joined = founder.log.join_sha256(ALICE.peer_id)

    for identity in (BOB, CREATOR):
        leave = sign_leave(identity, guild_id=GUILD, join_sha256=joined)
        data = founder.signed(
            kind,
            subject=identity.peer_id,
            evidence=leave if kind == "leave" else b"",
        )
        assert refusal(founder.log, data) == "subject"


def test_a_full_guild_takes_nobody_until_somebody_goes():
    founder = Founder(max_members=2)
    founder.join(ALICE)

    with pytest.raises(GuildFullError, match="its 2 members"):
        founder.join(BOB)
    assert founder.log.membership.find(BOB.peer_id) is None

    founder.evict(ALICE)
    founder.join(BOB)
    assert founder.log.membership.find(BOB.peer_id) is not None


def test_a_log_takes_a_bounded_number_of_joins(founder):
    for _ in range(MAX_JOINS):
        founder.join(ALICE)
        founder.evict(ALICE)

    with pytest.raises(GuildFullError, match="taken its 1024 joins"):
        founder.join(ALICE)
    founder.dissolve()
    assert founder.log.version == 2 + 2 * MAX_JOINS


def test_nobody_joins_when_the_time_is_over_but_all_may_go(founder):
    founder.join(ALICE)
    founder.join(BOB)
    over_ns = NOW_NS + TTL_NS

    late = join_request(CAROL, at_unix_ns=over_ns)
    with pytest.raises(GuildExpiredError):
        founder.log.append(founder.signed("join", evidence=late, at_unix_ns=over_ns))

    leave = founder.leave_request(ALICE)
    for kind, fields in (
        ("leave", {"evidence": leave}),
        ("evict", {"subject": BOB.peer_id}),
        ("dissolve", {}),
    ):
        founder.log.append(founder.signed(kind, at_unix_ns=over_ns, **fields))
    assert founder.log.dissolved


def check(log, evidence, *, at_unix_ns=NOW_NS):
    log.check_join(open_join(evidence), at_unix_ns=at_unix_ns)


def test_a_join_is_checked_as_if_its_subject_had_been_evicted():
    founder = Founder(max_members=2)
    founder.join(ALICE)
    version = founder.log.version

    check(founder.log, join_request(ALICE))
    with pytest.raises(GuildFullError, match="its 2 members"):
        check(founder.log, join_request(BOB))
    assert founder.log.version == version


def test_a_join_that_would_be_refused_is_told_before(founder):
    used = join_request(ALICE)
    founder.log.append(founder.signed("join", evidence=used))
    log = founder.log

    for evidence, reason in (
        (used, "its key has joined before"),
        (join_request(ALICE, at_unix_ns=NOW_NS - WINDOW_NS - 1), "from its entry"),
        (join_request(ALICE, creator=BOB.peer_id), "to another creator"),
        (join_request(ALICE, guild_id=OTHER_GUILD), f"of {OTHER_GUILD}"),
    ):
        with pytest.raises(GuildLogError, match=reason):
            check(log, evidence)
    over_ns = NOW_NS + TTL_NS
    with pytest.raises(GuildExpiredError):
        check(log, join_request(BOB, at_unix_ns=over_ns), at_unix_ns=over_ns)
    with pytest.raises(GuildLogError, match="nothing is known"):
        check(GuildLog(GUILD, CREATOR.peer_id), used)
    founder.dissolve()
    with pytest.raises(GuildLogError, match="has ended"):
        check(log, join_request(BOB))


# Old requests


def test_a_join_cannot_be_entered_again_after_a_leave(founder):
    evidence = join_request(ALICE)
    founder.log.append(founder.signed("join", evidence=evidence))
    founder.leave(ALICE)

    same = founder.signed("join", evidence=evidence)
    in_another_envelope = founder.signed("join", evidence=evidence + b"\x7a\x00")

    assert refusal(founder.log, same) == "evidence"
    assert refusal(founder.log, in_another_envelope) == "evidence"


@pytest.mark.parametrize("off_ns", [WINDOW_NS + 1, -WINDOW_NS - 1])
def test_a_join_that_was_never_used_cannot_be_entered_later(founder, off_ns):
    evidence = join_request(ALICE, at_unix_ns=NOW_NS + WINDOW_NS + off_ns)

    data = founder.signed("join", evidence=evidence, at_unix_ns=NOW_NS + WINDOW_NS)

    assert refusal(founder.log, data) == "evidence"


@pytest.mark.parametrize("off_ns", [WINDOW_NS, -WINDOW_NS])
def test_clocks_may_differ_by_two_minutes(founder, off_ns):
    evidence = join_request(ALICE, at_unix_ns=NOW_NS + WINDOW_NS + off_ns)

    founder.log.append(
        founder.signed("join", evidence=evidence, at_unix_ns=NOW_NS + WINDOW_NS)
    )

    assert founder.log.membership.find(ALICE.peer_id) is not None


def test_who_comes_back_brings_another_key(founder):
    key = new_member_key().public
    founder.join(ALICE, public_key=key)
    founder.leave(ALICE)

    with pytest.raises(GuildLogError, match="key has joined"):
        founder.join(ALICE, public_key=key, at_unix_ns=NOW_NS + 1)
    founder.join(ALICE)


def test_nobody_joins_with_a_members_key(founder):
    key = new_member_key().public
    founder.join(ALICE, public_key=key)

    with pytest.raises(GuildLogError, match="key has joined"):
        founder.join(BOB, public_key=key)


def test_a_join_to_another_creator_is_of_no_use(founder):
    evidence = join_request(ALICE, creator=BOB.peer_id)

    assert refusal(founder.log, founder.signed("join", evidence=evidence)) == "evidence"


def test_a_leave_ends_the_join_that_it_names_and_no_later_one(founder):
    founder.join(ALICE)
    old = founder.leave_request(ALICE)
    founder.evict(ALICE)
    founder.join(ALICE)

    assert refusal(founder.log, founder.signed("leave", evidence=old)) == "evidence"

    founder.leave(ALICE)
    assert founder.log.membership.find(ALICE.peer_id) is None


def test_the_log_names_the_join_of_a_member(founder):
    evidence = join_request(ALICE)
    founder.log.append(founder.signed("join", evidence=evidence))

    assert founder.log.join_sha256(ALICE.peer_id) == open_join(evidence).sha256
    assert founder.log.join_sha256(BOB.peer_id) is None
    founder.leave(ALICE)
    assert founder.log.join_sha256(ALICE.peer_id) is None


# Giving it out


def test_entries_are_given_out_in_bounded_parts(founder):
    for number in range(2, 9):
        founder.join(peer(number))
    whole = founder.log.since(0, limit_bytes=1 << 20)
    limit_bytes = 3 * max(map(len, whole))

    got: list[bytes] = []
    while part := founder.log.since(len(got), limit_bytes=limit_bytes):
        assert sum(map(len, part)) <= limit_bytes
        got += part

    assert tuple(got) == whole
    assert len(whole) == founder.log.version == 8


def test_an_entry_above_the_limit_is_given_out_alone(founder):
    founder.join(ALICE)

    assert len(founder.log.since(0, limit_bytes=1)) == 1
    assert founder.log.since(0, limit_bytes=1)[0] == founder.log.since(0)[0]


def test_there_is_nothing_after_the_newest(founder):
    assert founder.log.since(founder.log.version) == ()
    assert founder.log.since(99) == ()
    assert founder.log.since(-5) == founder.log.since(0)


def test_a_draft_needs_the_evidence_it_speaks_of(founder):
    for kind in ("join", "leave"):
        with pytest.raises(GuildLogError, match="evidence"):
            founder.log.draft(kind, at_unix_ns=NOW_NS)


def test_every_refusal_is_a_guild_error(founder):
    for data in (b"", b"x" * 9000, founder.log.since(0)[0]):
        with pytest.raises(GuildError):
            founder.log.append(data)
    assert open_transition(founder.log.since(0)[0]).sha256 == founder.log.head_sha256
