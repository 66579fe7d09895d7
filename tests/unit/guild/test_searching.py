"""guild.forming: who offers what is wanted is looked up in the DHT if nobody comes."""

import pytest
import trio

from guild_world import OFFERS, WANTED, id_of, open_guild_world
from zerostate.errors import GuildNotFormedError
from zerostate.guild.forming import REANNOUNCE_S, SEARCH_AFTER_S, SEARCH_TIMEOUT_S
from zerostate.p2p.discovery import ADVERTISE_AFTER_S

HUB = {"h": {}}
"""Knows everybody; offers nothing."""


async def strangers(world, *, capability="wasm"):
    """Connect "a" and "b" with the hub only; "b" hears announcements from "a" alone.

    So it is with a creator that nobody can dial.
    """
    await world.connect("h", "a")
    await world.connect("h", "b")
    world.network.loses = lambda _topic, sender, receiver: (
        receiver == id_of("b") and sender != id_of("a")
    )
    world.peers["b"].discovery.advertise((capability,))
    await trio.sleep(2 * ADVERTISE_AFTER_S)
    world.recorder.clear()


def searches(world):
    return world.guilds["a"].stats().get("guild.searches", 0)


async def test_who_is_listed_for_what_is_wanted_is_dialled_and_joins(autojump_clock):
    offers = {"a": {}, "b": OFFERS["b"]} | HUB
    async with open_guild_world(offers, apart=offers) as world:
        await strangers(world)
        begun_s = trio.current_time()
        formed = await world.guilds["a"].create(wanted=("wasm",), members=1)

        assert formed.find(id_of("b")).role == "executor"
        assert trio.current_time() - begun_s < 2 * REANNOUNCE_S + 1
        create = world.recorder.named("guild.create")
        (looked,) = world.spans("p2p.dht.get")
        (dialled,) = world.spans("p2p.connection.establish")
        for span in (looked, dialled):
            assert span.parent.span_id == create.context.span_id
        assert searches(world) == 1


async def test_what_is_needed_is_looked_up_first_and_nothing_twice(autojump_clock):
    async with open_guild_world({"a": {}, "b": OFFERS["b"]}) as world:
        with pytest.raises(GuildNotFormedError):
            await world.guilds["a"].create(
                wanted=("wasm", "gpu"), members=1, needs=("gpu",), timeout_s=13
            )

        keys = [
            span.attributes["dht.key"].rpartition("/")[2]
            for span in world.spans("p2p.dht.get")
        ]
        assert keys == ["gpu", "wasm"] * 2


@pytest.mark.parametrize("deaf_s", [0, REANNOUNCE_S - 0.1])
async def test_who_hears_one_of_two_announcements_is_not_looked_up(
    deaf_s, autojump_clock
):
    async with open_guild_world() as world:
        deaf_until_s = trio.current_time() + deaf_s
        world.network.loses = lambda *_: trio.current_time() < deaf_until_s
        await world.form()

        assert searches(world) == 0
        assert world.spans("p2p.dht.get") == []


async def test_without_the_dht_nobody_is_looked_up(autojump_clock):
    async with open_guild_world(p2p={"dht": False}) as world:
        with pytest.raises(GuildNotFormedError):
            await world.form(members=3)

        assert searches(world) == 0


async def test_a_search_that_fails_does_not_keep_the_guild_from_forming(
    autojump_clock,
):
    async with open_guild_world(apart=("c",)) as world:
        async with trio.open_nursery() as nursery:

            async def come_late():
                await trio.sleep(SEARCH_AFTER_S + 1)
                await world.connect("a", "c")

            nursery.start_soon(come_late)
            formed = await world.guilds["a"].create(
                wanted=(*WANTED, "no\tname"), members=2
            )

        assert formed.find(id_of("c")) is not None
        assert world.guilds["a"].stats()["guild.searches.failed"] == 1


async def test_a_search_among_the_frozen_ends(autojump_clock):
    offers = {"a": {}} | {f"m{n}": {"capabilities": ("wasm",)} for n in range(3)}
    async with open_guild_world(offers) as world:
        for name in list(offers)[1:]:
            world.host(name).freeze()
        began_s = trio.current_time()
        with pytest.raises(GuildNotFormedError, match="0 of 1"):
            await world.guilds["a"].create(wanted=WANTED, members=1, timeout_s=8)

        assert trio.current_time() - began_s < 8 + SEARCH_TIMEOUT_S
