"""A chain with one channel contract that a test controls, as a watchtower sees it."""

import secrets
from dataclasses import dataclass, field, replace

import trio

from zerostate.errors import (
    ChainUnreachableError,
    NotConfirmedError,
    ReorganisedError,
    TransactionRevertedError,
)
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthAddress
from zerostate.ids import ChannelId
from zerostate.payment.chain import (
    BlockHash,
    BlockRef,
    ChainEvent,
    ChainFact,
    Challenged,
    ChannelStatus,
    Closing,
    EventPage,
    Head,
    OnChainChannel,
    Settled,
    TxHash,
    TxReceipt,
)
from zerostate.payment.contract import CosignedState
from zerostate.units import Minor

CHAIN_ID = 31337
CONTRACT = EthAddress("0x" + "c0" * 20)
TOWER = EthAddress("0x" + "70" * 20)
WINDOW_S = 60
BLOCK_S = 10


@dataclass
class Block:
    hash: BlockHash
    timestamp_s: int
    channels: dict[ChannelId, OnChainChannel]
    facts: tuple[ChainFact, ...] = ()
    transactions: tuple[TxHash, ...] = ()


def _hash() -> BlockHash:
    return BlockHash("0x" + secrets.token_hex(32))


@dataclass
class FakeChain:
    """Implements what a watchtower uses of `zerostate.payment.chain.Chain`."""

    chain_id: int = CHAIN_ID
    contract: EthAddress = CONTRACT
    address: EthAddress = TOWER
    confirmations: int = 1
    reachable: bool = True
    mines: bool = True
    """Whether what is sent is in a block at once."""

    blocks: list[Block] = field(default_factory=lambda: [Block(_hash(), 1000, {})])
    sent: list[tuple[TxHash, ChannelId, CosignedState]] = field(default_factory=list)
    waiting: list[tuple[TxHash, ChannelId, CosignedState]] = field(default_factory=list)
    calls: int = 0

    # What the test does.

    def mine(self, blocks: int = 1) -> None:
        """Add blocks; the first ones take what was sent and waits, one each."""
        waiting, self.waiting = self.waiting, []
        for tx in waiting:
            self._take(*tx)
        for _ in range(blocks - len(waiting)):
            self._block()

    def drop(self, blocks: int = 1) -> None:
        """Reorganise: the newest blocks never were; what was sent waits again."""
        gone = {tx for block in self.blocks[-blocks:] for tx in block.transactions}
        del self.blocks[-blocks:]
        self.waiting += [tx for tx in self.sent if tx[0] in gone]

    def open(self, channel_id: ChannelId, payer: EthAddress, payee: EthAddress) -> None:
        self._block(
            OnChainChannel(
                channel_id=channel_id,
                status=ChannelStatus.OPEN,
                payer=payer,
                payee=payee,
                deposit_payer=Minor(1000),
                deposit_payee=Minor(0),
                withdrawn_payer=Minor(0),
                withdrawn_payee=Minor(0),
                nonce=0,
                net=Minor(0),
                window_s=WINDOW_S,
                deadline_s=0,
            )
        )

    def close(self, channel_id: ChannelId, nonce: int) -> None:
        """Close, as a party, by state `nonce`."""
        deadline_s = self.blocks[-1].timestamp_s + WINDOW_S
        changed = replace(
            self.now(channel_id),
            status=ChannelStatus.CLOSING,
            nonce=nonce,
            deadline_s=deadline_s,
        )
        net = Minor(nonce)
        self._block(changed, Closing(channel_id, changed.payer, nonce, net, deadline_s))

    def settle(self, channel_id: ChannelId) -> None:
        changed = replace(self.now(channel_id), status=ChannelStatus.SETTLED)
        nonce, none = changed.nonce, Minor(0)
        self._block(
            changed, Settled(channel_id, nonce, Minor(nonce), none, none, False)
        )

    def now(self, channel_id: ChannelId) -> OnChainChannel:
        return self.blocks[-1].channels.get(channel_id, _unknown(channel_id))

    # What the watchtower asks.

    async def head(self) -> Head:
        self._answering()
        return Head(self._ref(len(self.blocks) - 1), self.blocks[-1].timestamp_s, 1)

    async def channel(
        self, channel_id: ChannelId, *, depth: int | None = None
    ) -> OnChainChannel:
        self._answering()
        number = max(0, len(self.blocks) - (depth or self.confirmations))
        found = self.blocks[number].channels
        return found.get(channel_id, _unknown(channel_id))

    async def events(
        self, since: BlockRef | None = None, *, depth: int | None = None
    ) -> EventPage:
        self._answering()
        assert (since is not None, depth) == (True, 1)
        if since not in map(self._ref, range(len(self.blocks))):
            raise ReorganisedError(f"block {since.number} is not what it was")
        last = len(self.blocks) - 1
        events = [
            ChainEvent(fact, self._ref(number), TxHash("0x"), 0)
            for number in range(since.number + 1, last + 1)
            for fact in self.blocks[number].facts
        ]
        return EventPage(tuple(events), self._ref(last))

    async def challenge(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        self._answering()
        for tx_hash, *told in self.waiting:
            if told == [channel_id, state]:
                return tx_hash
        self._check(channel_id, state)
        tx = (TxHash(_hash()), channel_id, state)
        self.sent.append(tx)
        self.waiting.append(tx)
        if self.mines:
            self.mine()
        return tx[0]

    async def confirm(self, tx_hash: TxHash) -> TxReceipt:
        with trio.move_on_after(5):
            while True:
                self._answering()
                for number, block in enumerate(self.blocks):
                    depth = len(self.blocks) - number
                    if tx_hash in block.transactions and depth >= self.confirmations:
                        return TxReceipt(tx_hash, self._ref(number), 66_600, 1, True)
                await trio.sleep(0.1)
        raise NotConfirmedError(f"{tx_hash} is in no block")

    async def vanished(self) -> tuple[TxHash, ...]:
        self._answering()
        return ()

    def _answering(self) -> None:
        self.calls += 1
        if not self.reachable:
            raise ChainUnreachableError("the test took the node away")

    def _check(self, channel_id: ChannelId, state: CosignedState) -> None:
        now = self.now(channel_id)
        if now.status is not ChannelStatus.CLOSING:
            raise TransactionRevertedError("status")
        if self.blocks[-1].timestamp_s >= now.deadline_s:
            raise TransactionRevertedError("window over")
        if state.nonce <= now.nonce:
            raise TransactionRevertedError("stale")

    def _take(
        self, tx_hash: TxHash, channel_id: ChannelId, state: CosignedState
    ) -> None:
        try:
            self._check(channel_id, state)
        except TransactionRevertedError:
            return
        changed = replace(self.now(channel_id), nonce=state.nonce, net=state.net)
        self._block(
            changed,
            Challenged(channel_id, TOWER, state.nonce, state.net, changed.deadline_s),
        )
        self.blocks[-1].transactions = (tx_hash,)

    def _block(self, changed: OnChainChannel | None = None, *facts: ChainFact) -> None:
        before = self.blocks[-1]
        channels = dict(before.channels)
        if changed is not None:
            channels[changed.channel_id] = changed
        self.blocks.append(
            Block(_hash(), before.timestamp_s + BLOCK_S, channels, facts)
        )

    def _ref(self, number: int) -> BlockRef:
        return BlockRef(number, self.blocks[number].hash)


def _unknown(channel_id: ChannelId) -> OnChainChannel:
    none = Minor(0)
    return OnChainChannel(
        channel_id=channel_id,
        status=ChannelStatus.UNKNOWN,
        payer=ZERO_ADDRESS,
        payee=ZERO_ADDRESS,
        deposit_payer=none,
        deposit_payee=none,
        withdrawn_payer=none,
        withdrawn_payee=none,
        nonce=0,
        net=none,
        window_s=0,
        deadline_s=0,
    )
