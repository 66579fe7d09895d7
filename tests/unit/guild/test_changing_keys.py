"""guild.messaging while members come and go: which key opens what, and who has it."""

import pytest
import trio

from guild_world import (
    OFFERS,
    guild_at,
    id_of,
    open_guild_world,
    refused,
    sealed_by,
    send,
)
from zerostate.errors import UnknownEpochError
from zerostate.guild.keys import GRACE_S, EpochKey, KeyRing
from zerostate.guild.parts import topic_of
from zerostate.guild.sealing import open_body
from zerostate.p2p.message import open_message


async def test_a_message_under_the_last_key_is_read_for_a_moment_then_refused(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        in_flight, late = (sealed_by(world, "a", guild_id) for _ in range(2))
        await world.guilds["c"].leave(guild_id)
        await trio.testing.wait_all_tasks_blocked()
        publish = world.peers["a"].publish
        await publish(topic_of(guild_id), "task_request", in_flight)
        await trio.sleep(GRACE_S + 1)
        await publish(topic_of(guild_id), "task_request", late)
        await trio.testing.wait_all_tasks_blocked()

        assert [m.body for m in world.received["b"]] == [b"under this key"]
        assert refused(world, "b") == {"old_epoch": 1}
        failed = world.spans("guild.receive_message", error_type="old_epoch")
        assert len(failed) == 1


async def test_a_message_that_overtakes_its_key_waits_for_it(autojump_clock):
    async with open_guild_world(apart=("c",)) as world:
        guild_id = await world.form(members=1, max_members=3)
        # The update of the next change is lost to "b", the message after it is not.
        world.lose_gossip("b")
        await world.let_in("c", guild_id)
        world.lose_nothing()
        assert world.view("b", guild_id).epoch == 2

        assert await send(world, guild_id, confirm_after_s=0.1) == [b"work"]
        assert world.view("b", guild_id).epoch == 3
        assert world.guilds["b"].stats()["guild.catch_ups"] == 1
        (beat,) = world.spans("guild.heartbeat")
        assert beat.parent is None


async def test_a_lost_join_is_filled_by_the_next_heartbeat(autojump_clock):
    async with open_guild_world(apart=("c",)) as world:
        guild_id = await world.form(members=1, max_members=3)
        world.lose_gossip()
        await world.let_in("c", guild_id)
        await trio.sleep(1)
        assert world.views(guild_id, "ab") == {
            "a": (3, 3, "open"),
            "b": (2, 2, "open"),
        }
        await trio.sleep(30)

        assert world.views(guild_id, "ab") == dict.fromkeys("ab", (3, 3, "open"))


async def leave(world, guild_id):
    await world.guilds["c"].leave(guild_id)


async def evict(world, guild_id):
    founder = world.guilds["a"]._founder
    founder._evict(guild_at(world, "a", guild_id), id_of("c"))


@pytest.mark.parametrize("go", [leave, evict])
async def test_who_has_gone_reads_nothing_though_gossip_lost_the_news(
    go, autojump_clock
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        guild = guild_at(world, "c", guild_id)
        kept = EpochKey(guild.epoch, bytearray(guild.ring.current._secret))
        world.lose_gossip()
        await go(world, guild_id)
        await trio.sleep(1)
        world.lose_nothing()
        sent = await world.guilds["b"].broadcast(guild_id, "task_request", b"secret")

        ring = KeyRing()
        ring.add(kept, now_ns=0)
        message = open_message(sent.envelope)
        with pytest.raises(UnknownEpochError):
            open_body(
                ring,
                message.body,
                guild_id=guild_id,
                author=id_of("b"),
                message_type="task_request",
                now_ns=0,
            )
        assert world.views(guild_id, "ab") == dict.fromkeys("ab", (4, 4, "open"))
        assert "guild.updates.unconfirmed" not in world.guilds["a"].stats()


async def test_a_confirmation_that_fails_is_asked_for_again(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.lose_gossip()
        world.host("b").freeze()
        await world.guilds["c"].leave(guild_id)
        # Too short to be missed, too long for a stream to open.
        await trio.sleep(3.2)
        world.host("b").thaw()
        await trio.sleep(1.5)

        assert world.views(guild_id, "ab") == dict.fromkeys("ab", (4, 4, "open"))
        unreached = "peer_unreachable"
        failed = world.spans("p2p.message.guild_update", error_type=unreached)
        assert len(failed) == 1
        assert "guild.updates.unconfirmed" not in world.guilds["a"].stats()


async def test_who_cannot_be_told_of_a_leave_is_counted(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        await world.host("b").disconnect(id_of("a"))
        world.lose_gossip()
        await world.guilds["c"].leave(guild_id)
        await trio.sleep(5)

        assert world.guilds["a"].stats()["guild.updates.unconfirmed"] == 1


async def test_who_left_cannot_read_on_and_who_comes_cannot_read_back(autojump_clock):
    async with open_guild_world(apart=("c",)) as world:
        guild_id = await world.form(members=1, max_members=3)
        earlier = sealed_by(world, "a", guild_id)
        ring_of_b = guild_at(world, "b", guild_id).ring
        await world.let_in("c", guild_id)
        await world.peers["a"].publish(topic_of(guild_id), "task_request", earlier)
        await trio.testing.wait_all_tasks_blocked()
        assert [m.body for m in world.received["b"]] == [b"under this key"]
        assert world.received["c"] == []
        assert refused(world, "c") == {"old_epoch": 1}

        await world.guilds["b"].leave(guild_id)
        await trio.testing.wait_all_tasks_blocked()
        epochs = {world.view(name, guild_id).epoch for name in "ac"}
        assert epochs == {4}
        assert repr(ring_of_b) == "KeyRing(epoch=None, retired=[])"


async def test_nothing_is_lost_while_members_come_and_go_and_gossip_is_lost(
    autojump_clock,
):
    offers = OFFERS | {f"w{n}": {"capabilities": ("witness",)} for n in range(4)}
    async with open_guild_world(offers) as world:
        guild_id = await world.form()
        drops = iter(range(10**6))
        world.network.loses = lambda *_: next(drops) % 3 == 0
        bodies = []
        confirmed = {}

        async def handler(_guild_id, message):
            bodies.append(message.body)
            confirmed[message.body].set()

        world.guilds["b"].on_message("task_request", handler)

        async def send_all():
            for number in range(20):
                body = b"%d" % number
                confirmed[body] = trio.Event()
                await world.guilds["a"].send_message(
                    guild_id,
                    id_of("b"),
                    "task_request",
                    body,
                    confirmed=confirmed[body],
                )
                await trio.sleep(0.3)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all)
            for name in list(offers)[3:]:
                await trio.sleep(1.1)
                await world.guilds[name].leave(guild_id)

        assert bodies == [b"%d" % number for number in range(20)]
        assert refused(world, "b") == {}


@pytest.mark.parametrize("to", ["b", None])
async def test_a_new_member_is_heard_by_who_missed_its_joining(to, autojump_clock):
    async with open_guild_world(apart=("c",)) as world:
        guild_id = await world.form(members=1, max_members=3)
        world.lose_gossip("b")
        await world.let_in("c", guild_id)
        assert world.views(guild_id) == {
            "a": (3, 3, "open"),
            "b": (2, 2, "open"),
            "c": (3, 3, "open"),
        }
        world.lose_nothing()
        said = sealed_by(world, "c", guild_id)
        await world.peers["c"].publish(
            topic_of(guild_id), "task_request", said, to=to and id_of(to)
        )
        await trio.sleep(1)

        assert [m.body for m in world.received["b"]] == [b"under this key"]
        assert refused(world, "b") == {}
        assert world.guilds["b"].stats()["guild.catch_ups"] == 1
