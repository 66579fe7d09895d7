"""A creator looks after its guild: whatever is wrong with one member, or with itself."""

import pytest
import trio

from guild_world import id_of, identity_of, open_guild_world
from zerostate.errors import RemoteError
from zerostate.evidence.identity import Identity
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.keys import new_member_key
from zerostate.guild.requests import MAX_REQUEST_AGE_S, JoinRequest, sign_join
from zerostate.units import NS_PER_S


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


async def test_a_member_stays_in_if_its_joining_anew_is_refused(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        request = JoinRequest(
            guild_id=guild_id,
            creator=id_of("a"),
            public_key=new_member_key().public,
            capabilities=("wasm",),
            at_unix_ns=world.clock.wall_ns() - (MAX_REQUEST_AGE_S + 1) * NS_PER_S,
        )
        stale = sign_join(identity_of("b"), request)
        body = pb.Join(guild_id=guild_id, request=stale).SerializeToString()
        world.recorder.clear()
        with pytest.raises(RemoteError, match="from its entry"):
            await world.peers["b"].request(id_of("a"), "guild_join", body)
        await trio.sleep(60)

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}
        assert world.spans("guild.key_exchange") == []
