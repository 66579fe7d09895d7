"""Paying for a task while it goes on."""

from collections import Counter
from typing import Final, final

import trio

from zerostate.errors import ZeroStateError
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import ChannelId, TaskId
from zerostate.payment.model import Payment
from zerostate.payment.payer import Payer
from zerostate.units import Minor


@final
class PaymentStream:
    """The payments for one task, each cumulative. Made by `ChannelManager.stream`.

    The newest state that both signed says what the task has cost so far, so a payment
    that was missed is made good by the next. Other payments on the channel may come
    between them. After a restart a new stream for the same task goes on where this one
    was.
    """

    def __init__(
        self,
        payer: Payer,
        channel_id: ChannelId,
        *,
        task_id: TaskId,
        manifest_sha256: str,
    ) -> None:
        self._payer: Final = payer
        self._manifest_sha256: Final = manifest_sha256
        self.channel_id: Final = channel_id
        self.task_id: Final = task_id
        self._turn: Final = trio.Lock()
        self._asked: Final[Counter[Minor]] = Counter()
        self._newest: Payment | None = None

    async def pay(self, total: Minor) -> Payment:
        """Pay until the task was paid `total` in all; the state names its manifest.

        What is asked for while a state is under way is paid by one state together, the
        next: a stream is never longer behind its work than a state takes, however
        small the units are.

        Returns:
            The payment that covers `total`; its amount is more if more was asked for
            meanwhile.

        Raises:
            PriceError: Less than was paid already, or the task is paid for good.
            ZeroStateError: As `ChannelManager.pay`.
        """
        paid = self._newest
        if paid is not None and total < paid.amount:
            return await self._pay(total)
        self._asked[total] += 1
        try:
            async with self._turn:
                return await self._cover(total)
        finally:
            self._asked[total] -= 1
            if not self._asked[total]:
                del self._asked[total]

    async def _cover(self, total: Minor) -> Payment:
        newest = self._newest
        if newest is not None and newest.amount >= total:
            return newest
        together = max(self._asked)
        try:
            newest = await self._pay(together)
        except ZeroStateError:
            if together == total:
                raise
            # What another asked for in vain is no reason not to pay this.
            newest = await self._pay(total)
        self._newest = newest
        return newest

    async def _pay(self, total: Minor) -> Payment:
        return await self._payer.pay_for(
            self.channel_id,
            total,
            task_id=self.task_id,
            names=self._manifest_sha256,
            interim=True,
        )

    async def finish(self, total: Minor, receipt: bytes) -> Payment:
        """Pay what is left of `total`, and name the sealed `receipt`: the last one.

        Raises:
            PriceError: Less than was paid already, or the task is paid for good with
                another amount or receipt.
            ZeroStateError: As `ChannelManager.pay`.
        """
        names = receipt_sha256(receipt)
        async with self._turn:
            return await self._payer.pay_for(
                self.channel_id, total, task_id=self.task_id, names=names
            )
