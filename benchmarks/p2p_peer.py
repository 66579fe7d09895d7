"""One peer of `benchmarks/p2p.py`, as a process that is told what to do.

Reads one JSON object a line from stdin, ``{"do": …}``, and answers each with one on
stdout. Ends when stdin ends.
"""

import json
import logging
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import trio

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId
from zerostate.p2p import P2PConfig, P2PTracer, PeerNode, open_peer_node
from zerostate.telemetry import BatchConfig, TelemetryConfig, init_tracer
from zerostate.telemetry.trust import Treatment, TrustPolicy

REQUEST = "guild_heartbeat"
"""Any registered type does: the body is the benchmark's."""

GOSSIP = "guild_announce"
TOPIC = "bench/1"
ECHO_PROTOCOL = "/bench/echo/1"
LENGTH_BYTES = 4
EVERYBODYS_TRACE = TrustPolicy(known=Treatment.CONTINUE)
"""Continue as for a guild member: without the token bucket of known peers."""

Ask = Callable[[bytes], Awaitable[bytes]]


class Peer(Protocol):
    """What each contender can do."""

    addresses: tuple[str, ...]

    async def connect(self, address: str) -> None: ...

    async def disconnect(self, address: str) -> None: ...

    async def asker(self, address: str) -> Ask: ...


class Ours:
    """A `PeerNode` that echoes requests and notes how old gossip is."""

    def __init__(self, node: PeerNode) -> None:
        self.node = node
        self.addresses = node.addresses
        self.ages_ms: list[float] = []
        node.handle(REQUEST, self._echo)
        node.on_gossip(GOSSIP, self._note)

    async def _echo(self, message) -> bytes:
        return message.body

    async def _note(self, message) -> None:
        # CLOCK_MONOTONIC is one clock for all processes of a machine.
        sent_ns = int.from_bytes(message.body, "big")
        self.ages_ms.append((time.monotonic_ns() - sent_ns) / 1e6)

    async def connect(self, address: str) -> None:
        await self.node.connect(address)

    async def disconnect(self, address: str) -> None:
        await self.node.disconnect(_peer_of(address))

    async def asker(self, address: str) -> Ask:
        peer_id = _peer_of(address)
        return lambda body: self.node.request(peer_id, REQUEST, body)


class Bare:
    """py-libp2p alone: a length-framed echo on one long-lived stream."""

    def __init__(self, host) -> None:
        self.host = host
        self.addresses = tuple(str(address) for address in host.get_addrs())
        self._streams: dict[str, Any] = {}
        host.set_stream_handler(ECHO_PROTOCOL, self._echo)

    async def _echo(self, stream) -> None:
        from libp2p.exceptions import BaseLibp2pError

        try:
            while True:
                await _write_frame(stream, await _read_frame(stream))
        except (BaseLibp2pError, EOFError):
            return  # the other end has closed it

    async def connect(self, address: str) -> None:
        from libp2p.peer.peerinfo import info_from_p2p_addr
        from multiaddr import Multiaddr

        await self.host.connect(info_from_p2p_addr(Multiaddr(address)))

    async def disconnect(self, address: str) -> None:
        from libp2p.peer.id import ID

        await self.host.disconnect(ID.from_string(_peer_of(address)))

    async def asker(self, address: str) -> Ask:
        from libp2p.peer.id import ID

        stream = await self.host.new_stream(
            ID.from_string(_peer_of(address)), [ECHO_PROTOCOL]
        )
        writing, reading = trio.Lock(), trio.Lock()

        async def ask(body: bytes) -> bytes:
            async with writing:
                await _write_frame(stream, body)
            async with reading:
                # Echoes come in order, and all bodies of a round are alike.
                return await _read_frame(stream)

        return ask


async def _read_frame(stream) -> bytes:
    size = int.from_bytes(await _read_exactly(stream, LENGTH_BYTES), "big")
    return await _read_exactly(stream, size)


async def _read_exactly(stream, size: int) -> bytes:
    gathered = b""
    while len(gathered) < size:
        part = await stream.read(size - len(gathered))
        if not part:
            raise EOFError
        gathered += part
    return gathered


async def _write_frame(stream, body: bytes) -> None:
    await stream.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)


@asynccontextmanager
async def open_bare(identity: Identity) -> AsyncIterator[Bare]:
    """Run a bare host with the settings of ours."""
    from multiaddr import Multiaddr

    from zerostate.p2p._libp2p.building import build_host

    listen = "/ip4/127.0.0.1/tcp/0"
    host = build_host(identity, (listen,))
    async with host.run(listen_addrs=[Multiaddr(listen)]):
        yield Bare(host)


async def measure(ask: Ask, *, count: int, size: int, parallel: int) -> dict[str, Any]:
    """Ask `count` times with bodies of `size` bytes, `parallel` at once."""
    body = os.urandom(size)
    took_us: list[float] = []
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            started = time.perf_counter()
            answer = await ask(body)
            took_us.append((time.perf_counter() - started) * 1e6)
            assert len(answer) == size

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(parallel):
            nursery.start_soon(work)
    return {
        "total_s": time.perf_counter() - started,
        "took_us": [round(each_us, 1) for each_us in took_us],
    }


