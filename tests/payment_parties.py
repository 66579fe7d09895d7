"""Two peers with real channel stores, joined by a counterparty in memory."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from zerostate.errors import RemoteError, ZeroStateError
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import Receipt, receipt_sha256, seal_receipt
from zerostate.ids import PeerId, TaskId, TraceIdHex, new_guild_id, new_task_id
from zerostate.payment import (
    ChannelManager,
    ExpectedPayment,
    PaymentConfig,
    PaymentTracer,
    open_channels,
)
from zerostate.testing import FakeClock, SpanRecorder
from zerostate.units import Minor

PAYER = Identity(b"\x01" * 32)
PAYEE = Identity(b"\x02" * 32)
STRANGER = Identity(b"\x03" * 32)


@dataclass
class Network:
    """Hands each request to the other peer, as the message layer would."""

    author: PeerId
    peers: dict[PeerId, ChannelManager] = field(default_factory=dict)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None
    """Called when a request is about to arrive; may raise: then it is lost."""

    after: Callable[[], Awaitable[None]] | None = None
    """Called when the reply is about to leave; may raise: then it is lost."""

    rewrite: Callable[[bytes], bytes] | None = None
    """What becomes of a reply on its way."""

    async def request(self, peer_id: PeerId, message_type: str, body: bytes) -> bytes:
        self.sent.append((message_type, body))
        if self.before:
            await self.before()
        reply = await self._handle(self.peers[peer_id], message_type, body)
        if self.after:
            await self.after()
        return self.rewrite(reply) if self.rewrite else reply

    async def _handle(self, peer: ChannelManager, kind: str, body: bytes) -> bytes:
        handlers = {
            "channel_open": peer.on_channel_open,
            "payment_update": peer.on_payment_update,
            "channel_funded": peer.on_channel_funded,
            "channel_close": peer.on_channel_close,
            "channel_withdraw": peer.on_channel_withdraw,
            "channel_request": peer.on_channel_request,
            "channel_sync": peer.on_channel_sync,
        }
        try:
            return await handlers[kind](self.author, body)
        except ZeroStateError as exc:
            raise RemoteError(exc.code, str(exc)) from exc


@dataclass
class Pair:
    payer: ChannelManager
    payee: ChannelManager
    network: Network
    """From payer to payee."""

    spans: SpanRecorder
    issued: dict[TaskId, ExpectedPayment] = field(default_factory=dict)
    """What the payee has issued receipts for."""

    def issue(self, price: int, task_id: TaskId | None = None) -> tuple[TaskId, bytes]:
        """Let the payee issue a receipt; returns the task and the sealed receipt."""
        task_id = task_id or new_task_id()
        sealed = sealed_receipt(task_id, price)
        self.issued[task_id] = ExpectedPayment(receipt_sha256(sealed), Minor(price))
        return task_id, sealed


def sealed_receipt(
    task_id: TaskId, price: int, *, requester: Identity = PAYER, executor=PAYEE
) -> bytes:
    receipt = Receipt(
        task_id=task_id,
        trace_id=TraceIdHex("ab" * 16),
        guild_id=new_guild_id(),
        requester=requester.peer_id,
        executor=executor.peer_id,
        manifest_sha256="11" * 32,
        module_sha256="22" * 32,
        input_sha256="33" * 32,
        output_sha256="44" * 32,
        outcome="ok",
        exit_code=0,
        fuel_used=1000,
        memory_peak_bytes=65536,
        cpu_time_ns=1000,
        wall_time_ns=2000,
        started_unix_ns=1,
        ended_unix_ns=2,
        engine_version="wasmtime test",
        engine_config_sha256="55" * 32,
        price=Minor(price),
    )
    return seal_receipt(executor, receipt)


@asynccontextmanager
async def open_pair(directory: Path, **config: float) -> AsyncIterator[Pair]:
    """Open both peers' channels below `directory`, as a start of both would."""
    spans = SpanRecorder()
    network = Network(PAYER.peer_id)
    pair_issued: dict[TaskId, ExpectedPayment] = {}
    async with AsyncExitStack() as stack:
        managers = {}
        for name, identity in (("payer", PAYER), ("payee", PAYEE)):
            managers[name] = await stack.enter_async_context(
                open_channels(
                    PaymentConfig(data_dir=directory / name, **config),
                    identity,
                    tracer=PaymentTracer(spans.provider),
                    clock=FakeClock(),
                    counterparty=network,
                )
            )
        managers["payee"].expects = pair_issued.get
        network.peers[PAYEE.peer_id] = managers["payee"]
        yield Pair(managers["payer"], managers["payee"], network, spans, pair_issued)


def copy_disk(source: Path, target: Path) -> None:
    """Copy what a crash at this moment would leave on the disk."""
    shutil.copytree(source, target)
