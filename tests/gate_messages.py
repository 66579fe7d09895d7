"""What messages emit beyond a task's: one sent again, one overheard of a counterpart."""

import pytest
import trio

from zerostate.errors import RemoteError
from zerostate.execution.examples import sha256_module
from zerostate.guild.parts import ANNOUNCE_TOPIC
from zerostate.semconv import attributes as attr

ATTEMPT_S = 0.5
"""Time of one of two attempts, in seconds."""


async def messages_scenario(world):
    await a_request_is_sent_again(world)
    await a_counterpart_is_overheard(world)


async def a_request_is_sent_again(world):
    requester, executor = (
        world.layers[name].peers for name in ("requester", "executor")
    )
    frozen = world.network.find(requester.peer_id)
    frozen.freeze()
    async with trio.open_nursery() as nursery:

        async def thaw_for_the_second():
            await trio.sleep(1.5 * ATTEMPT_S)
            frozen.thaw()

        nursery.start_soon(thaw_for_the_second)
        # Of no task that the requester knows.
        with pytest.raises(RemoteError, match="not_a_member"):
            await executor.request(
                requester.peer_id,
                "task_accept",
                b"",
                timeout_s=2 * ATTEMPT_S,
                attempts=2,
            )


async def a_counterpart_is_overheard(world):
    report = await world.run(sha256_module())
    assert report.payment is not None
    requester, executor = world.layers["requester"], world.layers["executor"]
    assert executor.peers.relations.is_counterpart(requester.peers.peer_id)
    await requester.peers.publish(
        ANNOUNCE_TOPIC,
        "guild_announce",
        b"for the member only",
        to=world.layers["member"].peers.peer_id,
    )
    with trio.fail_after(10):
        while not is_overheard(world.recorders["executor"].spans):  # noqa: ASYNC110  # what is looked at has no event
            await trio.sleep(0.01)


def is_overheard(spans):
    return any(
        link.attributes[attr.LINK_TRUST] == "counterpart"
        for span in spans
        for link in span.links
    )
