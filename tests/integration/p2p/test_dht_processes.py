"""The distributed hash table between real processes, some of which freeze or die."""

import json
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.logs import quiet_libp2p_logs

SCRIPT = Path(__file__).with_name("peer_process.py")
START_TIMEOUT_S = 30
BOB, CAROL = (Identity(bytes([n]) * 32) for n in (22, 23))


@asynccontextmanager
async def peer_process(identity, *addresses):
    """Run a peer; yields the process and the peer's address."""
    command = [sys.executable, str(SCRIPT), identity.seed.hex(), identity.peer_id]
    process = await trio.lowlevel.open_process([*command, *addresses], stdout=-1)
    try:
        said = b""
        with trio.fail_after(START_TIMEOUT_S):
            while not said.endswith(b"\n"):
                said += await process.stdout.receive_some()
        yield process, json.loads(said)["address"]
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


@pytest.fixture
async def me():
    """This process as a peer."""
    quiet_libp2p_logs()
    async with open_peer_node(
        P2PConfig(),
        Identity(b"\x15" * 32),
        tracer=P2PTracer(),
        clock=SystemClock(),
    ) as node:
        yield node


async def put_until_held(node, peers):
    """Store a record until so many hold it: the others must have met first."""
    with trio.fail_after(10):
        while (await node.dht.put("status", b"up")).peers < peers:  # noqa: ASYNC110  # other processes have no event for it
            await trio.sleep(0.2)


async def test_a_frozen_and_a_killed_holder_hold_up_nobody(me):
    async with (
        peer_process(BOB) as (bob, address),
        peer_process(CAROL, address) as (carol, _),
    ):
        await me.connect(address)
        await put_until_held(me, 2)
        assert CAROL.peer_id in me.connected()

        carol.send_signal(signal.SIGSTOP)
        with trio.fail_after(8):
            while_frozen = await me.dht.get(me.peer_id, "status")
            stored = await me.dht.put("status", b"down")
        assert (while_frozen.value, stored.peers) == (b"up", 1)

        carol.send_signal(signal.SIGCONT)
        await put_until_held(me, 2)

        bob.kill()
        await me.wait_lost(BOB.peer_id)
        with trio.fail_after(8):
            assert (await me.dht.get(me.peer_id, "status")).value == b"up"
            assert (await me.dht.put("status", b"alone with one")).peers == 1


async def test_a_peer_is_found_through_one_that_knows_it(me):
    async with (
        peer_process(BOB) as (_, address),
        peer_process(CAROL, address) as (_, carol_address),
    ):
        await me.connect(address)
        with trio.fail_after(10):
            while not (found := await me.dht.find_peer(CAROL.peer_id)):  # noqa: ASYNC110  # as above
                await trio.sleep(0.2)

        assert carol_address in found
        assert CAROL.peer_id not in me.connected()
