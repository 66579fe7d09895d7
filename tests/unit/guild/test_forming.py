"""guild.creating and guild.joining: how a guild comes to be."""

import pytest
import trio

from guild_world import OFFERS, WANTED, id_of, open_guild_world
from zerostate.errors import (
    GuildEndedError,
    GuildNotFormedError,
    GuildNotFoundError,
    OverloadedError,
)
from zerostate.guild import GuildTracer
from zerostate.testing import assert_trace

OBSERVED = OFFERS | {"o": {"observes": True}}


async def test_a_guild_forms_of_those_who_offer_what_is_wanted(autojump_clock):
    async with open_guild_world() as world:
        membership = await world.guilds["a"].create(wanted=WANTED, members=2)

        assert membership.creator.peer_id == id_of("a")
        assert {m.peer_id: m.role for m in membership.members} == {
            id_of("a"): "creator",
            id_of("b"): "executor",
            id_of("c"): "member",
        }
        executor = membership.find(id_of("b"))
        assert (executor.price_base, executor.price_per_gigafuel) == (5, 7)


async def test_every_member_knows_all_members_and_has_the_same_key_at_once(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}


async def test_forming_is_one_trace_with_one_key_exchange_a_member(autojump_clock):
    async with open_guild_world({"a": {}, "b": OFFERS["b"]}) as world:
        await world.form()

        assert_trace(
            world.recorder.spans,
            """
            guild.create
              p2p.message.guild_announce
                p2p.gossip.publish PRODUCER
                  p2p.gossip.deliver CONSUMER
                    p2p.message.guild_announce
                      guild.join
                        p2p.message.guild_join CLIENT
                          p2p.message.guild_join SERVER
              guild.key_exchange
            """,
        )


async def test_who_joined_before_gets_the_new_key_in_the_same_trace(autojump_clock):
    async with open_guild_world() as world:
        await world.form()

        create = world.recorder.named("guild.create")
        exchanges = world.spans("guild.key_exchange")
        assert [span.parent.span_id for span in exchanges] == [
            create.context.span_id
        ] * 2
        assert [span.attributes["guild.key.recipients"] for span in exchanges] == [1, 2]
        (update,) = [
            span
            for span in world.spans("p2p.message.guild_update")
            if span.parent.span_id == exchanges[1].context.span_id
        ]
        assert update.context.trace_id == create.context.trace_id
        assert {s.context.trace_id for s in world.recorder.spans} == {
            create.context.trace_id
        }


async def test_the_span_opened_by_hand_as_in_the_guide_is_the_only_one(autojump_clock):
    async with open_guild_world() as world:
        tracer = GuildTracer(world.recorder.provider)
        with tracer.trace_create_guild():
            formed = await world.guilds["a"].create(wanted=WANTED, members=2)

        (span,) = world.spans("guild.create")
        assert span.attributes["guild.id"] == formed.guild_id
        for exchange in world.spans("guild.key_exchange"):
            assert exchange.parent.span_id == span.context.span_id


async def test_too_few_members_is_an_error_and_the_guild_is_dissolved(autojump_clock):
    async with open_guild_world() as world:
        with pytest.raises(
            GuildNotFormedError,
            match=r"^2 of 3 members joined within 10 s; 2 peers connected$",
        ):
            await world.form(members=3)
        await trio.sleep(1)

        span = world.recorder.named("guild.create")
        assert span.attributes["error.type"] == "guild_not_formed"
        for guilds in world.guilds.values():
            (view,) = guilds.list()
            assert view.end_reason == "dissolved"
        (end,) = world.spans("guild.dissolve")
        assert end.attributes["dissolve.reason"] == "not_formed"


async def test_the_last_place_is_kept_for_who_has_what_is_needed(autojump_clock):
    async with open_guild_world() as world:
        world.network.loses = lambda _topic, _sender, receiver: (
            receiver == id_of("b") and trio.current_time() < 1
        )
        formed = await world.guilds["a"].create(
            wanted=WANTED, members=1, needs=("wasm",)
        )

        assert trio.current_time() > 1
        assert [m.peer_id for m in formed.members] == [id_of("a"), id_of("b")]


async def test_a_guild_that_nobody_can_serve_says_what_is_missing(autojump_clock):
    async with open_guild_world() as world:
        with pytest.raises(
            GuildNotFormedError, match=r"1 of 2 .*none offers wasm, gpu"
        ):
            await world.form(members=2, needs=("wasm", "gpu"))


async def test_a_cancelled_forming_leaves_nothing_behind(autojump_clock):
    async with open_guild_world() as world:
        with trio.move_on_after(1):
            await world.form(members=3)
        await trio.sleep(1)

        for name, guilds in world.guilds.items():
            (view,) = guilds.list()
            assert view.state == "ended"
            assert world.host(name).topics == {"zerostate/guilds/1"}


async def test_a_guild_dissolved_while_it_forms_is_not_waited_for(autojump_clock):
    async with open_guild_world() as world, trio.open_nursery() as nursery:

        async def dissolve():
            await trio.sleep(1)
            (view,) = world.guilds["a"].list()
            await world.guilds["a"].dissolve(view.guild_id)

        nursery.start_soon(dissolve)
        with pytest.raises(GuildEndedError, match="dissolved"):
            await world.form(members=3)
        assert trio.current_time() < 2


