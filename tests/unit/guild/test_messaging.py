"""guild.messaging: sealed messages to one and to all, also while keys change."""

import pytest
import trio
from opentelemetry import baggage
from opentelemetry.context import attach, detach

from guild_world import OFFERS, id_of, open_guild_world
from zerostate.errors import (
    GuildError,
    GuildNotFoundError,
    GuildRoleError,
    NotAMemberError,
    PeerLostError,
    RequestTimeoutError,
)
from zerostate.evidence.identity import Identity
from zerostate.guild.keys import GRACE_S
from zerostate.guild.parts import topic_of
from zerostate.guild.sealing import seal_body
from zerostate.telemetry import TraceCarrier
from zerostate.testing import assert_trace

OBSERVED = OFFERS | {"o": {"observes": True}}


async def send(world, guild_id, *, confirm_after_s=None, to="b"):
    """Send from "a"; return the bodies that `to` acted on."""
    bodies = []
    confirmed = trio.Event()

    async def handler(_guild_id, message):
        bodies.append(message.body)
        if confirm_after_s is not None:
            await trio.sleep(confirm_after_s)
            confirmed.set()

    world.guilds[to].on_message("task_request", handler)
    await world.guilds["a"].send_message(
        guild_id, id_of(to), "task_request", b"work", confirmed=confirmed
    )
    return bodies


def guild_at(world, name, guild_id):
    return world.guilds[name]._parts.book.find(guild_id)


def sealed_by(world, name, guild_id, key=None):
    """What a member would have said under `key`, or under its newest."""
    return seal_body(
        key or guild_at(world, name, guild_id).ring.current,
        guild_id=guild_id,
        author=id_of(name),
        message_type="task_request",
        body=b"under this key",
        carrier=TraceCarrier(),
    )


def refused(world, name):
    return {
        what.removeprefix("guild.refused."): n
        for what, n in world.guilds[name].stats().items()
        if what.startswith("guild.refused.")
    }


