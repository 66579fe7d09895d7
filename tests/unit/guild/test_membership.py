"""guild.membership: a pure state, and what of a peer's bytes is let in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import GuildError, GuildFullError
from zerostate.guild import membership as wire
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.membership import MAX_CAPABILITIES, decode, encode, founded
from zerostate.ids import new_guild_id

GUILD = new_guild_id()


def test_a_new_guild_has_its_creator_only():
    membership = founded(GUILD, "creator")

    assert membership.creator.peer_id == "creator"
    assert membership.version == 1


def test_a_member_that_runs_tasks_is_an_executor():
    membership = founded(GUILD, "c").joined("a", ("witness",), max_members=9)
    membership = membership.joined("b", ("wasm", "witness"), max_members=9)

    assert [(m.peer_id, m.role) for m in membership.members] == [
        ("c", "creator"),
        ("a", "member"),
        ("b", "executor"),
    ]
    assert membership.version == 3
    assert [m.peer_id for m in membership.offering("witness")] == ["a", "b"]
    assert membership.find("nobody") is None


def test_joining_twice_changes_nothing():
    membership = founded(GUILD, "c").joined("a", (), max_members=9)

    assert membership.joined("a", ("wasm",), max_members=2) is membership


def test_a_full_guild_takes_nobody_more():
    with pytest.raises(GuildFullError, match="its 1 members"):
        founded(GUILD, "c").joined("a", (), max_members=1)


@pytest.mark.parametrize(
    "capabilities", [("x",) * (MAX_CAPABILITIES + 1), ("",), ("x" * 65,)]
)
def test_capabilities_are_bounded(capabilities):
    with pytest.raises(GuildError, match="capabilit"):
        founded(GUILD, "c").joined("a", capabilities, max_members=9)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=9), st.booleans()), max_size=8))
def test_the_wire_keeps_a_membership(joins):
    membership = founded(GUILD, "c")
    for peer_id, executes in joins:
        capabilities = ("wasm",) if executes else ()
        membership = membership.joined(peer_id, capabilities, max_members=99)

    assert decode(encode(membership)) == membership


@given(st.binary(max_size=80))
def test_garbage_is_refused_as_a_guild_error(data):
    with pytest.raises(GuildError):
        decode(data)


@pytest.mark.parametrize(
    "members",
    [
        [],
        [("a", "member")],
        [("a", "creator"), ("b", "creator")],
        [("a", "creator"), ("a", "member")],
        [("a", "creator"), ("b", "king")],
    ],
)
def test_a_membership_that_makes_no_sense_is_refused(members):
    message = pb.Membership(
        guild_id=GUILD, members=[pb.Member(peer_id=p, role=r) for p, r in members]
    )
    with pytest.raises(GuildError):
        decode(message.SerializeToString())


def test_every_role_is_known():
    assert set(wire.ROLES) == {"creator", "member", "executor", "observer"}
