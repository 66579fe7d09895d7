"""A creator looks after its guild: whatever is wrong with one member, or with itself."""

import trio

from guild_world import id_of, open_guild_world
from zerostate.evidence.identity import Identity


def own_guild(world, guild_id):
    return world.guilds["a"]._parts.book.find(guild_id)


async def test_a_member_that_cannot_be_evicted_keeps_nobody_else_in(autojump_clock):
    async with open_guild_world(heartbeat_interval_s=2) as world:
        guild_id = await world.form()
        nobody = Identity.generate().peer_id
        heard_ns = own_guild(world, guild_id).heard_ns
        heard_ns[nobody] = world.clock.monotonic_ns()
        await world.host("b").vanish()
        await trio.sleep(10)

        members = world.view("a", guild_id).members
        assert [m.peer_id for m in members] == [id_of("a"), id_of("c")]
        assert nobody not in heard_ns
        stats = world.guilds["a"].stats()
        assert (stats["guild.evicted"], stats["guild.evictions.failed"]) == (1, 1)


async def test_a_guild_that_its_creator_cannot_look_after_ends(autojump_clock, caplog):
    async with open_guild_world(heartbeat_interval_s=2) as world:
        guild_id = await world.form()
        own_guild(world, guild_id).heard_ns[id_of("b")] = "never"
        await trio.sleep(3)

        assert set(world.views(guild_id).values()) == {(4, None, "ended")}
        (end,) = world.spans("guild.dissolve")
        assert end.attributes["dissolve.reason"] == "failed"
        assert world.guilds["a"].stats()["guild.errors"] == 1
        assert "cannot be kept up" in caplog.text
