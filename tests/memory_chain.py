"""A chain in memory: real blocks, reorganisations and lost transactions, no processes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from contract_model import Call, ContractModel, RefusedError
from zerostate.errors import (
    ChainError,
    ChainUnreachableError,
    InsufficientGasError,
    NotConfirmedError,
    ReorganisedError,
    TransactionRevertedError,
)
from zerostate.evidence.ethereum import EthAddress
from zerostate.ids import ChannelId
from zerostate.payment.chain import (
    BlockHash,
    BlockRef,
    ChainEvent,
    EventPage,
    Head,
    OnChainChannel,
    TxHash,
    TxReceipt,
)
from zerostate.payment.contract import CosignedState, FinalState, Withdrawal
from zerostate.units import Minor

CHAIN_ID = 31337
CONTRACT = EthAddress("0x" + "c0" * 20)
PAGE_BLOCKS = 1000
"""As the real one has; a test may take fewer."""

GAS = 50_000


@dataclass(frozen=True)
class Block:
    ref: BlockRef
    timestamp_s: int
    receipts: dict[TxHash, TxReceipt]
    events: tuple[ChainEvent, ...]
    after: ContractModel


@dataclass
class Blocks:
    """The chain itself. Its time is `time_s`; each transaction gets a block at once.

    Attributes:
        is_mining: False leaves what is sent in the pool.
    """

    time_s: int = 1_800_000_000
    chain: list[Block] = field(default_factory=list)
    pool: dict[TxHash, Call] = field(default_factory=dict)
    is_mining: bool = True
    forks: int = 0
    calls: dict[TxHash, Call] = field(default_factory=dict)
    """All that ever was in a block."""

    refusals: dict[TxHash, str] = field(default_factory=dict)
    """Why the contract refused some of it."""

    def __post_init__(self) -> None:
        if not self.chain:
            self._append({}, ContractModel(CHAIN_ID, CONTRACT))

    @property
    def newest(self) -> Block:
        return self.chain[-1]

    @property
    def state(self) -> ContractModel:
        return self.newest.after

    def fund(self, address: EthAddress, amount: int) -> None:
        """Give an account ether, out of nothing."""
        for block in self.chain:
            block.after.wallets[address] = block.after.wallets.get(address, 0) + amount

    def send(self, tx_hash: TxHash, call: Call) -> None:
        """Take a transaction into the pool, unless it is known."""
        if self.receipt(tx_hash) is None:
            self.pool.setdefault(tx_hash, call)
            if self.is_mining:
                self.mine()

    def mine(self) -> None:
        """Make a block of all that is in the pool."""
        taken, self.pool = self.pool, {}
        self._append(taken, self.state)

    def pass_time(self, seconds: int) -> None:
        self.time_s = max(self.time_s, self.newest.timestamp_s) + seconds
        self.mine()

    def reorganise(self, depth: int, *, forget: bool = False) -> None:
        """Drop the newest `depth` blocks, and make one more than that in their place.

        Their transactions go back to the pool, or are lost if the chain is to `forget`.
        """
        depth = min(depth, len(self.chain) - 1)
        if not depth:
            return
        dropped = self.chain[-depth:]
        del self.chain[-depth:]
        self.forks += 1
        if not forget:
            lost = {tx: self.calls[tx] for one in dropped for tx in one.receipts}
            self.pool = lost | self.pool
        for _ in range(depth):
            self._append({}, self.state)
        self.mine()

    def receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        for block in reversed(self.chain):
            if tx_hash in block.receipts:
                return block.receipts[tx_hash]
        return None

    def at(self, number: int) -> Block | None:
        return self.chain[number] if number < len(self.chain) else None

    def _append(self, taken: dict[TxHash, Call], state: ContractModel) -> None:
        number = len(self.chain)
        parent = self.chain[-1] if self.chain else None
        seed = f"{parent and parent.ref.hash}:{number}:{self.forks}:{sorted(taken)}"
        block_hash = "0x" + hashlib.sha256(seed.encode()).hexdigest()
        ref = BlockRef(number, BlockHash(block_hash))
        timestamp_s = max(self.time_s, parent.timestamp_s + 1 if parent else 0)
        receipts, events = {}, []
        for tx_hash, call in taken.items():
            self.calls[tx_hash] = call
            facts = ()
            try:
                state, facts = state.after(call, timestamp_s)
            except RefusedError as exc:
                self.refusals[tx_hash] = str(exc)
            succeeded = bool(facts)
            receipts[tx_hash] = TxReceipt(tx_hash, ref, GAS, 0, succeeded)
            events += [
                ChainEvent(fact, ref, tx_hash, len(events) + index)
                for index, fact in enumerate(facts)
            ]
        block = Block(ref, timestamp_s, receipts, tuple(events), state.copy())
        self.chain.append(block)


@dataclass
class Noted:
    """A transaction in an account's journal, which outlives the process."""

    tx_hash: TxHash
    call: Call
    confirmed: BlockRef | None = None


