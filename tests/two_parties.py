"""Payer and payee with real stores, a chain in memory, and a network that fails.

A crash is an exception that nothing of ours catches, raised at one of the points where a
process may die: before and after each message, each call of the chain, and each reading
of the clock, which precedes every write to the disk. What is on the disk and in the
chain stays; everything else goes.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import trio

from failing_messages import Fault, Messages
from memory_chain import CONTRACT, Blocks, MemoryChain, Noted
from payment_parties import PAYEE, PAYER, sealed_receipt
from zerostate.errors import (
    PeerUnreachableError,
    RemoteError,
    ZeroStateError,
)
from zerostate.evidence.channel import ChannelStateEvidence, verify_cosigned
from zerostate.evidence.ethereum import EthAddress
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import ChannelId, PeerId, TaskId, new_task_id
from zerostate.payment import (
    ChannelManager,
    ExpectedPayment,
    Payment,
    PaymentConfig,
    PaymentTracer,
    open_channels,
    wire,
)
from zerostate.payment.chain import ChainConfig, ChannelStatus, Closing
from zerostate.payment.chain.model import OnChainChannel
from zerostate.payment.config import KEY_FILE
from zerostate.payment.keys import load_or_create_key
from zerostate.payment.model import ExpectedStream
from zerostate.units import NS_PER_S, Minor

WINDOW_S = 600
TTL_S = 20_000
FUNDS = 10**9
MANIFEST = "77" * 32
TURNS = 4
"""Looks at the chain after which the watching loop has done what was due."""

LOOK_S = 0.2
"""Longest such look, in seconds."""

T = TypeVar("T")


class Crash(BaseException):  # no error: the process is gone
    """This process is dead."""


@dataclass
class ChainClock:
    """Tells both ends the chain's time, and where a process may die."""

    blocks: Blocks
    point: Callable[[str], None]

    def wall_ns(self) -> int:
        self.point("clock")
        return max(self.blocks.time_s, self.blocks.newest.timestamp_s) * NS_PER_S

    def monotonic_ns(self) -> int:
        return self.wall_ns()


@dataclass
class Side:
    """One end: what outlives its process, and the process while there is one."""

    name: str
    identity: Identity
    folder: Path
    journal: list[Noted] = field(default_factory=list)
    manager: ChannelManager | None = None
    chain: MemoryChain | None = None
    stack: AsyncExitStack | None = None
    steps_to_live: int | None = None
    """Points until the process dies; None: it lives."""

    points: int = 0
    patience: dict[int, trio.CancelScope] = field(default_factory=dict)
    """What is given up, by the number of points at which it is."""

    nonces: dict[ChannelId, int] = field(default_factory=dict)
    """The newest it has told of each channel."""

    @property
    def peer_id(self) -> PeerId:
        return self.identity.peer_id

    @property
    def address(self) -> EthAddress:
        return load_or_create_key(self.folder / KEY_FILE).address

    def point(self, _name: str) -> None:
        """Die here, if it is time."""
        self.points += 1
        if self.points in self.patience:
            self.patience.pop(self.points).cancel()
        if self.steps_to_live is None:
            return
        self.steps_to_live -= 1
        if self.steps_to_live <= 0:
            raise Crash


