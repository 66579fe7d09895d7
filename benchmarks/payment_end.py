"""One end of the channels of `benchmarks/payment.py`, as a process told what to do.

Reads one JSON object a line from stdin, ``{"do": …}``, and answers each with one on
stdout. Ends when stdin ends. The other end is reached over a socket pair, or over
libp2p.
"""

import json
import logging
import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import ChannelId, PeerId, new_task_id
from zerostate.payment import (
    ChannelManager,
    Counterparty,
    ExpectedPayment,
    ExpectedStream,
    PaymentConfig,
    PaymentTracer,
    open_channels,
)
from zerostate.telemetry import (
    BatchConfig,
    TelemetryConfig,
    TelemetryHandle,
    init_tracer,
)
from zerostate.telemetry.trust import Treatment, TrustPolicy
from zerostate.units import Minor

RECEIPT = b"a sealed receipt is opened by verify_payment only"
PRICE = Minor(10)
EXPECTED = ExpectedPayment(receipt_sha256(RECEIPT), PRICE)
DEPOSIT = Minor(1 << 40)
STREAM = ExpectedStream(manifest_sha256="ab" * 32, max_total=DEPOSIT)
KINDS = ("channel_open", "payment_update")
EVERYBODYS_TRACE = TrustPolicy(known=Treatment.CONTINUE)

HEADER = struct.Struct(">IIB")
"""Of a frame on the socket pair: the body's length, the request's number, its kind."""

REPLY = 255
"""Kind of a frame that is a reply; others are places in `KINDS`."""

CHUNK_BYTES = 1 << 18

Handler = Callable[[PeerId, bytes], Awaitable[bytes]]
Register = Callable[[str, Handler], None]


@dataclass(slots=True)
class Asked:
    """A request that waits for its reply."""

    answered: trio.Event = field(default_factory=trio.Event)
    reply: bytes = b""


