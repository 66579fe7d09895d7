"""How long a guild may bind those who join it."""

import pytest
import trio

from guild_world import WANTED, id_of, open_guild_world
from zerostate.errors import GuildNotFormedError
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.config import MAX_TTL_S
from zerostate.guild.joining import MAX_CLOCKS_APART_S
from zerostate.guild.parts import ANNOUNCE_TOPIC
from zerostate.units import NS_PER_S

LONGEST_S = MAX_TTL_S + MAX_CLOCKS_APART_S


async def form(world, *, ttl_s):
    """Form a guild as a creator does that keeps to no bound of its own."""
    founder = world.guilds["a"]._founder
    formed = await founder.create(
        wanted=WANTED, members=2, ttl_s=ttl_s, max_members=3, timeout_s=2
    )
    await trio.testing.wait_all_tasks_blocked()
    return formed.guild_id


async def test_a_guild_that_lasts_as_long_as_any_may_is_joined(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await form(world, ttl_s=LONGEST_S)

        assert world.view("b", guild_id).state == "open"


async def test_a_guild_that_lasts_for_longer_is_let_pass(autojump_clock):
    async with open_guild_world() as world:
        with pytest.raises(GuildNotFormedError, match="0 of 2"):
            await form(world, ttl_s=LONGEST_S + 10)

        assert world.guilds["b"].list() == ()
        assert world.spans("guild.join") == []


async def test_a_guild_that_lasts_for_longer_than_announced_is_not_joined(
    autojump_clock,
):
    async with open_guild_world(apart=("b", "c")) as world:
        guild_id = await world.form(members=0, max_members=3)
        guild = world.guilds["a"]._parts.own(guild_id)
        guild.wanted = WANTED
        await world.connect("a", "b")
        announcement = pb.Announce(
            guild_id=guild_id,
            creator=id_of("a"),
            wanted=WANTED,
            max_members=3,
            expires_unix_ns=guild.log.expires_unix_ns - 60 * NS_PER_S,
        )
        await world.peers["a"].publish(
            ANNOUNCE_TOPIC, "guild_announce", announcement.SerializeToString()
        )
        await trio.testing.wait_all_tasks_blocked()

        assert world.guilds["b"].list() == ()
        (join,) = world.spans("guild.join")
        assert join.attributes["error.type"] == "guild"
