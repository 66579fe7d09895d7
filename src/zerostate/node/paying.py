"""Paying for a task what its receipt asks for, once that is what its terms give."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, final

from zerostate.errors import SignatureError
from zerostate.evidence.receipt import open_receipt
from zerostate.execution.manifest import PriceTerms
from zerostate.ids import PeerId, TaskId
from zerostate.node.report import PaymentReport
from zerostate.payment import ChannelManager, PaymentTracer
from zerostate.telemetry import TraceCarrier
from zerostate.units import Minor


@final
@dataclass(frozen=True, slots=True)
class Owed:
    """What a task costs that was done."""

    task_id: TaskId
    executor: PeerId
    receipt: bytes
    """Sealed, as it came."""

    due: Minor
    """By the terms, for what the receipt says."""

    max_total: Minor
    """Most that the task may cost."""

    @classmethod
    def by(cls, receipt: bytes, terms: PriceTerms) -> Self:
        """Return what a task costs by a receipt that was judged before.

        Raises:
            EvidenceError: It is no receipt, or nobody has signed it.
        """
        said = open_receipt(receipt)
        due = terms.price(said.fuel_used, said.outcome)
        most = Minor(terms.max_total)
        return cls(said.task_id, said.executor, receipt, due, most)


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
        owed: Owed,
        tell: Callable[[PaymentReport], None],
        *,
        within: TraceCarrier | None = None,
    ) -> None:
        """Pay what is owed.

        Safe to call again: what is paid is not paid twice.

        Args:
            owed: For which task, and how much.
            tell: Called with the payment, also with one that is then found wrong.
            within: The trace that it belongs to; None: the current one.

        Raises:
            PaymentError: No channel, or the executor does not take the payment.
            P2PError: No answer; it may or may not have been accepted.
            SignatureError: Payment and receipt do not fit together.
        """
        with self._tracer.trace_payment_flow(
            owed.task_id, owed.executor, within=within
        ):
            channel_id = await self._channels.open_channel(
                owed.executor,
                max(self._deposit, owed.max_total),
                needed=owed.max_total,
            )
            payment = await self._channels.pay(
                channel_id, owed.due, task_id=owed.task_id, receipt=owed.receipt
            )
            verdict = await self._channels.verify_payment(
                payment,
                receipt=owed.receipt,
                max_total=owed.max_total,
                price=owed.due,
            )
            verified = verdict.receipt_verified and verdict.payment_verified
            # What was begun on another channel, unit by unit, is finished there.
            paid_on = payment.channel_id
            tell(PaymentReport(paid_on, owed.due, payment.nonce, verified))
            if not verified:
                raise SignatureError("; ".join(verdict.problems))
