"""guild.membership: who belongs to a guild, and as what."""

from zerostate.guild import membership as module
from zerostate.guild.membership import Member, Membership
from zerostate.ids import new_guild_id

CREATOR = Member("c", "creator", ())
WITNESS = Member("a", "member", ("witness",))
EXECUTOR = Member("b", "executor", ("wasm", "witness"))
MEMBERSHIP = Membership(new_guild_id(), 3, (CREATOR, WITNESS, EXECUTOR))


def test_a_guild_knows_its_creator():
    assert MEMBERSHIP.creator is CREATOR


def test_members_are_found_by_their_id():
    assert MEMBERSHIP.find("b") is EXECUTOR
    assert MEMBERSHIP.find("nobody") is None


def test_members_are_found_by_what_they_offer_in_the_order_of_joining():
    assert MEMBERSHIP.offering("witness") == (WITNESS, EXECUTOR)
    assert MEMBERSHIP.offering("gpu") == ()


def test_every_role_is_known():
    assert set(module.ROLES) == {"creator", "member", "executor", "observer"}
