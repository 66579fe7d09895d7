"""guild.liveness: a creator that is gone, for a moment or for good."""

import pytest
import trio

from guild_world import (
    BEAT_S,
    OFFERS,
    id_of,
    keys_held,
    open_guild_world,
    reasons,
)
from zerostate.errors import GuildEndedError
from zerostate.guild.liveness import AWAY_AT_WORK_S, RETURN_POLL_S

AT_ONCE_S = 2 * RETURN_POLL_S


async def part(world, *names):
    """Cut the connections of "a" with peers."""
    for name in names:
        await world.host(name).disconnect(id_of("a"))


async def test_a_creator_that_stays_away_ends_the_guild_after_two_heartbeats(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        await trio.sleep(5)
        await world.host("a").vanish()
        await trio.sleep(2 * BEAT_S - 6)
        assert reasons(world, guild_id, "bc") == dict.fromkeys("bc")
        await trio.sleep(2)

        assert reasons(world, guild_id, "bc") == dict.fromkeys("bc", "creator_lost")
        for name in "bc":
            assert keys_held(world, name) == []
            assert world.guilds[name].stats()["guild.creators.gone"] == 1
        leaves = world.spans("guild.leave", leave_reason="creator_lost")
        assert {s.attributes["peer.id"] for s in leaves} == {id_of("b"), id_of("c")}


async def test_a_short_break_leaves_the_guild_as_it_is(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        for _ in range(5):
            await part(world, "b", "c")
            await trio.sleep(BEAT_S - 1)
            await world.connect("a", "b")
            await world.connect("a", "c")
            await trio.sleep(AT_ONCE_S)

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}


async def test_a_creator_that_is_back_is_asked_at_once_for_what_was_missed(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        await part(world, "b")
        world.lose_gossip("b")
        await world.guilds["c"].leave(guild_id)
        await trio.sleep(8)
        assert world.view("b", guild_id).epoch == 3
        world.recorder.clear()
        await world.connect("a", "b")
        await trio.sleep(AT_ONCE_S)

        assert world.views(guild_id, "ab") == dict.fromkeys("ab", (4, 4, "open"))
        (beat,) = world.spans("guild.heartbeat")
        assert beat.parent is None


async def test_who_was_evicted_meanwhile_learns_it_when_the_creator_is_back(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        await part(world, "b")
        founder = world.guilds["a"]._founder
        world.lose_gossip("b")
        founder._evict(founder._parts.book.find(guild_id), id_of("b"))
        await trio.sleep(5)
        assert world.view("b", guild_id).state == "open"
        await world.connect("a", "b")
        await trio.sleep(AT_ONCE_S)

        assert world.view("b", guild_id).end_reason == "evicted"


async def test_who_works_waits_a_few_seconds_for_its_creator_and_no_longer(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        with world.guilds["b"].at_work_for(guild_id):
            await part(world, "b")
            await trio.sleep(AWAY_AT_WORK_S - 1)
            await world.connect("a", "b")
            await trio.sleep(AWAY_AT_WORK_S)
            assert world.view("b", guild_id).state == "open"
            await world.host("a").vanish()
            await trio.sleep(AWAY_AT_WORK_S - 0.1)
            assert reasons(world, guild_id, "bc") == dict.fromkeys("bc")
            await trio.sleep(AT_ONCE_S)

        assert reasons(world, guild_id, "bc") == {"b": "creator_lost", "c": None}


async def test_work_that_begins_while_the_creator_is_gone_is_soon_over(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        await part(world, "b")
        await trio.sleep(10)
        with world.guilds["b"].at_work_for(guild_id):
            await trio.sleep(AT_ONCE_S)

        assert world.view("b", guild_id).end_reason == "creator_lost"


async def test_who_waits_for_a_member_is_told_that_the_creator_is_lost(autojump_clock):
    async with open_guild_world(OFFERS | {"d": {"capabilities": ("wasm",)}}) as world:
        guild_id = await world.form()
        started = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def vanish():
                await trio.sleep(0.5)
                await world.host("a").vanish()

            nursery.start_soon(vanish)
            with (
                world.guilds["b"].at_work_for(guild_id),
                pytest.raises(GuildEndedError, match="creator_lost") as caught,
            ):
                await world.guilds["b"].send_message(
                    guild_id,
                    id_of("d"),
                    "task_request",
                    b"work",
                    confirmed=trio.Event(),
                )

        assert caught.value.reason == "creator_lost"
        assert trio.current_time() - started < 0.5 + AWAY_AT_WORK_S + AT_ONCE_S


async def test_a_creator_that_answers_no_heartbeats_is_lost_after_two(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        deaf = world.guilds["a"]._parts

        async def never(_message):
            await trio.sleep_forever()

        deaf.peers.handle("guild_heartbeat", never)
        # Nor does it evict: it stands still, but for the connections.
        deaf.book.find(guild_id).loops.cancel()
        await trio.sleep(BEAT_S + 11)
        assert reasons(world, guild_id, "bc") == dict.fromkeys("bc")
        await trio.sleep(BEAT_S + 11)

        assert reasons(world, guild_id, "bc") == dict.fromkeys("bc", "creator_lost")
        assert world.guilds["b"].stats()["guild.heartbeats.failed"] == 2
