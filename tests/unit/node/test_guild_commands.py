"""node.guild_commands on a network in memory: what a node tells of its guilds."""

import json

import pytest
import trio

from guild_world import OFFERS, id_of, open_guild_world
from zerostate.errors import GuildNotFoundError, InvalidQueryError
from zerostate.node.guild_commands import GuildCommands


def commands(world, name):
    """Return a peer's methods, called with their parameters only."""
    methods = GuildCommands(world.guilds[name], id_of(name)).methods()

    async def progress(stage, text, data=None):
        """Nothing is told on the way."""

    def call(method, **params):
        return methods[f"guild_{method}"](params, progress)

    return call


async def test_every_side_tells_what_it_knows_as_json(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        ours, theirs = commands(world, "a"), commands(world, "b")

        (told,) = json.loads(json.dumps(await ours("list")))["guilds"]
        assert told == json.loads(json.dumps(await ours("show", guild_id=guild_id)))
        members = {member["peer_id"]: member for member in told["members"]}
        assert {peer_id: one["role"] for peer_id, one in members.items()} == {
            id_of("a"): "creator",
            id_of("b"): "executor",
            id_of("c"): "member",
        }
        assert members[id_of("b")]["price_per_gigafuel"] == 7
        assert (await theirs("show", guild_id=guild_id))["role"] == "executor"


async def test_a_guild_is_created_and_shown(autojump_clock):
    async with open_guild_world() as world:
        shown = await commands(world, "a")("create", wanted=["wasm"], ttl_s=60)

        assert shown["state"] == "open"
        assert [member["peer_id"] for member in shown["members"]] == [
            id_of("a"),
            id_of("b"),
        ]


async def test_a_guild_with_places_to_spare_takes_an_observer(autojump_clock):
    async with open_guild_world(OFFERS | {"o": {"observes": True}}) as world:
        call = commands(world, "a")
        shown = await call("create", wanted=["wasm"], members=1, max_members=3)
        await trio.testing.wait_all_tasks_blocked()

        assert shown["max_members"] == 3
        assert world.view("o", shown["guild_id"]).role == "observer"


async def test_a_member_leaves_and_a_creator_dissolves(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()

        assert await commands(world, "b")("leave", guild_id=guild_id) == {
            "guild_id": guild_id,
            "done": "left",
            "untold": None,
        }
        told = await commands(world, "a")("leave", guild_id=guild_id)
        assert (told["done"], told["untold"]) == ("dissolved", None)
        assert world.view("a", guild_id).end_reason == "dissolved"


async def test_who_leaves_while_nobody_can_be_told_has_left(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.host("a").freeze()
        told = await commands(world, "b")("leave", guild_id=guild_id)

        assert told["done"] == "left"
        assert told["untold"]
        assert world.view("b", guild_id).end_reason == "left"


async def test_a_guild_that_is_over_is_not_left_again(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        call = commands(world, "b")
        await call("leave", guild_id=guild_id)

        with pytest.raises(GuildNotFoundError, match="is over already: left"):
            await call("leave", guild_id=guild_id)
        assert (await call("show", guild_id=guild_id))["state"] == "ended"


@pytest.mark.parametrize("method", ["show", "leave"])
async def test_an_unknown_guild_is_named(autojump_clock, method):
    async with open_guild_world() as world:
        with pytest.raises(GuildNotFoundError, match="no guild guild-0"):
            await commands(world, "a")(method, guild_id="guild-" + "0" * 32)
        with pytest.raises(InvalidQueryError, match="guild_id: missing"):
            await commands(world, "a")(method)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "wanted: not a list"),
        ({"wanted": []}, "wanted: not a list"),
        ({"wanted": "wasm"}, "wanted: not a list"),
        ({"wanted": [1]}, "wanted: '1' is not a name"),
        ({"wanted": ["x"], "members": 0}, "members: 0 is not an integer from 1 on"),
        ({"wanted": ["x"], "max_members": 0}, "max_members: 0 is not an integer"),
        ({"wanted": ["x"], "max_members": 257}, "^max_members is 257; it is above"),
        ({"wanted": ["x"], "members": True}, "members: True is not an integer"),
        ({"wanted": ["x"], "members": 10**9}, "^members is 1000000000; a guild of"),
        (
            {"wanted": ["x"], "members": 50},
            "^members is 50; .* at most 50 members, the",
        ),
        ({"wanted": ["x"], "ttl_s": 0}, "ttl_s: 0 is not above 0"),
        ({"wanted": ["x"], "ttl_s": 10**9}, "ttl_s is 1000000000"),
        ({"wanted": ["x"], "timeout_s": 601}, "timeout_s: 601 is not above 0 and up"),
        ({"wanted": ["x"], "timeout_s": "1"}, "timeout_s: '1' is not a number"),
    ],
)
async def test_a_guild_that_cannot_be_is_not_created(autojump_clock, params, says):
    async with open_guild_world() as world:
        with pytest.raises(InvalidQueryError, match=says):
            await commands(world, "a")("create", **params)
        assert world.guilds["a"].list() == ()
