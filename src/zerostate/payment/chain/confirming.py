"""Waiting until a transaction is deep enough in the chain, and seeing it vanish."""

import logging
from collections import Counter
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
from zerostate.payment.chain.model import Head, TxHash, TxReceipt
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
    """Follows the transactions of one sender."""

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
        self._waits: Counter[TxHash] = Counter()
        self._moves = 0

    @property
    def reorganisations(self) -> int:
        """How often a block with one of our transactions was dropped."""
        return self._moves + self._sender.drops

    async def confirm(self, tx_hash: TxHash, timeout_s: float, depth: int) -> TxReceipt:
        """Wait as `Chain.confirm` says."""
        family = await self._family(tx_hash)
        first_hash = family[0].first_hash
        self._waits[first_hash] += 1
        try:
            return await self._wait_for(tx_hash, family, timeout_s, depth)
        finally:
            self._waits[first_hash] -= 1
            if not self._waits[first_hash]:
                del self._waits[first_hash]

    async def _wait_for(
        self, tx_hash: TxHash, family: tuple[SentTx, ...], timeout_s: float, depth: int
    ) -> TxReceipt:
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
        await self._look_after_the_rest(head)
        return self._sender.take_dropped()

    async def _look_after_the_rest(self, head: Head) -> None:
        """Do for what nobody waits for what a wait would do, a higher fee apart."""
        pending = await self._sender.noted(self._journal.pending)
        left = [sent for sent in pending if sent.first_hash not in self._waits]
        if not left:
            return
        await self._sender.hand_in_missing()
        used = await self._node.nonce(self._key.address, pending=False)
        for sent in left:
            if sent.nonce < used:
                await self._note_if_deep(sent.first_hash, head)

    async def _note_if_deep(self, first_hash: TxHash, head: Head) -> None:
        family = await self._sender.noted(self._journal.family, first_hash)
        receipt = await self._receipt(family)
        if receipt is None or not await self._is_deep(
            receipt, head, self._config.confirmations
        ):
            return
        # To one who waits, confirmed and gone would be an error: that is its to note.
        if first_hash not in self._waits:
            await self._note(family, receipt)

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
            self._moves += 1
            _log.warning("%s has moved to another block", receipt.tx_hash)
        wait.seen, wait.missing = receipt, 0
        if not await self._is_deep(receipt, head, depth):
            return None
        await self._note(family, receipt)
        return receipt

    async def _is_deep(self, receipt: TxReceipt, head: Head, depth: int) -> bool:
        number = receipt.block.number
        if head.block.number - number + 1 < depth:
            return False
        return await self._node.block_hash(number) == receipt.block.hash

    async def _note(self, family: tuple[SentTx, ...], receipt: TxReceipt) -> None:
        (sent,) = (sent for sent in family if sent.tx_hash == receipt.tx_hash)
        await self._sender.noted(self._journal.confirmed, sent, receipt.block)

    async def _pursue(self, family: tuple[SentTx, ...], wait: _Wait) -> None:
        newest = family[-1]
        if wait.seen is not None:
            self._moves += 1
            _log.warning("%s was in a block, and is in none now", newest.tx_hash)
            wait.seen = None
            if not await self._sender.fill_below(newest):
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
        if await self._sender.fill_below(newest):
            return
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
        await self._sender.restore(sent)
        await self._sender.send_again(sent)
