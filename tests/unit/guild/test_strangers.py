"""guild.service: whoever knows a guild's topic is not one of its members."""

from contextlib import AsyncExitStack

import trio

from zerostate.errors import NotAMemberError
from zerostate.guild import GuildConfig, GuildTracer, open_guilds
from zerostate.guild.service import topic_of
from zerostate.testing import FakeClock, SpanRecorder
from zerostate.testing.peers import open_memory_peers

CAPABILITIES = ((), ("wasm",))


async def test_a_strangers_message_to_the_guild_is_refused(autojump_clock):
    clock = FakeClock()
    recorder = SpanRecorder()
    authors = []

    async def handler(guild_id, message):
        authors.append(message.author)

    async with (
        open_memory_peers(3, clock=clock, recorder=recorder) as peers,
        AsyncExitStack() as stack,
    ):
        creator, member, stranger = peers
        guilds = [
            await stack.enter_async_context(
                open_guilds(
                    peer.node,
                    GuildConfig(capabilities=capabilities),
                    tracer=GuildTracer(recorder.provider),
                    clock=clock,
                )
            )
            for peer, capabilities in zip(peers, CAPABILITIES, strict=False)
        ]
        guilds[1].on_message("task_request", handler)
        formed = await guilds[0].create(wanted=("wasm",), members=1)
        topic = topic_of(formed.guild_id)

        for sender in (stranger, creator):
            await sender.node.publish(topic, "task_request", b"", to=member.peer_id)
        await trio.testing.wait_all_tasks_blocked()

        assert authors == [creator.peer_id]
        assert member.node.stats()["handler.refused.not_a_member"] == 1
    refused = [
        span
        for span in recorder.spans
        if span.attributes.get("error.type") == NotAMemberError.code
    ]
    assert "guild.receive_message" in {span.name for span in refused}
