"""How members go, and how a guild ends: on purpose, in time, or because one is lost."""

import pytest
import trio

from guild_world import BEAT_S, id_of, keys_held, open_guild_world, reasons
from zerostate.errors import (
    GuildError,
    GuildNotFoundError,
    GuildRoleError,
    PeerUnreachableError,
)
from zerostate.guild.parts import topic_of


async def test_who_leaves_is_struck_off_for_all_and_they_get_a_new_key(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        ring = keys_held(world, "b")[0]
        world.recorder.clear()
        await world.guilds["b"].leave(guild_id)
        await trio.testing.wait_all_tasks_blocked()

        assert set(world.views(guild_id, "ac").values()) == {(4, 4, "open")}
        assert world.view("c", guild_id).members == tuple(
            m for m in world.view("c", guild_id).members if m.peer_id != id_of("b")
        )
        assert world.view("b", guild_id).end_reason == "left"
        assert repr(ring) == "KeyRing(epoch=None, retired=[])"
        assert topic_of(guild_id) not in world.host("b").topics
        (leave,) = world.spans("guild.leave")
        assert leave.attributes["leave.reason"] == "requested"
        (exchange,) = world.spans("guild.key_exchange")
        assert exchange.context.trace_id == leave.context.trace_id
        assert "peer.id" not in exchange.attributes
        assert exchange.attributes["guild.key.recipients"] == 1


async def test_who_cannot_tell_the_creator_has_left_all_the_same(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        await world.host("b").disconnect(id_of("a"))

        with pytest.raises((GuildNotFoundError, PeerUnreachableError)):
            await world.guilds["b"].leave(guild_id)
        assert world.view("b", guild_id).state == "ended"


async def test_nobody_leaves_a_guild_of_its_own_or_dissolves_another_s(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()

        with pytest.raises(GuildRoleError, match="dissolve it"):
            await world.guilds["a"].leave(guild_id)
        with pytest.raises(GuildError, match="its creator"):
            await world.guilds["b"].dissolve(guild_id)
        with pytest.raises(GuildError, match="its creator"):
            world.guilds["b"].dissolve_soon(guild_id)
        assert reasons(world, guild_id) == dict.fromkeys("abc")


async def test_a_dissolved_guild_is_over_for_all_and_its_topic_left(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        await world.guilds["a"].dissolve(guild_id)
        await trio.testing.wait_all_tasks_blocked()

        assert reasons(world, guild_id) == dict.fromkeys("abc", "dissolved")
        for name, guilds in world.guilds.items():
            with pytest.raises(GuildNotFoundError):
                guilds.membership(guild_id)
            assert topic_of(guild_id) not in world.host(name).topics
            assert keys_held(world, name) == []
            assert guilds.stats()["guild.ended.dissolved"] == 1


async def test_what_ends_in_the_background_is_a_root_linked_to_the_guild(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.guilds["a"].dissolve_soon(guild_id)
        world.guilds["a"].dissolve_soon(guild_id)
        await trio.testing.wait_all_tasks_blocked()

        dissolve = world.recorder.named("guild.dissolve")
        create = world.recorder.named("guild.create")
        assert dissolve.parent is None
        assert dissolve.attributes["dissolve.reason"] == "requested"
        (link,) = dissolve.links
        assert link.context.trace_id == create.context.trace_id


async def test_a_member_that_missed_the_end_learns_it_by_its_heartbeat(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.lose_gossip()
        await world.guilds["a"].dissolve(guild_id)
        await trio.sleep(BEAT_S + 1)

        assert reasons(world, guild_id) == dict.fromkeys("abc", "dissolved")


async def test_a_member_that_missed_a_change_asks_when_the_end_comes(autojump_clock):
    async with open_guild_world(apart=("c",)) as world:
        guild_id = await world.form(members=1, max_members=3)
        world.lose_gossip("b")
        await world.let_in("c", guild_id)
        assert world.view("b", guild_id).version == 2
        world.lose_nothing()
        await world.guilds["a"].dissolve(guild_id)
        await trio.testing.wait_all_tasks_blocked()

        assert world.view("b", guild_id).end_reason == "dissolved"


async def test_a_guild_ends_for_each_when_its_time_is_over(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form(ttl_s=20)
        world.recorder.clear()
        await trio.sleep(19)
        assert reasons(world, guild_id) == dict.fromkeys("abc")
        world.lose_gossip()
        await trio.sleep(2)

        assert reasons(world, guild_id) == dict.fromkeys("abc", "expired")
        assert [keys_held(world, name) for name in "abc"] == [[], [], []]
        (dissolve,) = world.spans("guild.dissolve")
        assert dissolve.attributes["dissolve.reason"] == "expired"
        leaves = world.spans("guild.leave", leave_reason="expired")
        assert {s.attributes["peer.id"] for s in leaves} == {id_of("b"), id_of("c")}
        assert all(span.parent is None and span.links for span in leaves)


async def test_what_has_expired_is_unknown_before_it_is_swept(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.clock.advance(3601)

        with pytest.raises(GuildNotFoundError):
            world.guilds["a"].membership(guild_id)
        assert not world.guilds["b"].is_member_of_a_guild(id_of("a"))
        world.guilds["b"].end_expired()
        assert world.view("b", guild_id).end_reason == "expired"


async def test_hearts_beat_as_roots_linked_to_the_guild_and_keep_members(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        create = world.recorder.named("guild.create")
        world.recorder.clear()
        await trio.sleep(10 * BEAT_S + 1)

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}
        beats = world.spans("guild.heartbeat")
        assert len(beats) == 20
        for beat in beats:
            assert beat.parent is None
            assert [link.context.trace_id for link in beat.links] == [
                create.context.trace_id
            ]
        ages = [m.heartbeat_age_s for m in world.view("a", guild_id).members]
        assert ages[0] is None
        assert max(ages[1:]) < BEAT_S


async def test_who_misses_two_heartbeats_is_evicted_and_cannot_read_on(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.recorder.clear()
        await world.host("b").disconnect(id_of("a"))
        await trio.sleep(2 * BEAT_S)
        assert world.view("a", guild_id).version == 3
        await trio.sleep(10)

        assert set(world.views(guild_id, "ac").values()) == {(4, 4, "open")}
        assert world.guilds["a"].stats()["guild.evicted"] == 1
        (leave,) = world.spans("guild.leave", leave_reason="evicted")
        assert leave.attributes["peer.id"] == id_of("b")
        assert leave.parent is None
        assert leave.links
        (exchange,) = world.spans("guild.key_exchange")
        assert exchange.parent.span_id == leave.context.span_id


async def test_a_member_that_was_evicted_while_it_slept_learns_it(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        founder = world.guilds["a"]._founder
        guild = founder._parts.book.find(guild_id)
        world.lose_gossip()
        founder._evict(guild, id_of("b"))
        await trio.sleep(BEAT_S + 1)

        assert world.view("b", guild_id).end_reason == "evicted"
        assert world.view("c", guild_id).epoch == 4


async def test_many_guilds_one_after_the_other_leave_nothing_behind(autojump_clock):
    async with open_guild_world() as world:
        for _ in range(70):
            guild_id = await world.form()
            world.guilds["a"].dissolve_soon(guild_id)
            await trio.sleep(0.5)

        for name, guilds in world.guilds.items():
            assert world.host(name).topics == {"zerostate/guilds/1"}
            assert len(guilds.list()) == 64


async def test_a_change_can_be_waited_for_and_none_is_missed(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        seen = []
        async with trio.open_nursery() as nursery:

            async def watch():
                view = world.view("c", guild_id)
                while view.state == "open":
                    view = await world.guilds["c"].wait_changed(
                        guild_id, version=view.version
                    )
                    seen.append((view.version, view.end_reason))

            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            await world.guilds["b"].leave(guild_id)
            await trio.testing.wait_all_tasks_blocked()
            await world.guilds["a"].dissolve(guild_id)

        assert (4, None) in seen
        assert seen[-1] == (5, "dissolved")
        assert (await world.guilds["c"].wait_changed(guild_id)).state == "ended"
