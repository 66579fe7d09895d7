"""Two channel managers on one chain, joined in memory, each with a store on disk."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from memory_chain import Blocks, MemoryChain
from payment_parties import PAYEE, PAYER, Network, sealed_receipt
from zerostate.errors import PeerUnreachableError
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import ChannelId, TaskId, new_task_id
from zerostate.payment import (
    ChannelManager,
    ExpectedPayment,
    Payment,
    PaymentConfig,
    PaymentTracer,
    open_channels,
)
from zerostate.payment.chain import Chain, ChainConfig, OnChainChannel
from zerostate.payment.config import KEY_FILE
from zerostate.payment.keys import load_or_create_key
from zerostate.payment.model import ExpectedStream
from zerostate.testing import FakeClock, SpanRecorder
from zerostate.units import Minor

WINDOW_S = 60
FUNDS = 10**18
PARTIES = {"payer": PAYER, "payee": PAYEE}


@dataclass
class ChainPair:
    """Payer and payee on one chain."""

    payer: ChannelManager
    payee: ChannelManager
    there: Network
    """From payer to payee."""

    back: Network
    """From payee to payer."""

    chains: dict[str, Chain]
    clock: FakeClock
    spans: SpanRecorder
    travel: Callable[[int], Awaitable[None]]
    """Lets the chain's time pass."""

    issued: dict[TaskId, ExpectedPayment] = field(default_factory=dict)
    streams: dict[TaskId, ExpectedStream] = field(default_factory=dict)

    async def open(self, deposit: int = 1000, *more: object) -> ChannelId:
        return await self.payer.open_channel(PAYEE.peer_id, Minor(deposit), *more)

    async def pay(self, channel_id: ChannelId, price: int) -> Payment:
        """Pay for a task whose receipt the payee has just issued."""
        task_id = new_task_id()
        receipt = sealed_receipt(task_id, price)
        self.issued[task_id] = ExpectedPayment(receipt_sha256(receipt), Minor(price))
        return await self.payer.pay(
            channel_id, Minor(price), task_id=task_id, receipt=receipt
        )

    @asynccontextmanager
    async def watching(self, *names: str) -> AsyncIterator[None]:
        """Let the named parties (both, if none is named) look after their channels."""
        async with trio.open_nursery() as nursery:
            for name in names or PARTIES:
                nursery.start_soon(getattr(self, name).watch)
            yield
            nursery.cancel_scope.cancel()

    async def until(self, name: str, channel_id: ChannelId, phase: str) -> None:
        """Wait until a party has its channel in `phase`."""
        with trio.fail_after(20):
            while (await self.view(name, channel_id)).phase != phase:  # noqa: ASYNC110  # what others write has no event
                await trio.sleep(0.01)

    async def eventually(self, condition: Callable[[], bool]) -> None:
        """Wait until something in memory is so."""
        with trio.fail_after(20):
            while not condition():  # noqa: ASYNC110  # what others write has no event
                await trio.sleep(0.01)

    async def view(self, name: str, channel_id: ChannelId):
        return await getattr(self, name).view(channel_id)

    def be_lost(self, *, replies: bool = False) -> None:
        """Lose all requests of the payer, or the replies to them."""

        async def lose() -> None:
            raise PeerUnreachableError("gone")

        setattr(self.there, "after" if replies else "before", lose)

    def be_found(self) -> None:
        self.there.before = self.there.after = None


def keys_in(directory: Path) -> dict[str, EthKey]:
    """Return each party's key, made where it will look for it."""
    keys = {}
    for name in PARTIES:
        folder = directory / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys[name] = load_or_create_key(folder / KEY_FILE)
    return keys


@asynccontextmanager
async def open_chain_pair(
    directory: Path,
    chains: dict[str, Chain],
    travel: Callable[[int], Awaitable[None]],
    *,
    clock: FakeClock | None = None,
    **config: object,
) -> AsyncIterator[ChainPair]:
    """Open both parties below `directory`, as a start of both would."""
    spans, clock = SpanRecorder(), clock or FakeClock()
    there, back = Network(PAYER.peer_id), Network(PAYEE.peer_id)
    async with AsyncExitStack() as stack:
        managers = {}
        for name, counterparty in (("payer", there), ("payee", back)):
            chain = chains[name]
            settings = PaymentConfig(
                data_dir=directory / name,
                chain=ChainConfig(
                    data_dir=directory / name,
                    url="http://127.0.0.1:1",
                    contract=chain.contract,
                    poll_s=0.01,
                    confirm_timeout_s=10,
                ),
                **{"window_s": WINDOW_S, "request_timeout_s": 2.0} | config,
            )
            managers[name] = await stack.enter_async_context(
                open_channels(
                    settings,
                    PARTIES[name],
                    tracer=PaymentTracer(spans.provider),
                    clock=clock,
                    counterparty=counterparty,
                    chain=chain,
                )
            )
        there.peers[PAYEE.peer_id] = managers["payee"]
        back.peers[PAYER.peer_id] = managers["payer"]
        pair = ChainPair(
            managers["payer"],
            managers["payee"],
            there,
            back,
            chains,
            clock,
            spans,
            travel,
        )
        pair.payee.expects = pair.issued.get
        pair.payee.expects_stream = pair.streams.get
        yield pair


@dataclass
class MemoryWorld:
    """A chain in memory and the disks of two parties, who may start and crash."""

    directory: Path
    blocks: Blocks = field(default_factory=Blocks)
    clock: FakeClock = field(default_factory=FakeClock)
    journals: dict[str, list] = field(default_factory=dict)
    confirmations: int = 1

    def chains(self) -> dict[str, MemoryChain]:
        found = {}
        for name, key in keys_in(self.directory).items():
            if name not in self.journals:
                self.blocks.fund(key.address, FUNDS)
            chain = MemoryChain(
                self.blocks,
                key.address,
                confirmations=self.confirmations,
                journal=self.journals.setdefault(name, []),
            )
            chain.recover()
            found[name] = chain
        return found

    def address(self, name: str) -> EthAddress:
        return keys_in(self.directory)[name].address

    def on_chain(self, channel_id: ChannelId) -> OnChainChannel:
        return self.blocks.state.channel(channel_id)

    def claimable(self, name: str) -> int:
        return self.blocks.state.claimable.get(self.address(name), 0)

    def wallet(self, name: str) -> int:
        """Return what a party has in all, less what it began with."""
        address = self.address(name)
        state = self.blocks.state
        return state.wallets[address] + state.claimable.get(address, 0) - FUNDS

    async def travel(self, seconds: int) -> None:
        self.blocks.pass_time(seconds)
        self.clock.advance(seconds)

    @asynccontextmanager
    async def started(self, **config: object) -> AsyncIterator[ChainPair]:
        """Start both parties on what their disks hold."""
        async with open_chain_pair(
            self.directory, self.chains(), self.travel, clock=self.clock, **config
        ) as pair:
            yield pair
