"""Waiting until a transaction is deep enough in the chain, and seeing it vanish."""

import logging
from dataclasses import dataclass
from typing import Final, final

import trio

from zerostate.errors import (
    ChainError,
    ChainUnreachableError,
    NotConfirmedError,
    ReorganisedError,
    TransactionRevertedError,
)
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.chain.config import ChainConfig
from zerostate.payment.chain.journal import Journal, SentTx, TxStatus
from zerostate.payment.chain.model import TxHash, TxReceipt
from zerostate.payment.chain.node import Node
from zerostate.payment.chain.sender import TransactionSender, refusal_reason

WATCHED_BLOCKS: Final = 256
"""How far back confirmed transactions are looked at again: an hour of Ethereum."""

MISSING_SIGHTINGS: Final = 2
"""How often in a row a used nonce without a receipt is seen before it is believed: the
block that used it may come between the two questions."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Wait:
    """What one wait has seen."""

    sent_s: float
    replacements: int
    seen: TxReceipt | None = None
    missing: int = 0


@final
class Confirmer:
    """Follows the transactions of one sender.

    Attributes:
        reorganisations: How often a block with one of our transactions was dropped.
    """

    def __init__(
        self,
        node: Node,
        journal: Journal,
        sender: TransactionSender,
        key: EthKey,
        config: ChainConfig,
    ) -> None:
        self._node = node
        self._journal = journal
        self._sender = sender
        self._key = key
        self._config = config
        self.reorganisations = 0

    async def confirm(self, tx_hash: TxHash, timeout_s: float, depth: int) -> TxReceipt:
        """Wait as `Chain.confirm` says."""
        family = await self._family(tx_hash)
        wait = _Wait(trio.current_time(), len(family) - 1)
        problem = "it is in no block yet"
        with trio.move_on_after(timeout_s):
            while True:
                try:
                    receipt = await self._look(family, wait, depth)
                except ChainUnreachableError as exc:
                    problem = str(exc)
                else:
                    if receipt is not None:
                        return await self._judge(family[-1], receipt)
                    if wait.seen is not None:
                        problem = f"block {wait.seen.block.number} is not deep enough"
                await trio.sleep(self._config.poll_s)
                family = await self._family(tx_hash)
        raise NotConfirmedError(f"{tx_hash} after {timeout_s:g} s: {problem}")

    async def vanished(self) -> tuple[TxHash, ...]:
        """Return what is gone from the chain, as `Chain.vanished` says."""
        head = await self._node.head()
        first = max(0, head.block.number - WATCHED_BLOCKS)
        confirmed = await self._sender.noted(self._journal.confirmed_since, first)
        gone = [sent for sent in confirmed if await self._is_gone(sent)]
        for sent in gone:
            await self._restore(sent)
        return tuple(sent.first_hash for sent in gone)

    async def _look(
        self, family: tuple[SentTx, ...], wait: _Wait, depth: int
    ) -> TxReceipt | None:
        confirmed = [sent for sent in family if sent.status is TxStatus.CONFIRMED]
        head = await self._node.head()
        receipt = await self._receipt(family)
        if receipt is None:
            if confirmed:
                await self._restore(confirmed[0])
                raise ReorganisedError(
                    f"{confirmed[0].tx_hash} was confirmed, and is in no block any more"
                )
            await self._pursue(family, wait)
            return None
        if wait.seen is not None and wait.seen.block != receipt.block:
            self.reorganisations += 1
            _log.warning("%s has moved to another block", receipt.tx_hash)
        wait.seen, wait.missing = receipt, 0
        if head.block.number - receipt.block.number + 1 < depth:
            return None
        if await self._node.block_hash(receipt.block.number) != receipt.block.hash:
            return None
        (sent,) = (sent for sent in family if sent.tx_hash == receipt.tx_hash)
        await self._sender.noted(self._journal.confirmed, sent, receipt.block)
        return receipt

    async def _pursue(self, family: tuple[SentTx, ...], wait: _Wait) -> None:
        newest = family[-1]
        if wait.seen is not None:
            self.reorganisations += 1
            _log.warning("%s was in a block, and is in none now", newest.tx_hash)
            wait.seen = None
            await self._sender.send_again(newest)
            return
        if await self._node.nonce(self._key.address, pending=False) > newest.nonce:
            wait.missing += 1
            if wait.missing >= MISSING_SIGHTINGS:
                await self._sender.noted(self._journal.lost, newest.first_hash)
                raise ChainError(
                    f"{newest.first_hash}: another transaction with nonce "
                    f"{newest.nonce} took its place"
                )
            return
        if trio.current_time() - wait.sent_s < self._config.stuck_after_s:
            return
        wait.sent_s = trio.current_time()
        if wait.replacements < self._config.max_replacements:
            wait.replacements += 1
            if await self._sender.replace(newest) is not None:
                return
        await self._sender.send_again(newest)

    async def _judge(self, sent: SentTx, receipt: TxReceipt) -> TxReceipt:
        if receipt.succeeded:
            return receipt
        reason = await refusal_reason(self._node, self._key, sent.request)
        raise TransactionRevertedError(
            reason, f"{receipt.tx_hash} in block {receipt.block.number} was refused"
        )

    async def _receipt(self, family: tuple[SentTx, ...]) -> TxReceipt | None:
        # The newest first: it is the likeliest.
        for sent in reversed(family):
            receipt = await self._node.receipt(sent.tx_hash)
            if receipt is not None:
                return receipt
        return None

    async def _family(self, tx_hash: TxHash) -> tuple[SentTx, ...]:
        family = await self._sender.noted(self._journal.of, tx_hash)
        if not family:
            raise ChainError(f"{tx_hash} was not sent from here")
        return family

    async def _is_gone(self, sent: SentTx) -> bool:
        receipt = await self._node.receipt(sent.tx_hash)
        if receipt is None:
            return True
        if receipt.block != sent.block:
            # Dropped and taken up again, elsewhere: that is all that matters.
            await self._sender.noted(self._journal.confirmed, sent, receipt.block)
        return False

    async def _restore(self, sent: SentTx) -> None:
        self.reorganisations += 1
        _log.warning("%s was confirmed, and is gone from the chain", sent.tx_hash)
        await self._sender.noted(self._journal.pending_again, sent.first_hash)
        await self._sender.send_again(sent)
