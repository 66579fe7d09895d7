"""Paying for a task what its receipt asks for, once that is what its terms give."""

from typing import Final, final

from zerostate.errors import SignatureError
from zerostate.execution.manifest import PriceTerms
from zerostate.ids import PeerId
from zerostate.node.engaging import Engagement
from zerostate.node.progress import Progress
from zerostate.node.report import PaymentReport, TaskReport
from zerostate.payment import ChannelManager, PaymentTracer
from zerostate.units import Minor


@final
class TaskPayments:
    """The payments of one requester. Made once for a node."""

    def __init__(
        self, channels: ChannelManager, *, tracer: PaymentTracer, deposit: Minor
    ) -> None:
        """Channels are opened with `deposit`, or more where a task may cost more."""
        self._channels: Final = channels
        self._tracer: Final = tracer
        self._deposit: Final = deposit

    async def require_means(self, executor: PeerId, terms: PriceTerms) -> None:
        """Check that `executor` could be paid, before it begins to work.

        Raises:
            PaymentError: There is no money, no room or no chain for a channel.
        """
        max_total = Minor(terms.max_total)
        if max_total:
            await self._channels.require_means(
                executor, max(self._deposit, max_total), needed=max_total
            )

    async def pay(
        self,
        receipt: bytes,
        engagement: Engagement,
        report: TaskReport,
        progress: Progress,
    ) -> None:
        """Pay for the task of `report`, whose receipt was verified; nothing if it is free.

        Safe to call again: what is paid is not paid twice.

        Raises:
            PaymentError: No channel, or the executor does not take the payment.
            P2PError: No answer; it may or may not have been accepted.
            SignatureError: Payment and receipt do not fit together.
        """
        if report.receipt is None or report.receipt.price == 0:
            return
        terms = engagement.files.manifest.price
        due = terms.price(report.receipt.fuel_used, report.receipt.outcome)
        max_total = Minor(terms.max_total)
        with self._tracer.trace_payment_flow(report.task_id, engagement.executor):
            channel_id = await self._channels.open_channel(
                engagement.executor, max(self._deposit, max_total), needed=max_total
            )
            payment = await self._channels.pay(
                channel_id, due, task_id=report.task_id, receipt=receipt
            )
            verdict = await self._channels.verify_payment(
                payment, receipt=receipt, max_total=max_total, price=due
            )
            verified = verdict.receipt_verified and verdict.payment_verified
            report.payment = PaymentReport(channel_id, due, payment.nonce, verified)
            if not verified:
                raise SignatureError("; ".join(verdict.problems))
        await progress("payment.done", f"paid {due}")
