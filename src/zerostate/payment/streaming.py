"""Paying for a task while it goes on."""

from typing import Final, final

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

    async def pay(self, total: Minor) -> Payment:
        """Pay until the task was paid `total` in all; the state names its manifest.

        Raises:
            PriceError: Less than was paid already, or the task is paid for good.
            ZeroStateError: As `ChannelManager.pay`.
        """
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
        return await self._payer.pay_for(
            self.channel_id, total, task_id=self.task_id, names=names
        )