@dataclass
class MemoryChain:
    """One account's way to `Blocks`; implements `zerostate.payment.chain.Chain`.

    Attributes:
        journal: What was sent; hand it to the next one after a restart.
        before: Called with each method's name before it does anything; may raise.
        after: The same when it has done it.
    """

    blocks: Blocks
    address: EthAddress
    confirmations: int = 1
    journal: list[Noted] = field(default_factory=list)
    before: Callable[[str], None] = lambda _name: None
    after: Callable[[str], None] = lambda _name: None
    chain_id: int = CHAIN_ID
    contract: EthAddress = CONTRACT
    is_reachable: bool = True
    page_blocks: int = PAGE_BLOCKS
    dropped: dict[TxHash, None] = field(default_factory=dict)
    """What counted as confirmed and was found gone since the last look."""

    def recover(self) -> None:
        """Send again what an earlier process left, as a start does."""
        for noted in self.journal:
            if noted.confirmed is None:
                self.blocks.send(noted.tx_hash, noted.call)

    async def use_contract(self, address: EthAddress) -> None:
        self._reach("use_contract")
        if address != CONTRACT:
            raise ChainError(f"{address} is not the channel contract")

    async def head(self) -> Head:
        self._reach("head")
        newest = self.blocks.newest
        return Head(newest.ref, newest.timestamp_s, 1)

    async def block(self, number: int) -> BlockRef | None:
        self._reach("block")
        block = self.blocks.at(number)
        return block and block.ref

    async def balance(self, address: EthAddress) -> Minor:
        self._reach("balance")
        return Minor(self.blocks.state.wallets.get(address, 0))

    async def channel(
        self, channel_id: ChannelId, *, depth: int | None = None
    ) -> OnChainChannel:
        self._reach("channel")
        return self._block(depth).after.channel(channel_id)

    async def claimable(self, owner: EthAddress) -> Minor:
        self._reach("claimable")
        return Minor(self.blocks.state.claimable.get(owner, 0))

    async def events(
        self, since: BlockRef | None = None, *, depth: int | None = None
    ) -> EventPage:
        self._reach("events")
        if since is not None:
            known = self.blocks.at(since.number)
            if known is None or known.ref != since:
                raise ReorganisedError(f"block {since.number} is not what it was")
        first = 0 if since is None else since.number + 1
        last = min(self._block(depth).ref.number, first + self.page_blocks - 1)
        if since is not None and last < first:
            self.after("nothing new")
            return EventPage((), since)
        read = self.blocks.chain[first : last + 1]
        events = tuple(event for block in read for event in block.events)
        return EventPage(events, read[-1].ref)

    async def open_channel(
        self,
        channel_id: ChannelId,
        *,
        payee: EthAddress,
        payee_peer_hash: bytes,
        deposit: Minor,
        salt: bytes,
        window_s: int,
    ) -> TxHash:
        arguments = (channel_id, payee, payee_peer_hash, salt, window_s)
        return self._submit("open", *arguments, value=deposit)

    async def deposit(
        self, channel_id: ChannelId, amount: Minor, *, total: Minor
    ) -> TxHash:
        return self._submit("deposit", channel_id, total, value=amount)

    async def close(
        self,
        channel_id: ChannelId,
        final: FinalState,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxHash:
        signatures = (payer_signature, payee_signature)
        return self._submit("close", channel_id, final, *signatures)

    async def withdraw(
        self,
        channel_id: ChannelId,
        withdrawal: Withdrawal,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxHash:
        signatures = (payer_signature, payee_signature)
        return self._submit("withdraw", channel_id, withdrawal, *signatures)

    async def start_close(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        return self._submit("start_close", channel_id, state)

    async def challenge(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        return self._submit("challenge", channel_id, state)

    async def settle(self, channel_id: ChannelId) -> TxHash:
        return self._submit("settle", channel_id)

    async def claim(self, receiver: EthAddress | None = None) -> TxHash:
        return self._submit("claim", receiver or self.address)

    async def receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        self._reach("receipt")
        return self.blocks.receipt(tx_hash)

    async def confirm(
        self,
        tx_hash: TxHash,
        *,
        timeout_s: float | None = None,
        depth: int | None = None,
    ) -> TxReceipt:
        """Wait by making the blocks that are waited for; or not, if none are made."""
        self._reach("confirm")
        noted = next((one for one in self.journal if one.tx_hash == tx_hash), None)
        if noted is None:
            raise ChainError(f"{tx_hash} was not sent from here")
        if self._is_dropped(noted):
            self._restore(noted)
            self.blocks.send(tx_hash, noted.call)
            raise ReorganisedError(f"{tx_hash} was confirmed, and is in no block")
        wanted = self.confirmations if depth is None else depth
        self.blocks.send(tx_hash, noted.call)
        while True:
            receipt = self.blocks.receipt(tx_hash)
            height = self.blocks.newest.ref.number
            if receipt is not None and height - receipt.block.number + 1 >= wanted:
                break
            if not self.blocks.is_mining:
                raise NotConfirmedError(f"{tx_hash} is not deep enough")
            self.blocks.mine()
        noted.confirmed = receipt.block
        self.after("confirm")
        if not receipt.succeeded:
            raise TransactionRevertedError(self.blocks.refusals[tx_hash])
        return receipt

    async def vanished(self) -> tuple[TxHash, ...]:
        self._reach("vanished")
        height = self.blocks.newest.ref.number
        for noted in self.journal:
            receipt = self.blocks.receipt(noted.tx_hash)
            if self._is_dropped(noted):
                self._restore(noted)
            if receipt is None:
                self.blocks.send(noted.tx_hash, noted.call)
            elif (
                noted.confirmed is not None
                or height - receipt.block.number + 1 >= self.confirmations
            ):
                noted.confirmed = receipt.block
        gone = tuple(self.dropped)
        self.dropped.clear()
        return gone

    async def deploy(self) -> TxHash:
        raise NotImplementedError("the contract is there from the beginning")

    async def transfer(self, receiver: EthAddress, amount: Minor) -> TxHash:
        raise NotImplementedError("accounts have their ether from the beginning")

    def _submit(self, name: str, *arguments: object, value: int = 0) -> TxHash:
        self._reach(name)
        call = Call(self.address, name, arguments, value)
        unused = [
            noted
            for noted in self.journal
            if self.blocks.receipt(noted.tx_hash) is None
        ]
        # On their way, be it from an earlier process.
        for noted in unused:
            if self._is_dropped(noted):
                self._restore(noted)
        for same in unused:
            if same.call == call:
                for noted in unused:
                    self.blocks.send(noted.tx_hash, noted.call)
                return same.tx_hash
        state = self.blocks.state
        if state.wallets.get(self.address, 0) < value:
            raise InsufficientGasError(f"{self.address} has not {value}")
        try:
            state.after(call, max(self.blocks.time_s, self._next_s()))
        except RefusedError as exc:
            raise TransactionRevertedError(str(exc)) from exc
        seed = f"{self.address}:{len(self.journal)}"
        tx_hash = TxHash("0x" + hashlib.sha256(seed.encode()).hexdigest())
        self.journal.append(Noted(tx_hash, call))
        self.after(f"{name} noted")
        self.blocks.send(tx_hash, call)
        self.after(name)
        return tx_hash

    def _is_dropped(self, noted: Noted) -> bool:
        is_gone = self.blocks.receipt(noted.tx_hash) is None
        return noted.confirmed is not None and is_gone

    def _restore(self, noted: Noted) -> None:
        noted.confirmed = None
        self.dropped[noted.tx_hash] = None

    def _next_s(self) -> int:
        return self.blocks.newest.timestamp_s + 1

    def _block(self, depth: int | None) -> Block:
        wanted = self.confirmations if depth is None else depth
        return self.blocks.chain[max(0, len(self.blocks.chain) - wanted)]

    def _reach(self, name: str) -> None:
        self.before(name)
        if not self.is_reachable:
            raise ChainUnreachableError("the node does not answer")