async def test_a_message_is_received_once_and_confirmed(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.recorder.clear()

        assert await send(world, guild_id, confirm_after_s=0.1) == [b"work"]
        await trio.testing.wait_all_tasks_blocked()
        span = world.recorder.named("guild.send_message")
        assert span.attributes["message.recipients"] == 1
        sent = span.context.trace_id
        assert_trace(
            [s for s in world.recorder.spans if s.context.trace_id == sent],
            """
            guild.send_message
              p2p.message.task_request
                p2p.gossip.publish PRODUCER
                  p2p.gossip.deliver CONSUMER
                    p2p.message.task_request
                      guild.receive_message
            """,
        )
        (overheard,) = [s for s in world.recorder.spans if s.links]
        assert overheard.name == "p2p.gossip.deliver"
        assert overheard.context.trace_id != sent


async def test_only_members_can_read_body_and_baggage(autojump_clock):
    async with open_guild_world(OFFERS | {"s": {}}) as world:
        guild_id = await world.form()
        await world.peers["s"].subscribe(topic_of(guild_id))
        overheard, seen = [], []

        async def overhear(message):
            overheard.append(message)

        async def handler(_guild_id, message):
            seen.append((message.body, message.carrier.baggage, baggage.get_all()))

        world.peers["s"].on_gossip("task_request", overhear)
        world.guilds["b"].on_message("task_request", handler)
        token = attach(baggage.set_baggage("tenant", "blue"))
        try:
            await world.guilds["a"].broadcast(guild_id, "task_request", b"secret")
        finally:
            detach(token)
        await trio.testing.wait_all_tasks_blocked()

        assert seen == [(b"secret", "tenant=blue", {"tenant": "blue"})]
        (message,) = overheard
        assert b"secret" not in message.body
        assert b"blue" not in message.body
        assert message.carrier.baggage == ""
        assert message.carrier.traceparent


async def test_the_handler_works_under_the_sealed_tracestate(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        carriers = []

        async def handler(_guild_id, message):
            carriers.append((message.carrier, TraceCarrier.inject()))

        world.guilds["b"].on_message("task_request", handler)
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        caller = TraceCarrier(f"00-{trace_id}-b7ad6b7169203331-01", "vendor=1")
        token = attach(caller.extract())
        try:
            await world.guilds["a"].broadcast(guild_id, "task_request", b"")
        finally:
            detach(token)
        await trio.testing.wait_all_tasks_blocked()

        ((received, inside),) = carriers
        assert received.trace_id == inside.trace_id == trace_id
        assert received.tracestate == inside.tracestate == "vendor=1"
        spans = world.spans("guild.receive_message")
        assert inside.traceparent[36:52] in {
            f"{span.context.span_id:016x}" for span in spans
        }


async def test_a_message_that_gossip_lost_is_sent_direct(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.lose_gossip()

        assert await send(world, guild_id, confirm_after_s=0.1) == [b"work"]


async def test_a_late_confirmation_does_not_make_the_receiver_act_twice(
    autojump_clock,
):
    async with open_guild_world() as world:
        guild_id = await world.form()

        assert await send(world, guild_id, confirm_after_s=3) == [b"work"]


async def test_a_message_that_is_never_confirmed_fails(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()

        with pytest.raises(RequestTimeoutError, match="did not confirm"):
            await send(world, guild_id)


async def test_a_member_that_goes_away_is_noticed_at_once(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        started = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def vanish():
                await trio.sleep(0.5)
                await world.host("b").vanish()

            nursery.start_soon(vanish)
            with pytest.raises(PeerLostError):
                await send(world, guild_id)

        assert trio.current_time() - started < 1


async def test_a_broadcast_reaches_all_other_members(autojump_clock):
    async with open_guild_world(OBSERVED) as world:
        guild_id = await world.form(max_members=4)
        published = await world.guilds["b"].broadcast(guild_id, "task_request", b"all")
        await trio.testing.wait_all_tasks_blocked()

        assert published.peers == 3
        for name in "aco":
            assert [m.body for m in world.received[name]] == [b"all"]
        assert world.received["b"] == []
        (span,) = world.spans("guild.send_message")
        assert span.attributes["message.recipients"] == 3
        assert "peer.id" not in span.attributes


async def test_roles_are_kept_by_who_sends(autojump_clock):
    async with open_guild_world(OBSERVED) as world:
        guild_id = await world.form(max_members=4)
        world.recorder.clear()

        with pytest.raises(GuildRoleError, match="no task for it"):
            await send(world, guild_id, to="o")
        with pytest.raises(GuildRoleError, match="says nothing"):
            await world.guilds["o"].broadcast(guild_id, "task_request", b"")
        with pytest.raises(NotAMemberError):
            await world.guilds["a"].send_message(
                guild_id,
                Identity.generate().peer_id,
                "task_request",
                b"",
                confirmed=trio.Event(),
            )
        assert not world.recorder.spans


async def test_roles_are_kept_by_who_receives(autojump_clock):
    async with open_guild_world(OBSERVED) as world:
        guild_id = await world.form(max_members=4)
        topic = topic_of(guild_id)
        said = sealed_by(world, "o", guild_id)
        await world.peers["o"].publish(topic, "task_request", said)
        asked = sealed_by(world, "a", guild_id)
        await world.peers["a"].publish(topic, "task_request", asked, to=id_of("o"))
        await trio.testing.wait_all_tasks_blocked()

        assert [world.received[name] for name in "abco"] == [[], [], [], []]
        assert refused(world, "b") == {"guild_role": 1}
        assert refused(world, "o") == {"guild_role": 1}


async def test_nothing_is_broadcast_to_nobody_or_from_outside(autojump_clock):
    async with open_guild_world(OFFERS | {"s": {}}) as world:
        guild_id = await world.form()

        with pytest.raises(GuildNotFoundError):
            await world.guilds["s"].broadcast(guild_id, "task_request", b"")
        for name in "bc":
            await world.guilds[name].leave(guild_id)
        with pytest.raises(GuildError, match="no other members"):
            await world.guilds["a"].broadcast(guild_id, "task_request", b"")


# While keys change


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
    async with open_guild_world() as world:
        guild_id = await world.form()
        held = []

        def hold(topic, _sender, receiver):
            if receiver == id_of("b") and not held and topic == topic_of(guild_id):
                held.append(topic)
                return True
            return False

        # The update of the next change is lost to "b", the message after it is not.
        world.network.loses = hold
        await world.guilds["c"].leave(guild_id)
        await trio.testing.wait_all_tasks_blocked()
        assert world.view("b", guild_id).epoch == 3

        assert await send(world, guild_id, confirm_after_s=0.1) == [b"work"]
        assert world.view("b", guild_id).epoch == 4
        assert world.guilds["b"].stats()["guild.catch_ups"] == 1
        (beat,) = world.spans("guild.heartbeat")
        assert beat.parent is None


async def test_a_lost_change_is_filled_by_the_next_heartbeat(autojump_clock):
    async with open_guild_world() as world:
        guild_id = await world.form()
        world.lose_gossip()
        await world.guilds["c"].leave(guild_id)
        await trio.sleep(1)
        assert world.views(guild_id, "ab") == {
            "a": (4, 4, "open"),
            "b": (3, 3, "open"),
        }
        await trio.sleep(30)

        assert world.views(guild_id, "ab") == dict.fromkeys("ab", (4, 4, "open"))


async def test_who_left_cannot_read_on_and_who_comes_cannot_read_back(autojump_clock):
    async with open_guild_world(apart=("c",)) as world:
        guild_id = await world.form(members=1, max_members=3)
        earlier = sealed_by(world, "a", guild_id)
        ring_of_b = guild_at(world, "b", guild_id).ring
        await world.connect("a", "c")
        founder = world.guilds["a"]._founder
        await founder._announce(guild_at(world, "a", guild_id), ("witness",))
        await trio.testing.wait_all_tasks_blocked()
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
        await world.connect("a", "b", "c")
        world.lose_gossip("b")
        founder = world.guilds["a"]._founder
        await founder._announce(guild_at(world, "a", guild_id), ("witness",))
        await trio.testing.wait_all_tasks_blocked()
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
