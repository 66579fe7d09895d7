"""What strangers, forgers and the greedy try with a guild, and that it is refused."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
import trio

from guild_world import OFFERS, WANTED, id_of, identity_of, open_guild_world
from zerostate.errors import (
    GuildNotFormedError,
    NotAMemberError,
    RemoteError,
    ZeroStateError,
)
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.joining import IDLE_S
from zerostate.guild.keys import new_epoch_key, new_member_key, wrap_key
from zerostate.guild.liveness import MAX_ANSWER_BYTES
from zerostate.guild.parts import topic_of
from zerostate.guild.requests import JoinRequest, sign_join, sign_leave
from zerostate.guild.transitions import open_transition, sign_transition

WITH_STRANGER = OFFERS | {"s": {}}


def refused(world, name):
    return {
        what.removeprefix("guild.refused."): n
        for what, n in world.guilds[name].stats().items()
        if what.startswith("guild.refused.")
    }


def book_of(world, name):
    return world.guilds[name]._parts.book


async def publish(world, name, guild_id, message_type, body, **options):
    topic = topic_of(guild_id)
    await world.peers[name].publish(topic, message_type, body, **options)
    await trio.testing.wait_all_tasks_blocked()


def join_request(world, name, guild_id, **fields):
    """A request to join, signed by `name`, with a fresh key."""
    request = JoinRequest(
        guild_id=guild_id,
        creator=id_of("a"),
        public_key=new_member_key().public,
        capabilities=("wasm",),
        at_unix_ns=world.clock.wall_ns(),
    )
    signed = sign_join(identity_of(name), replace(request, **fields))
    return pb.Join(guild_id=guild_id, request=signed).SerializeToString()


async def test_a_strangers_message_to_the_guild_is_refused(autojump_clock):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form()
        await publish(world, "s", guild_id, "task_request", b"", to=id_of("b"))

        assert world.received["b"] == []
        assert refused(world, "b") == {"not_a_member": 1}
        failed = world.spans("guild.receive_message", error_type=NotAMemberError.code)
        assert len(failed) == 1


async def test_what_is_not_sealed_for_the_guild_is_refused(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        await publish(world, "a", guild_id, "task_request", b"in the clear")
        sealed_for_all = b"\x01" + (3).to_bytes(8) + bytes(60)
        await publish(world, "a", guild_id, "task_request", sealed_for_all)

        assert world.received["b"] == []
        assert refused(world, "b") == {
            "guild_key": 2,
            "guild_key.malformed": 1,
            "guild_key.authentication": 1,
        }


async def test_an_invented_epoch_costs_one_question_a_second(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        invented = b"\x01" + (2**40).to_bytes(8) + bytes(60)
        for _ in range(10):
            await publish(world, "c", guild_id, "task_request", invented)
        await trio.sleep(0.9)

        assert refused(world, "b") == {"unknown_epoch": 10}
        assert world.guilds["b"].stats()["guild.catch_ups"] == 1


async def test_only_its_creator_changes_or_dissolves_a_guild(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        log = book_of(world, "c").find(guild_id).log
        draft = log.draft("dissolve", at_unix_ns=world.clock.wall_ns())
        forged = pb.Update(log=[sign_transition(identity_of("c"), draft)])
        await publish(
            world, "c", guild_id, "guild_dissolve", forged.SerializeToString()
        )

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}
        for name in "ab":
            assert refused(world, name) == {"guild_log": 1, "guild_log.signer": 1}


@pytest.mark.parametrize("reason", ["fork", "chain"])
async def test_a_creator_that_tells_two_stories_loses_its_members(
    reason, autojump_clock
):
    async with open_guild_world() as world:
        guild_id = await world.form()
        held = book_of(world, "a").find(guild_id).log.since(2)[0]
        other = replace(open_transition(held).transition, at_unix_ns=2**62)
        if reason == "chain":
            next_one = {"kind": "evict", "version": 4, "epoch": 4, "evidence": b""}
            other = replace(other, **next_one, member=None)
        forked = pb.Update(log=[sign_transition(identity_of("a"), other)])
        await publish(world, "a", guild_id, "guild_update", forked.SerializeToString())

        for name in "bc":
            assert refused(world, name) == {"guild_log": 1, f"guild_log.{reason}": 1}
            assert world.view(name, guild_id).end_reason == "forked"
            assert world.guilds[name].stats()["guild.ended.forked"] == 1
            assert topic_of(guild_id) not in world.host(name).topics
        assert len(world.spans("guild.leave", leave_reason="forked")) == 2


async def test_a_story_that_another_signed_ends_no_guild(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        held = book_of(world, "a").find(guild_id).log.since(2)[0]
        forged = sign_transition(identity_of("c"), open_transition(held).transition)
        update = pb.Update(log=[forged])
        await publish(world, "a", guild_id, "guild_update", update.SerializeToString())

        assert refused(world, "b") == {"guild_log": 1, "guild_log.signer": 1}
        assert set(world.views(guild_id).values()) == {(3, 3, "open")}


async def test_a_replayed_update_changes_nothing(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        guild = book_of(world, "a").find(guild_id)
        entries = guild.log.since(0)
        old = wrap_key(
            new_epoch_key(2),
            guild_id=guild_id,
            to=id_of("b"),
            member_public=guild.membership.find(id_of("b")).public_key,
        )
        update = pb.Update(
            log=entries, keys=[pb.WrappedKey(peer_id=id_of("b"), wrapped_key=old)]
        )
        await publish(world, "a", guild_id, "guild_update", update.SerializeToString())

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}
        assert refused(world, "b") == {}


@pytest.mark.parametrize("message_type", ["guild_update", "guild_join", "guild_leave"])
async def test_garbage_is_refused_and_the_node_stays_up(message_type, autojump_clock):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form()
        if message_type == "guild_update":
            await publish(world, "a", guild_id, message_type, b"\xff\xff")
            assert refused(world, "b") == {"guild": 1}
        else:
            with pytest.raises(RemoteError, match="not a"):
                await world.peers["s"].request(id_of("a"), message_type, b"\xff\xff")
            assert refused(world, "a") == {"guild": 1}
        assert set(world.views(guild_id, "abc").values()) == {(3, 3, "open")}


async def test_a_request_to_join_serves_only_who_signed_it_and_once(autojump_clock):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form(max_members=6)
        ask = world.peers["s"].request
        borrowed = join_request(world, "b", guild_id)
        with pytest.raises(RemoteError, match="another peer's"):
            await ask(id_of("a"), "guild_join", borrowed)
        stale = join_request(
            world, "s", guild_id, at_unix_ns=world.clock.wall_ns() - 200 * 10**9
        )
        with pytest.raises(RemoteError, match="200 s"):
            await ask(id_of("a"), "guild_join", stale)
        useless = join_request(world, "s", guild_id, capabilities=("gpu",))
        with pytest.raises(RemoteError, match="wants one of"):
            await ask(id_of("a"), "guild_join", useless)
        assert world.view("a", guild_id).version == 3

        good = join_request(world, "s", guild_id)
        first = await ask(id_of("a"), "guild_join", good)
        again = await ask(id_of("a"), "guild_join", good)
        assert pb.Joined.FromString(first).log == pb.Joined.FromString(again).log
        assert world.view("a", guild_id).version == 4


async def test_heartbeats_and_leaves_of_strangers_are_refused(autojump_clock):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form()
        for message_type, body in (
            ("guild_heartbeat", pb.Heartbeat(guild_id=guild_id)),
            ("guild_leave", pb.Leave(guild_id=guild_id)),
        ):
            with pytest.raises(RemoteError, match="is not in"):
                await world.peers["s"].request(
                    id_of("a"), message_type, body.SerializeToString()
                )
        assert refused(world, "a") == {"not_a_member": 2}


async def test_ten_thousand_joins_of_one_peer_cost_little_and_the_guild_lives(
    autojump_clock,
):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form(max_members=6)
        parts = world.guilds["a"]._parts
        kept = []

        async def keep(message):
            kept.append(message)
            return b""

        # Below the network, which refuses most of them before they come so far.
        world.peers["a"].handle("guild_join", keep)
        body = join_request(world, "s", guild_id)
        await world.peers["s"].request(id_of("a"), "guild_join", body)
        handler = parts.counted(world.guilds["a"]._founder._on_join)
        world.peers["a"].handle("guild_join", handler)
        codes = Counter()
        for _ in range(10_000):
            try:
                await handler(kept[0])
            except ZeroStateError as exc:
                codes[exc.code] += 1
            else:
                codes["answered"] += 1

        assert codes == {"answered": 5, "overloaded": 10_000 - 5}
        assert refused(world, "a")["overloaded"] == codes["overloaded"]
        assert len(parts.book) == 1
        assert world.view("a", guild_id).version == 4
        # Nobody else is kept from joining.
        assert (await world.guilds["a"].create(wanted=WANTED, members=2)).version == 3


async def test_a_member_cannot_have_the_keys_changed_for_ever(autojump_clock):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form(max_members=6)
        codes = Counter()
        for _ in range(50):
            body = join_request(world, "s", guild_id)
            try:
                await world.peers["s"].request(id_of("a"), "guild_join", body)
            except RemoteError as exc:
                codes[exc.remote_code] += 1

        assert codes["overloaded"] >= 40
        assert set(codes) == {"overloaded"}
        assert world.view("a", guild_id).version <= 4 + 2 * 6
        assert world.view("b", guild_id).epoch == world.view("a", guild_id).epoch


async def test_nobody_hands_in_anothers_request_to_leave(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        log = book_of(world, "b").find(guild_id).log
        signed_by_b = sign_leave(
            identity_of("b"), guild_id=guild_id, join_sha256=log.join_sha256(id_of("b"))
        )
        body = pb.Leave(guild_id=guild_id, request=signed_by_b).SerializeToString()
        with pytest.raises(RemoteError, match="another peer's"):
            await world.peers["c"].request(id_of("a"), "guild_leave", body)

        assert set(world.views(guild_id).values()) == {(3, 3, "open")}
        heard = book_of(world, "a").find(guild_id).heard_ns
        assert heard.keys() == {id_of("b"), id_of("c")}


async def test_a_stranger_that_invents_an_epoch_stays_one(autojump_clock):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form()
        invented = b"\x01" + (2**40).to_bytes(8) + bytes(60)
        for _ in range(10):
            await publish(world, "s", guild_id, "task_request", invented)
        await trio.sleep(0.9)

        assert refused(world, "b") == {"not_a_member": 10}
        assert world.guilds["b"].stats()["guild.catch_ups"] == 1


async def test_one_peer_cannot_use_up_a_guilds_joins_by_coming_and_going(
    autojump_clock,
):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form(max_members=6)
        log = book_of(world, "a").find(guild_id).log
        ask, codes = world.peers["s"].request, Counter()
        for _ in range(20):
            try:
                body = join_request(world, "s", guild_id)
                await ask(id_of("a"), "guild_join", body)
            except RemoteError as exc:
                codes[exc.remote_code] += 1
                continue
            signed = sign_leave(
                identity_of("s"),
                guild_id=guild_id,
                join_sha256=log.join_sha256(id_of("s")),
            )
            body = pb.Leave(guild_id=guild_id, request=signed).SerializeToString()
            await ask(id_of("a"), "guild_leave", body)

        assert codes == {"overloaded": 15}
        assert log.version == 3 + 2 * 5


async def test_ten_thousand_leaves_of_one_member_cost_little(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        handler = world.guilds["a"]._founder._on_leave
        kept = []

        async def keep(message):
            kept.append(message)
            return b""

        world.peers["a"].handle("guild_leave", keep)
        body = pb.Leave(guild_id=guild_id, request=b"\xff").SerializeToString()
        await world.peers["c"].request(id_of("a"), "guild_leave", body)
        codes = Counter()
        for _ in range(10_000):
            try:
                await handler(kept[0])
            except ZeroStateError as exc:
                codes[exc.code] += 1

        assert codes == {"guild_log": 128, "overloaded": 10_000 - 128}


async def test_a_whole_log_is_not_sent_again_for_ever(autojump_clock):
    async with open_guild_world(WITH_STRANGER) as world:
        guild_id = await world.form(max_members=6)
        body = join_request(world, "s", guild_id)
        ask, answers = world.peers["s"].request, 0
        for _ in range(60):
            with suppress(RemoteError):
                await ask(id_of("a"), "guild_join", body)
                answers += 1
            await trio.sleep(1)

        assert answers == 1 + 4 + 5
        assert world.view("a", guild_id).version == 4


async def test_an_endless_answer_to_a_heartbeat_is_not_looked_into(autojump_clock):
    async with open_guild_world(heartbeat_interval_s=2) as world:
        guild_id = await world.form()
        known = book_of(world, "a").find(guild_id).log.since(0)[0]

        async def answer(_message):
            log = [known] * (MAX_ANSWER_BYTES // len(known) + 1)
            return pb.HeartbeatReply(log=log).SerializeToString()

        world.peers["a"].handle("guild_heartbeat", answer)
        await trio.sleep(2.5)

        stats = world.guilds["b"].stats()
        assert stats["guild.heartbeats.failed"] == 1
        assert "guild.heartbeats.answered" not in stats
        assert world.view("b", guild_id).state == "open"


GREEDY = {"a": {}, "s": {}, "t": {}, "b": {"capabilities": ("wasm",)}}
IN_A_MONTH_S = 29 * 86_400.0


async def fill(world, members=1):
    """Have two strangers take all four places that each of `members` has for guilds."""
    for name in ("s", "s", "t", "t"):
        await world.guilds[name].create(
            wanted=WANTED, members=members, ttl_s=IN_A_MONTH_S
        )
        await trio.testing.wait_all_tasks_blocked()


async def test_guilds_in_which_nothing_happens_keep_nobody_from_others(autojump_clock):
    async with open_guild_world(GREEDY, max_guilds=4) as world:
        await fill(world)
        await trio.sleep(IDLE_S)
        guild_id = await world.form(members=1)
        await trio.testing.wait_all_tasks_blocked()

        held = world.guilds["b"].list()
        assert guild_id in {view.guild_id for view in held}
        assert len([view for view in held if view.state == "open"]) == 4
        assert world.guilds["b"].stats()["guild.left_idle"] == 1


async def test_a_full_peer_makes_room_for_a_guild_of_its_own(autojump_clock):
    async with open_guild_world(GREEDY | {"c": OFFERS["b"]}, max_guilds=4) as world:
        await fill(world, members=2)
        await trio.sleep(IDLE_S)
        await world.guilds["b"].create(wanted=WANTED, members=1)

        assert world.guilds["b"].stats()["guild.left_idle"] >= 1


async def test_a_guild_is_not_left_for_another_while_it_is_worked_for(autojump_clock):
    async with open_guild_world(GREEDY, max_guilds=1) as world:
        formed = await world.guilds["s"].create(
            wanted=WANTED, members=1, ttl_s=IN_A_MONTH_S
        )
        await trio.testing.wait_all_tasks_blocked()
        with world.guilds["b"].at_work_for(formed.guild_id):
            await trio.sleep(IDLE_S)
            with pytest.raises(GuildNotFormedError):
                await world.form(members=1, timeout_s=5)
        with pytest.raises(GuildNotFormedError):
            await world.form(members=1, timeout_s=5)
        await trio.sleep(IDLE_S)
        await world.form(members=1)
