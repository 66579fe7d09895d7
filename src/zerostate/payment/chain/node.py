"""What we ask a node of the chain, one question a method; `_web3` asks it."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from zerostate.evidence.ethereum import EthAddress
from zerostate.payment.chain.model import BlockHash, BlockRef, Head, TxHash, TxReceipt
from zerostate.payment.chain.transactions import TxRequest


class SendOutcome(Enum):
    """What a node said to a signed transaction."""

    TAKEN = "taken"
    """It will pass it on; also when it had it already."""

    NONCE_USED = "nonce_used"
    """Another transaction with that nonce, or this one, is in a block."""

    UNDERPRICED = "underpriced"
    """It has another one with that nonce, and this one does not offer enough more."""


@dataclass(frozen=True, slots=True)
class RawLog:
    """An event as the chain has it."""

    topics: tuple[bytes, ...]
    data: bytes
    block: BlockRef
    tx_hash: TxHash
    index: int


class Node(Protocol):
    """Answers questions about the chain.

    Each method MUST raise ChainUnreachableError when there is no answer in time, and
    ChainError for an answer that makes no sense.
    """

    async def chain_id(self) -> int:
        """Return the chain's id."""

    async def head(self) -> Head:
        """Return the newest block."""

    async def block_hash(self, number: int) -> BlockHash | None:
        """Return the hash of block `number`; None when there is none yet."""

    async def balance(self, address: EthAddress) -> int:
        """Return an account's wei at the newest block."""

    async def nonce(self, address: EthAddress, *, pending: bool) -> int:
        """Return the account's next nonce, with or without what is in no block yet."""

    async def code(self, address: EthAddress) -> bytes:
        """Return the contract at `address`; empty when there is none."""

    async def call(self, to: EthAddress, data: bytes, block: int | None) -> bytes:
        """Return what a call returns after `block` (None: the newest).

        Raises:
            TransactionRevertedError: It reverts.
        """

    async def estimate_gas(self, sender: EthAddress, request: TxRequest) -> int:
        """Return the gas that a transaction would need now.

        Raises:
            TransactionRevertedError: It would revert.
            InsufficientGasError: The sender has not the value that it sends.
        """

    async def tip_wei(self) -> int:
        """Return the tip that the node suggests for a unit of gas."""

    async def send(self, raw: bytes) -> SendOutcome:
        """Hand in a signed transaction.

        Raises:
            InsufficientGasError: The sender cannot pay for it; it was not taken.
            ChainError: Refused for good; it was not taken.
        """

    async def receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        """Return the receipt of a transaction; None when it is in no block."""

    async def logs(
        self, contract: EthAddress, first: int, last: int
    ) -> tuple[RawLog, ...]:
        """Return the contract's events in blocks `first` to `last`, oldest first."""