async def handshakes(peer: Peer, address: str, count: int) -> dict[str, Any]:
    """Connect and disconnect `count` times."""
    took_ms = []
    for _ in range(count):
        started = time.perf_counter()
        await peer.connect(address)
        took_ms.append((time.perf_counter() - started) * 1e3)
        await peer.disconnect(address)
        await trio.sleep(0.02)
    return {"p50_ms": statistics.median(took_ms), "max_ms": max(took_ms)}


async def publish(node: PeerNode, count: int, rate_per_s: float) -> dict[str, Any]:
    """Publish `count` messages at a steady pace; each says when it was sent."""
    for _ in range(count):
        sent = time.monotonic_ns().to_bytes(8, "big")
        await node.publish(TOPIC, GOSSIP, sent)
        await trio.sleep(1 / rate_per_s)
    return {"published": count}


async def dht_gets(node: PeerNode, author: str, count: int) -> dict[str, Any]:
    """Get each of `count` records of `author` once."""
    took_ms, found = [], 0
    for number in range(count):
        started = time.perf_counter()
        record = await node.dht.get(PeerId(author), _record(number))
        took_ms.append((time.perf_counter() - started) * 1e3)
        found += record is not None
    return {"took_ms": took_ms, "found": found}


async def dht_puts(node: PeerNode, count: int) -> dict[str, Any]:
    """Put `count` records."""
    took_ms, holders = [], []
    for number in range(count):
        started = time.perf_counter()
        stored = await node.dht.put(_record(number), os.urandom(256))
        took_ms.append((time.perf_counter() - started) * 1e3)
        holders.append(stored.peers)
    return {"took_ms": took_ms, "holders": statistics.median(holders)}


def _record(number: int) -> str:
    return f"bench-{number}"


class Commands:
    """What the parent may ask of this process."""

    def __init__(self, peer: Peer, flush: Callable[[], object]) -> None:
        self._peer = peer
        self._flush = flush
        self._askers: dict[str, Ask] = {}

    async def run(self, do: str, params: dict[str, Any]) -> dict[str, Any]:
        peer = self._peer
        match do:
            case "connect":
                await peer.connect(params["address"])
                return {}
            case "handshakes":
                return await handshakes(peer, **params)
            case "ask":
                return await measure(await self._asker(params.pop("address")), **params)
            case "cpu":
                return {"cpu_s": time.process_time()}
            case "flush":
                started = time.perf_counter()
                await trio.to_thread.run_sync(self._flush)
                return {"flush_s": time.perf_counter() - started}
        assert isinstance(peer, Ours), f"bare libp2p cannot {do}"
        return await self._ours(peer, do, params)

    async def _ours(
        self, peer: Ours, do: str, params: dict[str, Any]
    ) -> dict[str, Any]:
        match do:
            case "subscribe":
                await peer.node.subscribe(TOPIC)
                return {}
            case "publish":
                return await publish(peer.node, **params)
            case "heard":
                ages_ms, peer.ages_ms = peer.ages_ms, []
                return {"ages_ms": ages_ms}
            case "dht_puts":
                return await dht_puts(peer.node, **params)
            case "dht_gets":
                return await dht_gets(peer.node, **params)
        raise ValueError(do)

    async def _asker(self, address: str) -> Ask:
        if address not in self._askers:
            self._askers[address] = await self._peer.asker(address)
        return self._askers[address]


async def serve(mode: str, endpoint: str, known: frozenset[PeerId], seed: str) -> None:
    """Be a peer until stdin ends.

    Args:
        mode: ``bare``, ``off`` (ours, tracing off) or ``on``.
        endpoint: Where spans go.
        known: Peers whose traces are continued.
        seed: Hex of the identity's seed.
    """
    identity = Identity(bytes.fromhex(seed))
    async with AsyncExitStack() as stack:
        peer: Peer
        if mode == "bare":
            peer = await stack.enter_async_context(open_bare(identity))
            commands = Commands(peer, lambda: None)
        else:
            telemetry = init_tracer(
                TelemetryConfig(
                    service_name="bench",
                    otlp_endpoint=endpoint,
                    enabled=mode == "on",
                    batch=BatchConfig(max_queue_spans=1 << 20),
                )
            )
            stack.callback(telemetry.shutdown, 2.0)
            node = await stack.enter_async_context(
                open_peer_node(
                    P2PConfig(known=known, trust=EVERYBODYS_TRACE),
                    identity,
                    tracer=P2PTracer(telemetry.provider),
                    clock=SystemClock(),
                )
            )
            peer = Ours(node)
            commands = Commands(peer, lambda: telemetry.force_flush(30.0))
        _tell({"address": peer.addresses[0], "peer_id": identity.peer_id})
        await _obey(commands)


async def _obey(commands: Commands) -> None:
    buffer = b""
    async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
        while chunk := await stdin.receive_some():
            buffer += chunk
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                request = json.loads(line)
                _tell(await commands.run(request.pop("do"), request))


def _peer_of(address: str) -> PeerId:
    return PeerId(address.rpartition("/")[2])


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()  # libp2p reports at ERROR what is normal when peers come and go
    settings = json.loads(sys.argv[1])
    trio.run(
        serve,
        settings["mode"],
        settings["endpoint"],
        frozenset(settings["known"]),
        settings["seed"],
    )