async def test_nobody_joins_who_offers_nothing_wanted(autojump_clock):
    async with open_guild_world() as world:
        with pytest.raises(GuildNotFormedError, match="0 of 1"):
            await world.form(wanted=("gpu",), members=1)


async def test_a_lost_announcement_is_made_once_more(autojump_clock):
    async with open_guild_world() as world:
        lost = []

        def loses(_topic, _sender, receiver):
            lost.append(receiver)
            return len(lost) <= 6

        world.network.loses = loses
        guild_id = await world.form()

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}
        assert trio.current_time() > 2


async def test_a_full_guild_refuses_and_who_is_refused_knows_no_guild(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form(members=1)

        joined = {m.peer_id for m in world.view("a", guild_id).members}
        left_out = next(name for name in "bc" if id_of(name) not in joined)
        with pytest.raises(GuildNotFoundError):
            world.guilds[left_out].membership(guild_id)
        failed = world.spans("guild.join", error_type="guild_full")
        assert len(failed) == 1
        assert world.guilds["a"].stats()["guild.refused.guild_full"] == 1
        topics = world.host(left_out).topics
        assert topics == {"zerostate/guilds/1"}


async def test_joins_go_on_after_forming_where_there_is_room(autojump_clock):
    async with open_guild_world(apart=("c",)) as world:
        guild_id = await world.form(members=1, max_members=3)
        body = world.recorder.named("guild.create")
        world.recorder.clear()
        await world.connect("a", "c")
        await world.announce_again(guild_id)
        await trio.testing.wait_all_tasks_blocked()

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}
        (exchange,) = world.spans("guild.key_exchange")
        served = [
            s for s in world.spans("p2p.message.guild_join") if s.kind.name == "SERVER"
        ]
        assert exchange.parent.span_id == served[0].context.span_id
        assert body.context.span_id != exchange.parent.span_id


async def test_an_observer_takes_no_place_of_those_who_are_waited_for(autojump_clock):
    async with open_guild_world(OBSERVED) as world:
        guild_id = await world.form()

        roles = [m.role for m in world.view("a", guild_id).members]
        assert sorted(roles) == ["creator", "executor", "member"]
        assert world.guilds["a"].stats()["guild.refused.guild_full"] == 1


async def test_an_observer_joins_where_there_is_room_and_is_not_counted(autojump_clock):
    async with open_guild_world(OBSERVED) as world:
        guild_id = await world.form(max_members=4)

        view = world.view("o", guild_id)
        assert view.role == "observer"
        assert set(world.views(guild_id).values()) == {(4, 4, "open")}


async def test_a_creator_that_is_not_connected_is_dialled_where_it_says(autojump_clock):
    async with open_guild_world(apart=("c",)) as world:
        await world.connect("b", "c")
        guild_id = await world.form()

        assert world.view("c", guild_id).state == "open"
        assert id_of("a") in world.peers["c"].connected()


async def test_nobody_takes_part_in_more_guilds_than_configured(autojump_clock):
    async with open_guild_world(max_guilds=2) as world:
        for _ in range(2):
            await world.guilds["a"].create(wanted=("witness",), members=1)

        with pytest.raises(OverloadedError, match="2 guilds"):
            await world.form()


async def test_one_creator_has_at_most_half_of_our_guilds(autojump_clock):
    offers = OFFERS | {"c": OFFERS["c"] | {"max_guilds": 4}}
    async with open_guild_world(offers) as world:
        for _ in range(2):
            await world.form(wanted=("witness",), members=1)

        with pytest.raises(GuildNotFormedError):
            await world.form(wanted=("witness",), members=1)
        assert sum(v.state == "open" for v in world.guilds["c"].list()) == 2


@pytest.mark.parametrize(
    "options",
    [{"members": 2, "max_members": 2}, {"members": 2, "ttl_s": 0}, {"members": 256}],
)
async def test_bounds_are_checked_before_anything_is_said(options, autojump_clock):
    async with open_guild_world() as world:
        with pytest.raises(ValueError, match=r"members is|ttl_s"):
            await world.guilds["a"].create(wanted=WANTED, **options)
        assert not world.recorder.spans


async def test_who_has_lost_its_key_joins_anew_and_all_get_a_new_one(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        joiner = world.guilds["b"]._joiner
        guild = joiner._parts.book.find(guild_id)
        joiner._parts.end(guild, "creator_lost")
        await world.announce_again(guild_id)
        await trio.testing.wait_all_tasks_blocked()

        assert set(world.views(guild_id, "ac").values()) == {(5, 5, "open")}
        again = next(v for v in world.guilds["b"].list() if v.state == "open")
        assert (again.version, again.epoch) == (5, 5)


async def test_fifty_members_share_one_key_in_bounded_messages(autojump_clock):
    offers = {"a": {}} | {f"m{n}": {"capabilities": ("wasm",)} for n in range(49)}
    async with open_guild_world(offers, apart=tuple(offers)) as world:
        for name in list(offers)[1:]:
            await world.connect("a", name)
        guild_id = await world.form()
        # Updates leave at gossip's pace.
        await trio.sleep(1)

        assert set(world.views(guild_id).values()) == {(50, 50, "open")}
        updates = world.spans("p2p.message.guild_update")
        sizes = [span.attributes["messaging.message.body.size"] for span in updates]
        assert max(sizes) < 10_000
