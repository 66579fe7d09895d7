"""A node with a pool of transactions that a test controls: nothing is mined unasked."""

import secrets
from dataclasses import dataclass, field

import rlp

from zerostate.errors import ChainUnreachableError, InsufficientGasError
from zerostate.evidence.ethereum import EthAddress, keccak256
from zerostate.payment.chain.model import BlockHash, BlockRef, Head, TxHash, TxReceipt
from zerostate.payment.chain.node import SendOutcome
from zerostate.payment.chain.transactions import TxRequest

BASE_FEE_WEI = 10
TIP_WEI = 2
GAS = 40_000


@dataclass(frozen=True)
class Pooled:
    """A transaction that waits for a block."""

    tx_hash: TxHash
    nonce: int
    max_wei: int
    tip_wei: int
    raw: bytes


@dataclass
class Block:
    hash: BlockHash
    transactions: list[Pooled] = field(default_factory=list)


@dataclass
class FakeNode:
    """One account's view of a chain.

    As much of `zerostate.payment.chain.node.Node` as sending transactions takes: no
    code, calls or logs of contracts.
    """

    wei: int = 10**18
    reachable: bool = True
    keeps: bool = True
    """Whether what is sent stays in the pool."""

    least_fee_wei: int = 0
    """Transactions that offer less are not mined."""

    fails: frozenset[TxHash] = frozenset()
    """Transactions that the contract refuses."""

    refuses: Exception | None = None
    """What estimating says."""

    pool: dict[int, Pooled] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=lambda: [_block()])
    sent: list[Pooled] = field(default_factory=list)
    shown: int = 0
    """Receipts that were handed out."""

    asked: int = 0
    """Questions that were put to it."""

    def mine(self, blocks: int = 1) -> None:
        """Add blocks; the first takes what is in the pool, in order."""
        for _ in range(blocks):
            block = _block()
            nonce = self._mined()
            while (tx := self.pool.get(nonce)) and tx.max_wei >= self.least_fee_wei:
                block.transactions.append(self.pool.pop(nonce))
                nonce += 1
            self.blocks.append(block)

    def drop(self, blocks: int = 1) -> None:
        """Reorganise: the newest blocks never were."""
        del self.blocks[-blocks:]

    def _mined(self) -> int:
        return sum(len(block.transactions) for block in self.blocks)

    def _answering(self) -> None:
        self.asked += 1
        if not self.reachable:
            raise ChainUnreachableError("the test took the node away")

    async def chain_id(self) -> int:
        self._answering()
        return 31337

    async def head(self) -> Head:
        self._answering()
        number = len(self.blocks) - 1
        return Head(BlockRef(number, self.blocks[-1].hash), number, BASE_FEE_WEI)

    async def block_hash(self, number: int) -> BlockHash | None:
        self._answering()
        return self.blocks[number].hash if number < len(self.blocks) else None

    async def balance(self, address: EthAddress) -> int:
        self._answering()
        return self.wei

    async def nonce(self, address: EthAddress, *, pending: bool) -> int:
        self._answering()
        nonce = self._mined()
        while pending and nonce in self.pool:
            nonce += 1
        return nonce

    async def estimate_gas(self, sender: EthAddress, request: TxRequest) -> int:
        self._answering()
        if self.refuses is not None:
            raise self.refuses
        return GAS

    async def tip_wei(self) -> int:
        self._answering()
        return TIP_WEI

    async def send(self, raw: bytes) -> SendOutcome:
        self._answering()
        tx = decoded(raw)
        self.sent.append(tx)
        if tx.max_wei * GAS > self.wei:
            raise InsufficientGasError("insufficient funds")
        if tx.nonce < await self.nonce(EthAddress(""), pending=False):
            return SendOutcome.NONCE_USED
        there = self.pool.get(tx.nonce)
        if there is not None and there.tx_hash != tx.tx_hash:
            enough = 10 * tx.max_wei >= 11 * there.max_wei
            if not enough or 10 * tx.tip_wei < 11 * there.tip_wei:
                return SendOutcome.UNDERPRICED
        if self.keeps:
            self.pool[tx.nonce] = tx
        return SendOutcome.TAKEN

    async def receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        self._answering()
        for number, block in enumerate(self.blocks):
            for tx in block.transactions:
                if tx.tx_hash == tx_hash:
                    self.shown += 1
                    place = BlockRef(number, block.hash)
                    return TxReceipt(
                        tx_hash, place, GAS, GAS, tx_hash not in self.fails
                    )
        return None


def decoded(raw: bytes) -> Pooled:
    fields = [int.from_bytes(f) for f in rlp.decode(raw[1:])[:4]]
    return Pooled(
        TxHash("0x" + keccak256(raw).hex()), fields[1], fields[3], fields[2], raw
    )


def _block() -> Block:
    return Block(BlockHash("0x" + secrets.token_hex(32)))