class Pair:
    """Requests and replies over a socket pair: what waits is sent together."""

    def __init__(self, stream: trio.SocketStream, peer_id: PeerId) -> None:
        self._stream = stream
        self._peer_id = peer_id
        self._outgoing: list[bytes] = []
        self._more = trio.Event()
        self._asked: dict[int, Asked] = {}
        self._next = 0
        self.handlers: dict[int, Handler] = {}

    async def request(self, peer_id: PeerId, message_type: str, body: bytes) -> bytes:
        """Ask the other end, which is always the same."""
        del peer_id
        self._next += 1
        asked = self._asked[self._next] = Asked()
        self._send(self._next, KINDS.index(message_type), body)
        await asked.answered.wait()
        return asked.reply

    async def serve(self) -> None:
        """Carry frames both ways until the other end is gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            buffer = b""
            while chunk := await self._stream.receive_some(CHUNK_BYTES):
                buffer += chunk
                done = 0
                while len(buffer) >= done + HEADER.size:
                    size, number, kind = HEADER.unpack_from(buffer, done)
                    begin, end = done + HEADER.size, done + HEADER.size + size
                    if len(buffer) < end:
                        break
                    done, body = end, buffer[begin:end]
                    if kind == REPLY:
                        asked = self._asked.pop(number)
                        asked.reply = body
                        asked.answered.set()
                    else:
                        nursery.start_soon(self._answer, kind, number, body)
                buffer = buffer[done:]
            nursery.cancel_scope.cancel()

    async def _answer(self, kind: int, number: int, body: bytes) -> None:
        self._send(number, REPLY, await self.handlers[kind](self._peer_id, body))

    def _send(self, number: int, kind: int, body: bytes) -> None:
        self._outgoing += (HEADER.pack(len(body), number, kind), body)
        self._more.set()

    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more = trio.Event()
            frames, self._outgoing = self._outgoing, []
            await self._stream.send_all(b"".join(frames))


@asynccontextmanager
async def open_pair(
    settings: dict[str, Any], _identity: Identity, _telemetry: TelemetryHandle
) -> AsyncIterator[tuple[Counterparty, Register, dict[str, str]]]:
    """Reach the other end over the socket pair whose end is open here."""
    end = trio.socket.from_stdlib_socket(socket.socket(fileno=settings["fd"]))
    pair = Pair(trio.SocketStream(end), PeerId(settings["other"]))

    def register(message_type: str, handler: Handler) -> None:
        pair.handlers[KINDS.index(message_type)] = handler

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.serve)
        yield pair, register, {}
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_libp2p(
    settings: dict[str, Any], identity: Identity, telemetry: TelemetryHandle
) -> AsyncIterator[tuple[Counterparty, Register, dict[str, str]]]:
    """Be a libp2p peer on loopback."""
    from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node

    known = frozenset((PeerId(settings["other"]),))
    async with open_peer_node(
        P2PConfig(known=known, trust=EVERYBODYS_TRACE),
        identity,
        tracer=P2PTracer(telemetry.provider),
        clock=SystemClock(),
    ) as node:
        if settings.get("address"):
            await node.connect(settings["address"])

        def register(message_type: str, handler: Handler) -> None:
            node.handle(message_type, lambda m: handler(m.author, m.body))

        yield node, register, {"address": node.addresses[0]}


class Commands:
    """What the parent may ask of this process."""

    def __init__(self, manager: ChannelManager, telemetry: TelemetryHandle) -> None:
        self._manager = manager
        self._telemetry = telemetry

    async def run(self, do: str, params: dict[str, Any]) -> dict[str, Any]:
        match do:
            case "open":
                return {"channels": await self._open(**params)}
            case "pay":
                return await self._pay(**params)
            case "stream":
                return await self._stream(**params)
            case "expect":
                self._expect(**params)
                return {}
            case "cpu":
                return {"cpu_s": time.process_time()}
            case "flush":
                started = time.perf_counter()
                await trio.to_thread.run_sync(self._telemetry.force_flush, 30.0)
                return {"flush_s": time.perf_counter() - started}
        raise ValueError(do)

    def _expect(self, *, streams: bool) -> None:
        paid, stream = (None, STREAM) if streams else (EXPECTED, None)
        self._manager.expects = lambda _task_id: paid
        self._manager.expects_stream = lambda _task_id: stream

    async def _open(self, payee: str, count: int) -> list[str]:
        # One that has the deposit left is taken again: ask for more than that.
        return [
            await self._manager.open_channel(
                PeerId(payee), DEPOSIT, needed=Minor(DEPOSIT + 1)
            )
            for _ in range(count)
        ]

    async def _pay(
        self, channels: list[str], count: int, at_once: int
    ) -> dict[str, Any]:
        """Pay for `count` tasks on the channels, `at_once` at a time on each."""
        # A task has its id long before it is paid.
        left = iter([new_task_id() for _ in range(count)])
        took_ms: list[float] = []
        states: set[tuple[ChannelId, int]] = set()

        async def work(channel_id: ChannelId) -> None:
            for task_id in left:
                started = time.perf_counter()
                payment = await self._manager.pay(
                    channel_id, PRICE, task_id=task_id, receipt=RECEIPT
                )
                took_ms.append((time.perf_counter() - started) * 1e3)
                states.add((channel_id, payment.nonce))
                assert payment.amount == PRICE

        done = await timed(work, channels * at_once, took_ms)
        return done | {"states": len(states)}

    async def _stream(
        self, channels: list[str], count: int, at_once: int
    ) -> dict[str, Any]:
        """Pay `count` units of work, all those of a channel for one task."""
        left = iter(range(count))
        took_ms: list[float] = []
        states: set[tuple[ChannelId, int]] = set()

        async def work(channel_id: ChannelId) -> None:
            stream = self._manager.stream(
                channel_id,
                task_id=new_task_id(),
                manifest_sha256=STREAM.manifest_sha256,
            )
            total = 0

            async def pay_units() -> None:
                nonlocal total
                for _ in left:
                    total += PRICE
                    asked, started = total, time.perf_counter()
                    payment = await stream.pay(Minor(asked))
                    took_ms.append((time.perf_counter() - started) * 1e3)
                    states.add((channel_id, payment.nonce))
                    assert payment.amount >= asked

            async with trio.open_nursery() as nursery:
                for _ in range(at_once):
                    nursery.start_soon(pay_units)

        return await timed(work, channels, took_ms) | {"states": len(states)}


async def timed(
    work: Callable[[ChannelId], Awaitable[None]],
    channels: list[str],
    took_ms: list[float],
) -> dict[str, Any]:
    """Work on all channels at once; return what came of it."""
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for channel_id in channels:
            nursery.start_soon(work, ChannelId(channel_id))
    return {
        "total_s": time.perf_counter() - started,
        "p50_ms": statistics.median(took_ms),
        "p99_ms": statistics.quantiles(took_ms, n=100)[-1],
    }


async def serve(settings: dict[str, Any]) -> None:
    """Be one end until stdin ends."""
    identity = Identity(bytes.fromhex(settings["seed"]))
    way = open_libp2p if settings["way"] == "libp2p" else open_pair
    telemetry = init_tracer(
        TelemetryConfig(
            service_name="bench",
            otlp_endpoint=settings["endpoint"],
            enabled=settings["tracing"],
            batch=BatchConfig(max_queue_spans=1 << 20),
        )
    )
    async with AsyncExitStack() as stack:
        stack.callback(telemetry.shutdown, 2.0)
        counterparty, register, told = await stack.enter_async_context(
            way(settings, identity, telemetry)
        )
        manager = await stack.enter_async_context(
            open_channels(
                PaymentConfig(data_dir=Path(settings["directory"])),
                identity,
                tracer=PaymentTracer(telemetry.provider),
                clock=SystemClock(),
                counterparty=counterparty,
            )
        )
        register("channel_open", manager.on_channel_open)
        register("payment_update", manager.on_payment_update)
        tell({"peer_id": identity.peer_id, **told})
        await obey(Commands(manager, telemetry))


async def obey(commands: Commands) -> None:
    """Do what stdin asks for, line by line."""
    buffer = b""
    async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
        while chunk := await stdin.receive_some():
            buffer += chunk
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                request = json.loads(line)
                tell(await commands.run(request.pop("do"), request))


def tell(answer: dict[str, Any]) -> None:
    """Answer the parent."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()  # libp2p reports at ERROR what is normal when peers come and go
    trio.run(serve, json.loads(sys.argv[1]))
