"""A relay in a process of its own, between two peers that nobody can dial."""

import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from zerostate.clock import SystemClock
from zerostate.errors import PeerLostError
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.logs import quiet_libp2p_logs
from zerostate.testing import SpanRecorder

SCRIPT = Path(__file__).with_name("relay_process.py")
START_TIMEOUT_S = 30
ALICE, BOB, RELAY = (Identity(bytes([n]) * 32) for n in (21, 22, 23))


@asynccontextmanager
async def relay_process():
    """Run the relay; yields the process and its address."""
    command = [sys.executable, str(SCRIPT), RELAY.seed.hex()]
    process = await trio.lowlevel.open_process(command, stdout=-1)
    try:
        said = b""
        with trio.fail_after(START_TIMEOUT_S):
            while not said.endswith(b"\n"):
                said += await process.stdout.receive_some()
        yield process, said.decode().strip()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


@asynccontextmanager
async def open_silent_peers(relay_address):
    """Run Alice and Bob; they listen nowhere, and Bob has a place at the relay."""
    quiet_libp2p_logs()
    async with AsyncExitStack() as stack:
        nodes = []
        for identity, relays in ((ALICE, ()), (BOB, (relay_address,))):
            recorder = SpanRecorder()
            node = await stack.enter_async_context(
                open_peer_node(
                    P2PConfig(
                        listen=(),
                        relays=relays,
                        known=frozenset({ALICE.peer_id, BOB.peer_id}),
                    ),
                    identity,
                    tracer=P2PTracer(recorder.provider),
                    clock=SystemClock(),
                )
            )
            nodes.append((node, recorder))
        with trio.fail_after(10):
            while not nodes[1][0].addresses:  # noqa: ASYNC110  # what is looked at has no event
                await trio.sleep(0.01)
        yield nodes


async def test_two_peers_nobody_can_dial_talk_until_the_relay_is_killed():
    async with (
        relay_process() as (process, relay_address),
        open_silent_peers(relay_address) as [(alice, of_alice), (bob, of_bob)],
    ):
        assert [address.count("/p2p-circuit/") for address in bob.addresses] == [1]

        async def echo(message):
            return message.body

        async def never(message):
            await trio.sleep_forever()

        bob.handle("guild_join", echo)
        bob.handle("task_accept", never)
        await alice.connect(bob.addresses[0])
        assert alice.path(BOB.peer_id).relay == RELAY.peer_id
        body = bytes(range(256)) * 4000
        with trio.fail_after(20):
            assert await alice.request(BOB.peer_id, "guild_join", body) == body
        assert bob.path(ALICE.peer_id).relay == RELAY.peer_id
        client = of_alice.named("p2p.message.guild_join")
        server = of_bob.named("p2p.message.guild_join")
        assert server.parent.span_id == client.context.span_id

        async with trio.open_nursery() as nursery:

            async def ask():
                with pytest.raises(PeerLostError):
                    await alice.request(BOB.peer_id, "task_accept", b"")

            nursery.start_soon(ask)
            await trio.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            with trio.fail_after(5):
                for node, others in (
                    (alice, (BOB.peer_id, RELAY.peer_id)),
                    (bob, (ALICE.peer_id, RELAY.peer_id)),
                ):
                    for other in others:
                        await node.wait_lost(other)

        assert alice.connected() == bob.connected() == frozenset()
        for recorder in (of_alice, of_bob):
            ends = [s for s in recorder.spans if s.name == "p2p.connection.close"]
            reasons = [s.attributes["connection.close_reason"] for s in ends]
            assert reasons == ["remote", "remote"]
