"""guild.messaging: sealed messages to one and to all, also while keys change."""

import pytest
import trio
from opentelemetry import baggage
from opentelemetry.context import attach, detach

from guild_world import OFFERS, id_of, open_guild_world, refused, sealed_by, send
from zerostate.errors import (
    GuildError,
    GuildNotFoundError,
    GuildRoleError,
    NotAMemberError,
    PeerLostError,
    RequestTimeoutError,
)
from zerostate.evidence.identity import Identity
from zerostate.guild.parts import topic_of
from zerostate.telemetry import TraceCarrier
from zerostate.testing import assert_trace

OBSERVED = OFFERS | {"o": {"observes": True}}


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
