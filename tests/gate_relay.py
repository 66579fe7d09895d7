"""The registry gate's scenario of a relay, and of connections that end."""

from contextlib import AsyncExitStack

import trio

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.testing import SpanRecorder

RELAY, BEHIND, CALLER = (Identity(bytes([200 + n]) * 32) for n in range(3))
TIMEOUT_S = 15


async def relay_scenario(world):
    """One peer is reached through another, keeps its place, and bans in the end."""

    async def start(identity, **settings):
        recorder = world.recorders[identity.peer_id] = SpanRecorder()
        return await stack.enter_async_context(
            open_peer_node(
                P2PConfig(health_interval_s=0, **settings),
                identity,
                tracer=P2PTracer(recorder.provider),
                clock=SystemClock(),
                opener=world.network.opener(identity, listens=identity is RELAY),
            )
        )

    async with AsyncExitStack() as stack:
        relay = await start(RELAY, relay_service=True, relay_reservation_s=2.0)
        behind = await start(BEHIND, relays=relay.addresses)
        caller = await start(CALLER)
        with trio.fail_after(TIMEOUT_S):
            while not behind.addresses:  # noqa: ASYNC110  # what is looked at has no event
                await trio.sleep(0.01)
            await caller.connect(behind.addresses[0])
            while behind.stats()["relay.reservations.made"] < 2:  # noqa: ASYNC110  # as above
                await trio.sleep(0.01)
            behind.access.ban(CALLER.peer_id, 60, "the scenario ends")
            await caller.wait_lost(BEHIND.peer_id)
