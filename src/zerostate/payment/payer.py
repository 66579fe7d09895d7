"""The paying end: pay on a channel, at once or while a task goes on."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Final, final

from zerostate.errors import (
    ChannelFrozenError,
    NotConfirmedError,
    P2PError,
    PaymentError,
    PriceError,
    RemoteError,
)
from zerostate.evidence.channel import decode_state
from zerostate.evidence.channel_update import OPENING, ChannelUpdate, TaskPayment
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import ChannelId, TaskId
from zerostate.payment import wire
from zerostate.payment.ledger import TraceContexts
from zerostate.payment.means import Means
from zerostate.payment.model import Payment
from zerostate.payment.proposing import counter_signed, proposed
from zerostate.payment.sharing import Sharing, Waiting
from zerostate.payment.state import ChannelState, payment_update
from zerostate.payment.store import PaymentRow, PaymentStatus, Role
from zerostate.payment.tracing import PaymentSpan
from zerostate.telemetry import TraceCarrier
from zerostate.units import Minor

_log: Final = logging.getLogger(__name__)


@final
class Payer:
    """Proposes states and takes the payee's signatures.

    A proposal is durable before it is sent. From then on it is the only one for its
    nonce: it is sent again, the same bytes, until the payee's signature is here.
    """

    def __init__(self, means: Means) -> None:
        self._means: Final = means
        self._party: Final = means.party
        self._ledger: Final = means.ledger
        self.sharing: Final = Sharing()

    async def pay(
        self, channel_id: ChannelId, amount: Minor, *, task_id: TaskId, receipt: bytes
    ) -> Payment:
        """See `ChannelManager.pay`."""
        names = receipt_sha256(receipt)
        return await self.pay_for(channel_id, amount, task_id=task_id, names=names)

    async def pay_for(
        self,
        channel_id: ChannelId,
        amount: Minor,
        *,
        task_id: TaskId,
        names: str,
        interim: bool = False,
    ) -> Payment:
        """Pay until a task has been paid `amount` in all.

        Args:
            channel_id: Where to pay, if nothing was paid for the task yet.
            amount: What was then paid for it.
            task_id: The task.
            names: SHA-256 of its receipt; of its manifest while it is interim.
            interim: The task goes on, and more may be paid for it.

        Raises:
            As `ChannelManager.pay`.
        """
        wanted = TaskPayment(task_id, names, amount)
        locks = self._ledger.locks
        async with locks.hold(task_id):
            # Asked before the disk is: it is written to while a payment is taken along.
            taken_on = self.sharing.taken_on(task_id)
            begun = await self._ledger.store.payment(task_id)
            begun_on = begun.channel_id if begun else taken_on
            channel_id = begun_on or channel_id
            if begun_on is None and not interim and amount > 0:
                return await self._pay_shared(channel_id, wanted)
            async with locks.hold(channel_id):
                return await self._pay_held(channel_id, wanted, interim=interim)

    async def _pay_shared(self, channel_id: ChannelId, wanted: TaskPayment) -> Payment:
        """Pay for a new task, along with others that wait for the channel."""
        tracer = self._party.tracer
        with tracer.trace_payment(
            channel_id, wanted.amount, None, wanted.task_id
        ) as span:
            mine = Waiting(wanted, tracer.traceparent_of(span))
            self.sharing.join(channel_id, mine)
            try:
                await self.sharing.turn(mine)
                payment = mine.paid
                if payment is None:
                    async with self._ledger.locks.hold(channel_id):
                        payment = await self._pay_held(channel_id, wanted, mine, span)
            finally:
                self.sharing.leave(channel_id, mine)
            tracer.record_nonce(span, payment.nonce)
            tracer.record_state(span, payment.state, payment.nonce)
            return payment

    async def _pay_held(
        self,
        channel_id: ChannelId,
        wanted: TaskPayment,
        mine: Waiting | None = None,
        span: PaymentSpan | None = None,
        *,
        interim: bool = False,
    ) -> Payment:
        """Pay with the channel held; as `mine`, take along who else waits for it."""
        task_id, names, amount = wanted.task_id, wanted.receipt_sha256, wanted.amount
        # Another task may have finished it while we waited.
        begun = await self._ledger.store.payment(task_id)
        state = await self._ledger.load(channel_id, Role.PAYER)
        state = await self._without_overtaken(state)
        if begun is not None:
            done = await self._finish(state, begun, amount, names, span)
            if done is not None:
                return done
            begun = await self._ledger.store.payment(task_id)
            state = await self._ledger.load(channel_id, Role.PAYER)
        if state.proposed is not None:
            state = await self._finish_earlier(state, state.proposed.update)
        self._check_time(state)
        paid = _paid_before(begun)
        taken: tuple[Waiting, ...] = ()
        if mine is not None and begun is None:
            left = Minor(state.balance_payer - amount)
            taken = self.sharing.take(channel_id, mine, left)
        try:
            others = await self._never_paid(taken)
            update = payment_update(
                state,
                amount,
                task_id=task_id,
                receipt_sha256=names,
                paid=paid,
                others=tuple(other.payment for other in others),
            )
            state = await self._transact(
                state, update, paid=paid, interim=interim, others=others, span=span
            )
            for other in others:
                other.paid = self._payment(state, other.payment.task_id)
        finally:
            self.sharing.wake(channel_id, taken)
        return self._payment(state, task_id)

    async def _never_paid(self, taken: Sequence[Waiting]) -> Sequence[Waiting]:
        """Return those whose tasks nothing was paid for while they waited."""
        store = self._ledger.store
        return [
            one for one in taken if await store.payment(one.payment.task_id) is None
        ]

    async def _without_overtaken(self, state: ChannelState) -> ChannelState:
        """Drop what is in flight if a withdrawal that the chain knows has taken its number.

        Until it is deep enough in the chain, the payee could still sign what is in flight
        and use it.
        """
        proposed, life = state.proposed, state.life
        if proposed is None or life is None or proposed.update.nonce > life.base_nonce:
            return state
        found = await self._means.on_chain(state.channel_id, deep=True)
        if found.nonce < proposed.update.nonce:
            raise NotConfirmedError(
                f"{state.channel_id} takes no payment before its withdrawal is "
                "confirmed; pay again then"
            )
        state = replace(state, proposed=None)
        await self._ledger.keep(state, Role.PAYER)
        return state

    async def finish_in_flight(self, state: ChannelState) -> None:
        """Try to have the update in flight counter-signed; only with the lock held."""
        if state.proposed is None or state.proposed.update.task_id is None:
            return
        try:
            await self._finish_earlier(state, state.proposed.update)
        except (P2PError, PaymentError) as exc:
            _log.info("%s: what is in flight stays so: %s", state.channel_id, exc)

    async def _finish(
        self,
        state: ChannelState,
        begun: PaymentRow,
        amount: Minor,
        names: str,
        span: PaymentSpan | None,
    ) -> Payment | None:
        """Return the payment that was begun, finished; None: another one is to follow."""
        update = decode_state(begun.state).update
        wanted = TaskPayment(begun.task_id, names, amount)
        paid = update.payment_of(begun.task_id)
        same = paid == wanted
        in_flight = state.proposed is not None and state.proposed.update == update
        if not (same or begun.interim):
            raise PriceError(f"{_told(begun.task_id, paid)}; nothing was paid again")
        if begun.status is PaymentStatus.AGREED:
            return self._signed_before(begun, amount, span) if same else None
        if not in_flight:
            return None  # a withdrawal has ended it: it is worth nothing any more
        if same:
            done = await self._transact(
                state,
                update,
                paid=begun.paid,
                interim=begun.interim,
                about=begun.task_id,
                span=span,
            )
            return self._payment(done, begun.task_id)
        await self._finish_earlier(state, update)
        return None

    def _signed_before(
        self, begun: PaymentRow, amount: Minor, span: PaymentSpan | None
    ) -> Payment:
        """Return a payment that both ends have signed; its trace may not know it yet.

        Whoever paid another task of the same state may have had it signed.
        """
        tracer = self._party.tracer
        if span is None and decode_state(begun.state).update.others:
            with tracer.trace_payment(
                begun.channel_id, amount, begun.nonce, begun.task_id
            ) as own:
                tracer.record_state(own, begun.state, begun.nonce)
        return Payment(
            begun.channel_id, amount, begun.nonce, begun.task_id, begun.state
        )

    async def _finish_earlier(
        self, state: ChannelState, update: ChannelUpdate
    ) -> ChannelState:
        if update.task_id is None:
            raise PaymentError(f"{state.channel_id} is not open yet")
        row = await self._ledger.store.payment(update.task_id)
        interim, paid = (row.interim, row.paid) if row else (False, Minor(0))
        try:
            return await self._transact(state, update, paid=paid, interim=interim)
        except RemoteError as exc:
            raise PaymentError(
                f"{state.channel_id} cannot be used before the payee signs nonce "
                f"{update.nonce} ({update.task_id}), which it refuses: {exc}; open "
                "another channel"
            ) from exc

    async def _transact(
        self,
        state: ChannelState,
        update: ChannelUpdate,
        *,
        paid: Minor,
        interim: bool,
        others: Sequence[Waiting] = (),
        about: TaskId | None = None,
        span: PaymentSpan | None = None,
    ) -> ChannelState:
        """Have `update` counter-signed.

        Args:
            state: The channel.
            update: In flight already, or the next.
            paid: What earlier states have paid for its first task.
            interim: Whether that task goes on.
            others: Who waits for its other tasks to be paid; empty when it is sent again.
            about: The task that it is sent for; the first if not given.
            span: Of that task's payment, and its result is told there by the caller;
                None: it gets one here.
        """
        tracer = self._party.tracer
        sent_for = update.payment_of(about) if about else next(iter(update.payments))
        if sent_for is None:
            raise ValueError(f"nonce {update.nonce} does not pay for {about}")
        with (
            tracer.trace_payment(
                state.channel_id, sent_for.amount, update.nonce, sent_for.task_id
            )
            if span is None
            else nullcontext(span)
        ) as own:
            if span is not None:
                tracer.record_nonce(span, update.nonce)
            state = proposed(self._party, state, update, paid=paid)
            contexts = await self._contexts(update, others)
            contexts[sent_for.task_id] = TraceCarrier.inject().traceparent or None
            body = await self._send_update(state, contexts, paid=paid, interim=interim)
            answer = decode_state(wire.decode_payment_accepted(body))
            state = counter_signed(state, answer)
            await self._ledger.save(state, Role.PAYER, paid=paid, interim=interim)
            if span is None:
                tracer.record_state(own, self._ledger.agreed(state), update.nonce)
        return state

    async def _contexts(
        self, update: ChannelUpdate, others: Sequence[Waiting]
    ) -> dict[TaskId, str | None]:
        """Return in which spans the tasks that share `update` are paid."""
        if not update.others or others:
            return {one.payment.task_id: one.trace_context for one in others}
        rows = [
            await self._ledger.store.payment(one.task_id) for one in update.payments
        ]
        return {row.task_id: row.trace_context for row in rows if row is not None}

    async def _send_update(
        self,
        state: ChannelState,
        contexts: TraceContexts,
        *,
        paid: Minor,
        interim: bool,
    ) -> bytes:
        saved = await self._ledger.save(
            state, Role.PAYER, interim=interim, paid=paid, trace_contexts=contexts
        )
        self.sharing.told(state.channel_id)
        traceparents = [
            contexts.get(one.task_id) or ""
            for one in (state.proposed.update.payments if state.proposed else ())
        ]
        # A single payment's context is the message's own.
        body = wire.encode_payment_update(
            saved, traceparents if len(traceparents) > 1 else ()
        )
        try:
            # The message belongs to the first task, whichever it is sent for.
            with self._party.tracer.told_within(TraceCarrier(*traceparents[:1])):
                return await self._means.request(
                    state.terms.payee, wire.PAYMENT_UPDATE, body
                )
        except RemoteError:
            await self._ledger.refuse(state, interim=interim, paid=paid)
            raise

    def _check_time(self, state: ChannelState) -> None:
        life = state.life
        if life is not None and self._means.now_unix_s() >= life.expires_unix_s:
            raise ChannelFrozenError(
                f"the time of {state.channel_id} is over; open another channel"
            )

    def _payment(self, state: ChannelState, task_id: TaskId) -> Payment:
        """Return what the newest agreed update pays for a task."""
        update = state.agreed.update if state.agreed else OPENING
        paid = update.payment_of(task_id)
        if paid is None:
            raise ValueError(f"{state.channel_id} does not pay for {task_id}")
        return Payment(
            state.channel_id,
            paid.amount,
            update.nonce,
            task_id,
            self._ledger.agreed(state),
        )


def _told(task_id: TaskId, paid: TaskPayment | None) -> str:
    if paid is None:
        return f"{task_id} is being paid already"
    return (
        f"{task_id} is being paid already, with {paid.amount} for receipt "
        f"{paid.receipt_sha256[:16]}…"
    )


def _paid_before(begun: PaymentRow | None) -> Minor:
    """Return what was paid so far for a task of which nothing is in flight."""
    if begun is None:
        return Minor(0)
    if begun.status is PaymentStatus.AGREED:
        paid = decode_state(begun.state).update.payment_of(begun.task_id)
        return paid.amount if paid else begun.paid
    return begun.paid