@dataclass
class World:
    """Both ends, the chain between them, and what really happened."""

    folder: Path
    confirmations: int = 1
    blocks: Blocks = field(default_factory=Blocks)
    faults: deque[Fault] = field(default_factory=deque)
    held_up: list[tuple[Side, Side, str, bytes]] = field(default_factory=list)
    agreed: dict[ChannelId, list[ChannelStateEvidence]] = field(default_factory=dict)
    """Every state that both have signed, whether or not anybody got it back."""

    states: dict[ChannelId, list[bytes]] = field(default_factory=dict)
    earned: dict[TaskId, ExpectedPayment] = field(default_factory=dict)
    working: dict[TaskId, ExpectedStream] = field(default_factory=dict)
    receipts: dict[TaskId, bytes] = field(default_factory=dict)
    prices: dict[TaskId, ExpectedPayment] = field(default_factory=dict)
    """What each receipt asks for, also of those that the payee has forgotten."""

    told: list[Payment] = field(default_factory=list)
    """What the payer was told to be paid."""

    def __post_init__(self) -> None:
        self.payer = Side("payer", PAYER, self.folder / "payer")
        self.payee = Side("payee", PAYEE, self.folder / "payee")
        self.sides = (self.payer, self.payee)
        for side in self.sides:
            side.folder.mkdir()
            key = load_or_create_key(side.folder / KEY_FILE)
            self.blocks.fund(key.address, FUNDS)

    def side_of(self, peer_id: PeerId) -> Side:
        return self.payer if peer_id == PAYER.peer_id else self.payee

    def other(self, side: Side) -> Side:
        return self.payee if side is self.payer else self.payer

    async def start(self, side: Side) -> None:
        """Start the process; does nothing if it runs."""
        if side.manager is not None:
            return
        side.steps_to_live = None
        key = load_or_create_key(side.folder / KEY_FILE)
        side.chain = MemoryChain(
            self.blocks,
            key.address,
            confirmations=self.confirmations,
            journal=side.journal,
            before=side.point,
            after=side.point,
            page_blocks=7,
        )
        side.chain.recover()
        side.stack = AsyncExitStack()
        side.manager = await side.stack.enter_async_context(
            open_channels(
                self._config(side),
                side.identity,
                tracer=PaymentTracer(),
                clock=ChainClock(self.blocks, side.point),
                counterparty=Messages(self, side),
                chain=side.chain,
            )
        )
        side.manager.expects = self.earned.get
        side.manager.expects_stream = self.working.get

    def _config(self, side: Side) -> PaymentConfig:
        return PaymentConfig(
            data_dir=side.folder,
            contract=CONTRACT,
            chain=ChainConfig(
                data_dir=side.folder,
                url="http://127.0.0.1:1",
                contract=CONTRACT,
                confirmations=self.confirmations,
                poll_s=0.01,
                confirm_timeout_s=0.1,
            ),
            window_s=WINDOW_S,
            ttl_s=TTL_S,
            max_own_deposit=Minor(100),
            request_timeout_s=0.2,
        )

    async def stop(self, side: Side) -> None:
        """The process is gone, however it went."""
        stack, side.stack, side.manager = side.stack, None, None
        side.steps_to_live = None
        if stack is not None:
            await stack.aclose()

    async def do(
        self, side: Side, work: Callable[[ChannelManager], Awaitable[T]]
    ) -> T | None:
        """Let a side do something; None if it could not, or died of it."""
        if side.manager is None:
            return None
        try:
            return await work(side.manager)
        except ZeroStateError as exc:
            _check_is_refusal(exc)
            return None
        except BaseException as exc:
            if not _is_crash(exc):
                raise
            await self.stop(side)
            return None

    async def do_together(
        self,
        side: Side,
        works: Sequence[Callable[[ChannelManager], Awaitable[object]]],
        impatient: int,
        points: int,
    ) -> None:
        """Let a side do several things at once; if it dies of one, it dies of all.

        The one with number `impatient`, if there is one, is given up `points` on.
        """

        async def one(number: int, work: Callable[[ChannelManager], Any]) -> None:
            with trio.CancelScope() as scope:
                if number == impatient:
                    side.patience[side.points + points] = scope
                try:
                    await work(manager)
                except ZeroStateError as exc:
                    _check_is_refusal(exc)

        manager = side.manager
        if manager is None:
            return
        try:
            async with trio.open_nursery() as nursery:
                for number, work in enumerate(works):
                    nursery.start_soon(one, number, work)
        except BaseException as exc:
            if not _is_crash(exc):
                raise
            await self.stop(side)
        finally:
            side.patience.clear()

    async def pay(
        self, manager: ChannelManager, channel_id: ChannelId, task_id: TaskId
    ) -> None:
        """Pay for a receipt, and remember what is said of that."""
        payment = await manager.pay(
            channel_id,
            self.prices[task_id].price,
            task_id=task_id,
            receipt=self.receipts[task_id],
        )
        self.told.append(payment)

    async def do_watched(
        self, side: Side, work: Callable[[ChannelManager], Awaitable[T]]
    ) -> None:
        """The same, while the other end looks after its channels."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                self.do, self.other(side), lambda manager: manager.watch()
            )
            await self.do(side, work)
            nursery.cancel_scope.cancel()

    async def watch(self, side: Side, turns: int = TURNS) -> None:
        """Let a side look after its channels for a while."""

        async def look(manager: ChannelManager) -> None:
            looked = trio.Semaphore(0)

            def count(name: str) -> None:
                side.point(name)
                if name == "nothing new":
                    looked.release()

            side.chain.after = count
            try:
                # Without a live channel it has nothing to look for.
                with trio.move_on_after(LOOK_S):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(manager.watch)
                        for _ in range(turns):
                            await looked.acquire()
                        nursery.cancel_scope.cancel()
            finally:
                if side.chain is not None:
                    side.chain.after = side.point

        await self.do(side, look)

    async def handle(
        self, sender: Side, receiver: Side, message_type: str, body: bytes
    ) -> bytes:
        """Hand a request to the other end's handler, which may die of it."""
        manager = receiver.manager
        if manager is None:
            raise PeerUnreachableError(f"{receiver.name} is away")
        handler = getattr(manager, f"on_{message_type}")
        try:
            receiver.point("receive")
            # The sender's patience is no matter of the receiver's.
            with trio.CancelScope(shield=True):
                reply = await handler(sender.peer_id, body)
            self._note(message_type, reply)
            receiver.point("answer")
        except ZeroStateError as exc:
            _check_is_refusal(exc)
            raise RemoteError(exc.code, str(exc)) from exc
        except BaseException as exc:
            if not _is_crash(exc):
                raise
            await self.stop(receiver)
            raise PeerUnreachableError(f"{receiver.name} has died") from exc
        return reply

    async def deliver_late(self, index: int) -> None:
        """Let a message that was held up arrive now; nobody waits for its reply."""
        if self.held_up:
            sender, receiver, message_type, body = self.held_up.pop(
                index % len(self.held_up)
            )
            try:
                await self.handle(sender, receiver, message_type, body)
            except (RemoteError, PeerUnreachableError):
                return

    def _note(self, message_type: str, reply: bytes) -> None:
        """Remember a state that both have signed."""
        if message_type != wire.PAYMENT_UPDATE:
            return
        state = wire.decode_payment_accepted(reply)
        evidence = verify_cosigned(state)
        known = self.agreed.setdefault(evidence.channel_id, [])
        if evidence not in known:
            known.append(evidence)
            self.states.setdefault(evidence.channel_id, []).append(state)

    def issue(self, price: int, task_id: TaskId | None = None) -> TaskId:
        """Let the payee issue a receipt."""
        task_id = task_id or new_task_id()
        sealed = sealed_receipt(task_id, price)
        self.receipts[task_id] = sealed
        expected = ExpectedPayment(receipt_sha256(sealed), Minor(price))
        self.earned[task_id] = self.prices[task_id] = expected
        self.working.pop(task_id, None)
        return task_id

    def forget(self, task_id: TaskId) -> None:
        """Let the payee know nothing of a receipt that it has issued."""
        self.earned.pop(task_id, None)

    def remember(self) -> None:
        """Let the payee know of all receipts that it has issued."""
        self.earned.update(self.prices)

    def work(self, most: int) -> TaskId:
        """Let the payee begin to work on a task that is paid meanwhile."""
        task_id = new_task_id()
        self.working[task_id] = ExpectedStream(MANIFEST, Minor(most))
        return task_id

    def newest(self, channel_id: ChannelId) -> ChannelStateEvidence | None:
        """Return the newest state that both have signed."""
        known = self.agreed.get(channel_id, [])
        return max(known, key=lambda one: one.update.nonce, default=None)

    def on_chain(self) -> Iterator[OnChainChannel]:
        yield from self.blocks.state.channels.values()

    def closer(self, channel_id: ChannelId) -> Side:
        """Return who closes a channel alone."""
        (party,) = {
            event.fact.party
            for block in self.blocks.chain
            for event in block.events
            if isinstance(event.fact, Closing) and event.fact.channel_id == channel_id
        }
        return next(side for side in self.sides if side.address == party)

    @property
    def all_settled(self) -> bool:
        return all(one.status is ChannelStatus.SETTLED for one in self.on_chain())

    def closing(self) -> list[OnChainChannel]:
        return [one for one in self.on_chain() if one.status is ChannelStatus.CLOSING]


def _check_is_refusal(exc: ZeroStateError) -> None:
    """Check that an operation was refused, and did not break something."""
    if exc.code in {"internal", "store_corrupt"}:
        raise AssertionError(repr(exc)) from exc


def _is_crash(exc: BaseException) -> bool:
    """Whether it is a crash, alone or with whatever its tasks died of."""
    if isinstance(exc, BaseExceptionGroup):
        return any(_is_crash(one) for one in exc.exceptions)
    return isinstance(exc, Crash)
