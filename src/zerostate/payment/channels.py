"""Payment channels of one peer.

A channel is a deposit and a chain of states that both ends sign. With a chain the
deposit is locked in a contract there, and the newest state says who gets what of it.
Without one it is a promise: a payment is then worth what the payer's word is worth.
Either way, what both signed is evidence that anyone can verify
(`zerostate.evidence.channel`).
"""

from collections import Counter
from typing import Final, final

from zerostate.errors import ChannelNotFoundError, EvidenceError
from zerostate.evidence.channel import decode_state
from zerostate.evidence.ethereum import EthAddress
from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment.answering import ChannelAnswers
from zerostate.payment.chain import TxReceipt
from zerostate.payment.guarding import Guarding
from zerostate.payment.ledger import restored
from zerostate.payment.means import Means
from zerostate.payment.model import (
    ChannelView,
    Payment,
    PaymentVerdict,
    Settlement,
)
from zerostate.payment.opening import Opener
from zerostate.payment.rows import PaymentStatus
from zerostate.payment.state import ChannelState
from zerostate.payment.streaming import PaymentStream
from zerostate.payment.verdict import judge, open_evidence
from zerostate.payment.viewing import view_of
from zerostate.payment.watchtower.client import HandInCounts
from zerostate.units import Minor


@final
class ChannelManager(ChannelAnswers):
    """Both ends' operations on this peer's channels. Made by `open_channels`.

    Of a channel's numbers only the payer makes new ones: the payee asks for an end or a
    withdrawal, and the payer proposes it. All that is signed is durable before it is
    sent, and all operations can be called again after a crash at any point.

    Cancellation: a state that was signed is durable or was not sent. A cancelled
    operation may have reached the counterparty; calling it again finishes it.
    """

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._guarding: Final = Guarding(means.ledger, means.party.config.watchtowers)
        self._party: Final = means.party
        self._ledger: Final = means.ledger
        self._opener: Final = Opener(means, self._funding, self._payer.sharing)

    @property
    def address(self) -> EthAddress:
        """The address that this peer pays from and is paid to."""
        return self._party.key.address

    async def open_channel(
        self,
        peer_id: PeerId,
        deposit: Minor,
        deposit_payee: Minor = Minor(0),  # noqa: B008  # a NewType of an int
        ttl_s: int | None = None,
        *,
        needed: Minor | None = None,
    ) -> ChannelId:
        """Return an open channel on which `needed` can be paid to `peer_id`.

        One that is open and has at least so much left is taken (without a span:
        nothing is opened); otherwise a new one is proposed with `deposit`, or the one
        whose opening was cut short is gone on with. Calls for one peer take turns.

        With a chain this returns when the deposit is confirmed there and the payee has
        seen it. The payee makes its own deposit afterwards.

        Args:
            peer_id: The payee.
            deposit: What a new channel is opened with.
            deposit_payee: What the payee is asked to deposit in a new one.
            ttl_s: How long a new one takes payments, in seconds; None: as configured.
            needed: What must be left on the channel; None for the whole deposit.

        Raises:
            PaymentError: The deposit is out of bounds, there are too many channels, or
                the last two are given and there is no chain.
            RemoteError: The payee refused; nothing is left of the channel, unless its
                deposit was on the chain already.
            P2PError: No answer (the same call goes on).
            ChainError: The chain refused, or did not answer (likewise).
            ChannelNotFundedError: The payee does not see the deposit (likewise).
            SignatureError: The answer is not signed by the payee.
            EvidenceError: The answer is malformed, or its address binding is wrong.
            StoreError: The disk refused; nothing was sent.
        """
        channel_id = await self._opener.open_channel(
            peer_id, deposit, deposit_payee, ttl_s, needed=needed
        )
        self.opened(peer_id)
        return channel_id

    async def require_means(
        self, peer_id: PeerId, deposit: Minor, *, needed: Minor
    ) -> None:
        """Check that `needed` can be paid to `peer_id`, before anything is owed.

        On a channel that is open, or on a new one with `deposit`: then the chain is
        asked whether our account has as much. Gas apart, and no promise: both may
        change until it is paid.

        Raises:
            InsufficientBalanceError: The account has less than `deposit`.
            PaymentError: The deposit is out of bounds, or there are too many channels.
            ChainError: The chain does not answer.
            StoreError: The disk refused.
        """
        await self._opener.require_means(peer_id, deposit, needed=needed)

    async def pay(
        self, channel_id: ChannelId, amount: Minor, *, task_id: TaskId, receipt: bytes
    ) -> Payment:
        """Pay `amount` for the task that the sealed `receipt` is of.

        At most once for a task, whatever happens: a payment for it that was begun is
        finished where it was begun, be it on another channel, with the same bytes; one
        that is agreed is returned again, without a span (but with one if it shares its
        state: somebody else may have had it signed, outside of the task's trace). The
        receipt is not opened here; see `verify_payment`. Payments on one channel take
        turns; those that wait for theirs at the same time are paid by one state, up to
        `MAX_SHARED`.

        Raises:
            ChannelNotFoundError: No such channel in which we pay.
            InsufficientBalanceError: Less than `amount` is left; nothing was signed.
            PriceError: The amount is not positive, or the task is being paid with
                another amount or for another receipt.
            RemoteError: The payee refused. It has our signature, so the channel takes
                no other payment until it accepts this one.
            P2PError: No answer; it may or may not have been accepted (the same call
                finds out).
            SignatureError: The answer is not this state signed by the payee.
            PaymentError: An earlier payment on the channel is refused by the payee.
            ChannelFrozenError: The channel is closed or being closed, its time is over,
                or a withdrawal is under way.
            StoreError: The disk refused.
        """
        return await self._payer.pay(
            channel_id, amount, task_id=task_id, receipt=receipt
        )

    def stream(
        self, channel_id: ChannelId, *, task_id: TaskId, manifest_sha256: str
    ) -> PaymentStream:
        """Return what pays for a task while it goes on; sends nothing yet.

        Args:
            channel_id: A channel in which we pay.
            task_id: The task.
            manifest_sha256: Of its signed manifest, hex: what its payments name before
                there is a receipt.
        """
        return PaymentStream(
            self._payer, channel_id, task_id=task_id, manifest_sha256=manifest_sha256
        )

    async def close(
        self, channel_id: ChannelId, *, force: bool = False, wait: bool = False
    ) -> Settlement | None:
        """End a channel, settle it on the chain, and take what is ours.

        Together: what is in flight is finished, both sign a final state, and it is
        settled at once. If the other end does not answer or refuses, or with `force`,
        we close alone by the newest state; then the window must pass.

        Args:
            channel_id: A channel on a chain, of either role.
            force: Do not ask the other end.
            wait: If we close alone, wait for the window, and settle.

        Returns:
            The settlement; the same one when called again. None: we close alone, and
            the window is open until the channel's deadline. `watch` settles it then,
            or `settle`.

        Raises:
            ChannelNotFoundError: No such channel.
            ChannelNotFundedError: Its deposit is not on the chain.
            PaymentError: It is a promise, on no chain.
            StaleStateError: It was restored from a backup and not compared yet.
            ChainError: The chain refused, or did not answer; nothing is signed on the
                channel any more, and calling again goes on.
            StoreError: The disk refused.
        """
        return await self._closing.close(channel_id, force=force, wait=wait)

    async def settle(self, channel_id: ChannelId) -> Settlement:
        """End a close of one end, after its window, and take what is ours.

        Raises:
            PaymentError: Nobody is closing it, or the window is still open.
            ChainError: The chain refused, or did not answer.
        """
        return await self._settling.after_window(channel_id)

    async def dispute(self, channel_id: ChannelId) -> TxReceipt | None:
        """Answer a close by an older state than our newest; None: ours is not newer.

        From then on nothing is signed on the channel. `watch` does this by itself.

        Raises:
            ChannelNotFoundError: No such channel on a chain.
            ChainError: The chain refused, or did not answer.
        """
        return await self._disputing.dispute(channel_id)

    async def withdraw(
        self,
        channel_id: ChannelId,
        *,
        to_payer: Minor = Minor(0),  # noqa: B008  # a NewType of an int
        to_payee: Minor = Minor(0),  # noqa: B008  # a NewType of an int
    ) -> TxReceipt:
        """Pay out a part and go on; both must sign. As the payer payments wait meanwhile.

        Whoever calls this brings it to the chain: as the payee this has the payer sign
        what it asks for, and payments go on meanwhile.

        Raises:
            PaymentError: Nothing to withdraw, or a payee asks for the payer's part.
            InsufficientBalanceError: More than is the party's.
            ChannelFrozenError: The channel is not open.
            RemoteError: The other end refused; the channel is as before.
            P2PError: No answer; calling again finishes it.
            NotConfirmedError: The payer has not signed it in time; it may yet, and
                `watch` goes on then.
            ChainError: The chain refused, or did not answer; `watch` goes on.
        """
        return await self._withdrawing.withdraw(
            channel_id, to_payer=to_payer, to_payee=to_payee
        )

    async def synchronise(self, peer_id: PeerId) -> None:
        """Compare the newest states with `peer_id`, in the channels in which we pay.

        To be called when a counterparty is there again. Who is behind catches up, and
        what was in flight is finished.

        Raises:
            P2PError: No answer.
            EvidenceError: It claims a state that we did not sign.
            StoreError: The disk refused.
        """
        await self._syncing.synchronise(peer_id)

    async def reach_chain(self) -> None:
        """Reach the chain, if there is one, before somebody has to wait for that.

        It takes a second of processor time the first time in a process.

        Raises:
            ChainError: It cannot be reached, or is not what is configured. Whatever
                needs it tries again.
            StoreError: The journal of sent transactions cannot be used.
        """
        if self._means.chain is not None:
            await self._means.onchain.chain.head()

    async def watch(self) -> None:
        """Follow the chain and look after all channels, until cancelled.

        Answers closes by old states, settles after the window, finishes what a crash
        or an unreachable peer cut short, closes channels whose time is over, and does
        what counterparties ask for. What fails is logged, counted in `failures`, and
        tried again. What is agreed is handed to the watchtowers. Without a chain it only
        waits.

        Raises:
            RuntimeError: It is running already.
        """
        await self._watching.run(self._guarding.run)

    @property
    def handed_in(self) -> tuple[HandInCounts, ...]:
        """What became of the states that were handed to each watchtower."""
        return self._guarding.counts

    @property
    def failures(self) -> Counter[str]:
        """What failed in `watch`, by error code."""
        return self._watching.failures

    async def verify_payment(
        self,
        payment: Payment,
        *,
        receipt: bytes,
        max_total: Minor,
        price: Minor | None = None,
    ) -> PaymentVerdict:
        """Check `payment` and `receipt` against each other, from their bytes alone.

        Never raises for what they say. If something is wrong, the span ``payment.verify``
        ends ERROR and the verdict has the reasons.

        Args:
            payment: A payment that we made.
            receipt: The sealed receipt that it is for.
            max_total: The most that the task's terms allow.
            price: What they make of the receipt; None leaves that unchecked.
        """
        tracer = self._party.tracer
        verdict = PaymentVerdict(
            receipt_verified=False, payment_verified=False, problems=()
        )
        try:
            with tracer.trace_verification(payment.channel_id, payment.task_id) as span:
                with tracer.trace_signature_verification(payment.channel_id):
                    opened = open_evidence(payment, receipt)
                verdict = judge(
                    payment,
                    receipt,
                    opened,
                    payer=self._party.peer_id,
                    max_total=max_total,
                    price=price,
                )
                tracer.record_verdict(
                    span,
                    payment_verified=verdict.payment_verified,
                    receipt_verified=verdict.receipt_verified,
                )
                _raise_problems(verdict)
        except EvidenceError:
            return verdict
        return verdict

    async def is_paid(self, task_id: TaskId, receipt_sha256: str) -> bool:
        """Whether a state that both ends signed pays for this receipt of a task.

        Raises:
            StoreError: The disk refused.
        """
        row = await self._ledger.store.payment(task_id)
        if row is None or row.status != PaymentStatus.AGREED:
            return False
        paid = decode_state(row.state).update.payment_of(task_id)
        return paid is not None and paid.receipt_sha256 == receipt_sha256

    async def view(self, channel_id: ChannelId) -> ChannelView:
        """Return what can be told of a channel.

        Raises:
            ChannelNotFoundError: There is none.
            StoreError: It cannot be read, or does not verify.
        """
        row = await self._ledger.store.channel(channel_id)
        if row is None:
            raise ChannelNotFoundError(f"no channel {channel_id}")
        return view_of(row)

    async def views(self) -> tuple[ChannelView, ...]:
        """Return what can be told of all channels, oldest first."""
        rows = await self._ledger.store.channels()
        return tuple(view_of(row) for row in rows)

    async def get(self, channel_id: ChannelId) -> ChannelState:
        """Return the channel as it is on disk.

        Raises:
            ChannelNotFoundError: There is none.
            StoreError: It cannot be read, or does not verify.
        """
        row = await self._ledger.store.channel(channel_id)
        if row is None:
            raise ChannelNotFoundError(f"no channel {channel_id}")
        return restored(row)

    async def list(self) -> tuple[ChannelState, ...]:
        """Return all channels of this peer, in either role, oldest first."""
        rows = await self._ledger.store.channels()
        return tuple(restored(row) for row in rows)


def _raise_problems(verdict: PaymentVerdict) -> None:
    if verdict.problems:
        raise EvidenceError("; ".join(verdict.problems))
