"""Real peers in real processes, over loopback."""

import json
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from zerostate.clock import SystemClock
from zerostate.errors import PeerLostError, PeerUnreachableError, PortInUseError
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.logs import quiet_libp2p_logs
from zerostate.testing import SpanRecorder

SCRIPT = Path(__file__).with_name("peer_process.py")
TOPIC = "zerostate/test/1"
START_TIMEOUT_S = 30
ME, BOB, CAROL = (Identity(bytes([n]) * 32) for n in (11, 12, 13))
KNOWN = frozenset(identity.peer_id for identity in (ME, BOB, CAROL))


class PeerProcess:
    def __init__(self, process):
        self.process = process
        self._unread = b""

    async def line(self):
        """Return the next thing that it says."""
        while b"\n" not in self._unread:
            part = await self.process.stdout.receive_some()
            assert part, "the process has ended"
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)


@asynccontextmanager
async def peer_process(identity, *addresses):
    """Run a peer; yields it with its address."""
    command = [sys.executable, str(SCRIPT), identity.seed.hex(), ",".join(KNOWN)]
    process = await trio.lowlevel.open_process([*command, *addresses], stdout=-1)
    try:
        peer = PeerProcess(process)
        with trio.fail_after(START_TIMEOUT_S):
            address = (await peer.line())["address"]
        yield peer, address
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


@pytest.fixture
async def me():
    """This process as a peer, with its spans."""
    quiet_libp2p_logs()
    recorder = SpanRecorder()
    async with open_peer_node(
        P2PConfig(known=KNOWN),
        ME,
        tracer=P2PTracer(recorder.provider),
        clock=SystemClock(),
    ) as node:
        yield node, recorder


def hex_ids(span):
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


async def test_a_request_to_another_process_joins_its_trace(me):
    node, recorder = me
    async with peer_process(BOB) as (_, address):
        assert await node.connect(address) == BOB.peer_id

        reply = json.loads(await node.request(BOB.peer_id, "guild_join", b""))

        client = recorder.named("p2p.message.guild_join")
        assert (reply["trace_id"], reply["parent_id"]) == hex_ids(client)
        connection = recorder.named("p2p.connection.establish")
        assert connection.attributes == {
            "peer.id": BOB.peer_id,
            "network.transport": "tcp",
            "network.peer.address": "127.0.0.1",
        }


async def test_gossip_over_two_hops_and_three_processes_is_one_trace(me):
    node, recorder = me
    await node.subscribe(TOPIC)
    async with (
        peer_process(BOB) as (bob, address),
        peer_process(CAROL, address) as (carol, _),
    ):
        await node.connect(address)
        published = await node.publish(TOPIC, "guild_announce", b"come")

        assert published.peers == 1
        trace_id, _ = hex_ids(recorder.named("p2p.gossip.publish"))
        with trio.fail_after(10):
            for peer in (bob, carol):
                heard = await peer.line()
                assert (heard["heard"], heard["author"]) == ("come", ME.peer_id)
                assert heard["trace_id"] == trace_id


async def test_a_killed_process_is_noticed_and_may_come_back(me):
    node, _ = me
    async with peer_process(BOB) as (bob, address):
        await node.connect(address)
        await node.request(BOB.peer_id, "guild_join", b"")
        bob.process.kill()

        with trio.fail_after(2):
            await node.wait_lost(BOB.peer_id)

        with pytest.raises(PeerUnreachableError, match="not connected"):
            await node.request(BOB.peer_id, "guild_join", b"")
        with pytest.raises(PeerUnreachableError, match="cannot reach"):
            await node.connect(address)
    async with peer_process(BOB) as (_, address):
        await node.connect(address)
        assert await node.request(BOB.peer_id, "guild_join", b"")


async def test_a_frozen_process_is_noticed_within_five_seconds(me):
    node, _ = me
    async with peer_process(BOB) as (bob, address):
        await node.connect(address)
        await node.request(BOB.peer_id, "guild_join", b"")
        bob.process.send_signal(signal.SIGSTOP)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.wait_lost, BOB.peer_id)
                with pytest.raises(PeerLostError):
                    await node.request(BOB.peer_id, "guild_join", b"")

        assert node.connected() == frozenset()
        bob.process.send_signal(signal.SIGCONT)
        await node.connect(address)
        assert await node.request(BOB.peer_id, "guild_join", b"")


async def test_a_large_message_passes_and_a_taken_port_is_refused(me):
    node, _ = me
    port = node.addresses[0].split("/")[4]
    with pytest.raises(PortInUseError, match=f"tcp/{port}"):
        async with open_peer_node(
            P2PConfig(listen=(f"/ip4/127.0.0.1/tcp/{port}",)),
            CAROL,
            tracer=P2PTracer(),
            clock=SystemClock(),
        ):
            pytest.fail("two peers on one port")
    async with open_peer_node(
        P2PConfig(), BOB, tracer=P2PTracer(), clock=SystemClock()
    ) as other:

        async def reverse(message):
            return message.body[::-1]

        other.handle("task_result", reverse)
        await node.connect(other.addresses[0])
        body = bytes(range(256)) * (15 << 12)

        assert await node.request(BOB.peer_id, "task_result", body) == body[::-1]
