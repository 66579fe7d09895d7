"""Sending transactions: nonces, gas, fees, and what to do when they do not arrive.

One account, one sender: nonces are given out under a lock, after the journal has the
transaction. Nothing here knows the contract.
"""

import logging
import math
from collections.abc import Callable
from typing import Final, TypeVar, final

import trio

from zerostate.errors import (
    ChainError,
    ChainUnreachableError,
    InsufficientGasError,
    TransactionRevertedError,
)
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.chain.config import ChainConfig
from zerostate.payment.chain.fees import Fees, first_fees, raised_fees
from zerostate.payment.chain.journal import Journal, SentTx, TxStatus
from zerostate.payment.chain.model import TxHash
from zerostate.payment.chain.node import Node, SendOutcome
from zerostate.payment.chain.transactions import TxRequest, sign_transaction

MAX_GAS: Final = 3_000_000
"""Most gas for one transaction; deploying the contract takes 1.8 million."""

MAX_NONCE_TRIES: Final = 3
"""How often another nonce is tried when somebody else uses our key meanwhile."""

_log: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


@final
class TransactionSender:
    """Signs and sends one account's transactions.

    Attributes:
        drops: How often one that counted as confirmed was found to be in no block.
    """

    def __init__(
        self,
        node: Node,
        journal: Journal,
        key: EthKey,
        *,
        chain_id: int,
        config: ChainConfig,
    ) -> None:
        self._node = node
        self._journal = journal
        self._key = key
        self._chain_id = chain_id
        self._config = config
        self._sending = trio.Lock()
        self._noting = trio.Lock()
        # At most what the journal keeps.
        self._dropped: dict[TxHash, None] = {}
        self.drops = 0

    async def submit(
        self, request: TxRequest, *, may_use_reserve: bool, once: bool = False
    ) -> TxHash:
        """Sign, note and send a transaction; return its hash.

        An unreachable node after it was noted is no error: `send_again` sends it.

        Args:
            request: What it does.
            may_use_reserve: Whether it may leave less than a challenge costs.
            once: Whether the same request, sent earlier and in no block (yet, or any
                more), be it by an earlier process, is this one: then its hash is
                returned.

        Raises:
            TransactionRevertedError: The contract would refuse it; nothing was sent.
            InsufficientGasError: The account does not cover it; nothing was sent.
            ChainUnreachableError: The node does not answer; nothing was sent.
            ChainError: The node refuses it, or gas is too dear; nothing was sent.
            StoreUnavailableError: It could not be noted; nothing was sent.
        """
        if once and (same := await self._on_its_way(request)) is not None:
            return same
        needed = await self._node.estimate_gas(self._key.address, request)
        gas = math.ceil(needed * self._config.gas_margin_ratio)
        if gas > MAX_GAS:
            raise ChainError(f"it would take {gas} gas; the most is {MAX_GAS}")
        async with self._sending:
            if once and (same := await self._on_its_way(request)) is not None:
                return same
            head = await self._node.head()
            fees = first_fees(
                head.base_fee_wei, await self._node.tip_wei(), self._config
            )
            await self._check_balance(request, gas, fees, may_use_reserve)
            for _ in range(MAX_NONCE_TRIES):
                sent = self._sign(request, await self._next_nonce(), gas, fees)
                await self.noted(self._journal.add, sent)
                if await self._hand_in(sent):
                    return sent.tx_hash
        raise ChainError(f"{self._key.address}: something else uses up its nonces")

    async def send_again(self, sent: SentTx) -> None:
        """Hand a transaction in once more; a node that has it already does not mind.

        Never raises for what the node says: whether it is in a block is looked up, not
        concluded from this.
        """
        try:
            outcome = await self._node.send(sent.raw)
        except ChainError as exc:
            _log.warning("%s could not be sent again: %s", sent.tx_hash, exc)
        else:
            _log.info("%s was sent again: %s", sent.tx_hash, outcome.value)

    async def replace(self, sent: SentTx) -> SentTx | None:
        """Send `sent` again with a higher fee; None when the fee is at its most.

        Raises:
            ChainUnreachableError: The node does not answer.
            StoreUnavailableError: The replacement could not be noted, nor was it sent.
        """
        async with self._sending:
            head = await self._node.head()
            fees = raised_fees(sent.fees, head.base_fee_wei, self._config)
            if fees is None:
                return None
            raw, tx_hash = self._signed(sent.request, sent.nonce, sent.gas, fees)
            new = SentTx(
                tx_hash, sent.first_hash, sent.nonce, sent.request, sent.gas, fees, raw
            )
            await self.noted(self._journal.add, new)
        _log.info("%s is stuck; %s offers more in its place", sent.tx_hash, tx_hash)
        await self.send_again(new)
        return new

    async def restore(self, sent: SentTx) -> None:
        """Note that `sent`, which counted as confirmed, is in no block any more.

        To be handed in by the caller.
        """
        _log.warning("%s was confirmed, and is gone from the chain", sent.tx_hash)
        await self.noted(self._journal.pending_again, sent.first_hash)
        self.drops += 1
        self._dropped[sent.first_hash] = None

    def take_dropped(self) -> tuple[TxHash, ...]:
        """Return the first hashes of what was restored since this was last called."""
        dropped = tuple(self._dropped)
        self._dropped.clear()
        return dropped

    async def hand_in_missing(self) -> None:
        """Hand in what the node does not know of ours, in order.

        Raises:
            ChainUnreachableError: The node does not answer.
        """
        async with self._sending:
            for sent in await self._missing():
                await self.send_again(sent)

    async def fill_below(self, sent: SentTx) -> bool:
        """Hand in what the node misses below `sent`, and `sent` after it.

        Returns:
            Whether it missed any of ours; if not, nothing was handed in. While it does,
            no fee brings `sent` into a block.

        Raises:
            ChainUnreachableError: The node does not answer.
        """
        async with self._sending:
            missing = await self._missing()
            if not missing or missing[0].nonce >= sent.nonce:
                return False
            for each in missing:
                await self.send_again(each)
        _log.info("%s had to wait for what the node did not know", sent.tx_hash)
        return True

    async def recover(self) -> int:
        """Send again what an earlier process left; return how many there were."""
        pending = await self.noted(self._journal.pending)
        for sent in pending:
            await self.send_again(sent)
        return len(pending)

    async def noted(self, work: Callable[..., _T], *arguments: object) -> _T:
        """Do something with the journal, one at a time and off this thread."""
        async with self._noting:
            return await trio.to_thread.run_sync(work, *arguments)

    async def _on_its_way(self, request: TxRequest) -> TxHash | None:
        highest = await self.noted(self._journal.highest_nonce, request)
        if highest is None:
            return None
        # What is in a block counts as pending until somebody has waited for it.
        used = await self._nonce(pending=False)
        if highest < used:
            return None
        unused = await self._unused(used)
        same = [sent for sent in unused if sent.request == request]
        if not same:
            return None
        # All of them: the node takes none before those below it.
        for sent in unused:
            await self.send_again(sent)
        return same[0].first_hash

    async def _hand_in(self, sent: SentTx) -> bool:
        try:
            outcome = await self._node.send(sent.raw)
        except ChainUnreachableError as exc:
            _log.warning("%s is noted and not yet sent: %s", sent.tx_hash, exc)
            return True
        except ChainError:
            await self.noted(self._journal.forget, sent.tx_hash)
            raise
        if outcome is SendOutcome.TAKEN:
            return True
        if await self._node.receipt(sent.tx_hash) is not None:
            return True
        await self.noted(self._journal.forget, sent.tx_hash)
        return False

    async def _next_nonce(self) -> int:
        # The node takes them in order only.
        for sent in await self._missing():
            await self.send_again(sent)
        return max(
            await self._nonce(pending=True),
            await self.noted(self._journal.next_nonce),
        )

    async def _missing(self) -> list[SentTx]:
        """Return the first that the node does not know of ours, and all above it."""
        unused = await self._unused(await self._nonce(pending=False))
        if not unused:
            return []
        # A node may count what is behind a gap that a dropped block left, and throw it
        # out later: so what was dropped is missing whatever it counts, and what is above
        # it is handed in too.
        known = await self._nonce(pending=True)
        for index, sent in enumerate(unused):
            if sent.nonce >= known or sent.status is TxStatus.CONFIRMED:
                return unused[index:]
        return []

    async def _unused(self, nonce: int) -> list[SentTx]:
        """Return what we signed for `nonce`, which no block has used, and above it.

        What was dropped is noted as pending, and has its old status here.
        """
        unused = []
        for sent in await self.noted(self._journal.signed_from, nonce):
            if sent.status is TxStatus.CONFIRMED:
                if await self._node.receipt(sent.tx_hash) is not None:
                    continue  # in a block that came since the node was asked
                await self.restore(sent)
            unused.append(sent)
        return unused

    async def _nonce(self, *, pending: bool) -> int:
        return await self._node.nonce(self._key.address, pending=pending)

    async def _check_balance(
        self,
        request: TxRequest,
        gas: int,
        fees: Fees,
        may_use_reserve: bool,  # noqa: FBT001  # a private step of submit
    ) -> None:
        balance = await self._node.balance(self._key.address)
        cost = request.value_wei + gas * fees.max_wei
        reserve = 0 if may_use_reserve else self._config.reserve_gas * fees.max_wei
        if balance < cost + reserve:
            raise InsufficientGasError(
                f"{self._key.address} has {balance} wei; this takes up to {cost}, and "
                f"{reserve} stay for a challenge: send it {cost + reserve - balance}"
            )

    def _sign(self, request: TxRequest, nonce: int, gas: int, fees: Fees) -> SentTx:
        raw, tx_hash = self._signed(request, nonce, gas, fees)
        return SentTx(tx_hash, tx_hash, nonce, request, gas, fees, raw)

    def _signed(
        self, request: TxRequest, nonce: int, gas: int, fees: Fees
    ) -> tuple[bytes, TxHash]:
        return sign_transaction(
            self._key,
            request,
            chain_id=self._chain_id,
            nonce=nonce,
            gas=gas,
            fees=fees,
        )


async def refusal_reason(node: Node, key: EthKey, request: TxRequest) -> str:
    """Return why the contract refuses `request` now; empty when it does not."""
    try:
        await node.estimate_gas(key.address, request)
    except TransactionRevertedError as exc:
        return exc.reason
    except ChainError:
        return ""
    return ""
