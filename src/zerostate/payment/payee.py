"""The paid end: accept channels and payments.

Whoever sends is known (`author` is the signer of the message's envelope), and nothing
else about the body is believed before it is checked. An agreed state is durable before
the answer is given; a proposal that comes again gets the same answer again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final, final

from zerostate.errors import (
    ChannelFrozenError,
    ExposureError,
    PaymentError,
    PriceError,
    SignatureError,
    StaleStateError,
)
from zerostate.evidence.channel import (
    ChannelTerms,
    SignedState,
    decode_state,
    open_terms,
    state_digest,
    with_payee,
)
from zerostate.evidence.channel_update import OPENING, ChannelUpdate, TaskPayment
from zerostate.evidence.ethereum import recover
from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment import wire
from zerostate.payment.funding import Funding
from zerostate.payment.ledger import TraceContexts, agreed_bytes, restored
from zerostate.payment.means import Means
from zerostate.payment.model import Expects, ExpectsStream
from zerostate.payment.state import (
    ChannelState,
    CounterSign,
    Propose,
    apply,
    check_next,
    new_channel,
)
from zerostate.payment.store import Role
from zerostate.payment.tracing import PaymentSpan
from zerostate.telemetry import TraceCarrier
from zerostate.telemetry.propagation import TRACEPARENT
from zerostate.units import Minor

EXPIRY_GRACE_S: Final = 120
"""How long after a channel's time payments are still taken, in seconds: as far as two
peers' clocks may be apart."""

Exposed = Callable[[ChannelId], None]
"""Is told a channel that owes us much."""


def _expect_nothing(_task_id: TaskId) -> None:
    """Nothing has been earned, nothing is being worked on."""


def _nobody_asks(_channel_id: ChannelId) -> None:
    pass


@final
class Payee:
    """Checks proposals and counter-signs those that are right."""

    def __init__(
        self,
        means: Means,
        funding: Funding,
        *,
        expects: Expects = _expect_nothing,
        expects_stream: ExpectsStream = _expect_nothing,
    ) -> None:
        self.expects = expects
        self.expects_stream = expects_stream
        self.exposed: Exposed = _nobody_asks
        """Called with a channel that owes us more than half of what it may."""

        self._means: Final = means
        self._party: Final = means.party
        self._ledger: Final = means.ledger
        self._funding: Final = funding

    async def on_channel_open(self, author: PeerId, body: bytes) -> bytes:
        """See `ChannelManager.on_channel_open`."""
        opening = wire.decode_channel_open(body)
        proposal = decode_state(opening.proposal)
        terms = open_terms(proposal.terms)
        self._check_terms(author, terms, proposal.update)
        # A payee's address in a proposal is a claim of the payer's; ours is put in.
        terms = replace(terms, payee_address=None, payee_binding=b"")
        terms = with_payee(terms, self._party.binding)
        # Not the key of our own openings: both ends may open to each other at once.
        async with self._ledger.locks.hold(f"from {author}"):
            row = await self._ledger.store.channel(terms.channel_id)
            if row is not None:
                return _opened_before(restored(row))
            life = self._funding.accepted_life(opening)
            await self._check_room(author)
            signature = recover(state_digest(terms, OPENING), proposal.payer_signature)
            state = new_channel(terms, life)
            state = apply(state, Propose(OPENING, signature)).state
            state = apply(state, CounterSign(self._party.sign(terms, OPENING))).state
            return wire.encode_channel_opened(
                await self._ledger.save(state, Role.PAYEE)
            )

    async def on_payment_update(self, author: PeerId, body: bytes) -> bytes:
        """See `ChannelManager.on_payment_update`."""
        proposal = decode_state(wire.decode_payment_update(body))
        task_id = proposal.update.task_id
        if task_id is None:
            raise PaymentError("state 0 is no payment; send it as channel_open")
        channel_id = open_terms(proposal.terms).channel_id
        contexts = _contexts(proposal.update, wire.traceparents_of(body))
        tracer = self._party.tracer
        with tracer.trace_verification(channel_id, task_id) as span:
            tracer.record_verdict(span, payment_verified=False, receipt_verified=None)
            async with self._ledger.locks.hold(channel_id):
                state = await self._ledger.load(channel_id, Role.PAYEE, peer_id=author)
                answer = await self._answered_before(proposal, task_id)
                if answer is None:
                    answer = await self._accept_next(state, proposal, contexts)
            tracer.record_verdict(span, payment_verified=True, receipt_verified=None)
        return wire.encode_payment_accepted(answer)

    def _check_terms(
        self, author: PeerId, terms: ChannelTerms, update: ChannelUpdate
    ) -> None:
        config = self._party.config
        if update != OPENING:
            raise StaleStateError(f"a channel opens with nonce 0, not {update.nonce}")
        if terms.payer != author:
            raise SignatureError(f"{author} proposes a channel of {terms.payer}")
        if terms.payee != self._party.peer_id:
            raise SignatureError(f"a channel to {terms.payee}, not to us")
        if (terms.chain_id, terms.contract) != (config.chain_id, config.contract):
            raise PaymentError(
                f"a channel on chain {terms.chain_id}, contract {terms.contract}; "
                f"ours are {config.chain_id}, {config.contract}"
            )
        self._party.check_deposit(terms.deposit)

    async def _check_room(self, author: PeerId) -> None:
        in_all, with_peer = await self._ledger.store.count_channels(author)
        config = self._party.config
        if in_all >= config.max_channels or with_peer >= config.max_channels_per_peer:
            raise PaymentError(f"no room for another channel of {author}")

    async def _answered_before(
        self, proposal: SignedState, task_id: TaskId
    ) -> bytes | None:
        """Return our earlier answer to this very proposal, if there was one."""
        row = await self._ledger.store.payment(task_id)
        if row is None:
            return None
        known = decode_state(row.state)
        if replace(known, payee_signature=b"") == proposal:
            return row.state
        if not row.interim:
            raise PriceError(f"{task_id} is paid already, by another state")
        if open_terms(known.terms).channel_id != open_terms(proposal.terms).channel_id:
            raise PriceError(f"{task_id} is being paid on another channel")
        return None

    async def _accept_next(
        self, state: ChannelState, proposal: SignedState, contexts: TraceContexts
    ) -> bytes:
        update = proposal.update
        first, *others = update.payments
        begun = await self._begun(first.task_id)
        for other in others:
            if await self._begun(other.task_id) is not None:
                raise PriceError(f"{other.task_id} is paid already, by another state")
        interim = self._check_expected(first, begun)
        if interim and others:
            raise PriceError(f"{first.task_id} goes on; pay for it by itself")
        paid = begun.amount if begun else Minor(0)
        self._check_limits(state, update, Minor(update.total - paid))
        if state.life is not None and state.life.takes_payments:
            await self._funding.check_seen(state.channel_id, state.life)
        answer = await self._accept(
            state, proposal, contexts, paid=paid, interim=interim
        )
        most = self._party.config.max_exposure
        if most is not None and 2 * (state.exposure + update.total - paid) > most:
            self.exposed(state.channel_id)
        return answer

    async def _begun(self, task_id: TaskId) -> TaskPayment | None:
        """Return what was paid for a task before, if anything was."""
        row = await self._ledger.store.payment(task_id)
        return decode_state(row.state).update.payment_of(task_id) if row else None

    @contextmanager
    def _others_checked(
        self, channel_id: ChannelId, update: ChannelUpdate, contexts: TraceContexts
    ) -> Iterator[tuple[TraceContexts, Sequence[PaymentSpan]]]:
        """Check what else `update` pays for, each in a span in its task's own trace.

        The spans are open in the block, and none of them is the current one there. They
        say that their payments are right when it ends: else nothing was signed.

        Yields:
            The trace context of each span, and the spans.
        """
        tracer = self._party.tracer
        own: dict[TaskId, str | None] = {}
        aside = tracer.aside()
        with ExitStack() as open_spans:
            spans = []
            for other in update.others:
                context = contexts.get(other.task_id)
                if context is not None:
                    span = tracer.trace_verification(
                        channel_id, other.task_id, TraceCarrier(context)
                    )
                    spans.append(open_spans.enter_context(span))
                    own[other.task_id] = TraceCarrier.inject().traceparent or None
                self._check_new(other)
            open_spans.enter_context(aside)
            yield own, spans
            for checked in spans:
                tracer.record_verdict(
                    checked, payment_verified=True, receipt_verified=None
                )

    def _check_new(self, wanted: TaskPayment) -> None:
        """Check what is paid for once and for all, along with others."""
        if self._check_expected(wanted, None):
            raise PriceError(f"{wanted.task_id} goes on; pay for it by itself")

    def _check_expected(self, wanted: TaskPayment, begun: TaskPayment | None) -> bool:
        """Return whether more may be paid after `wanted`; refuse what is not due.

        What names the task's manifest may have been signed before there was a receipt,
        or before we forgot the task: to refuse it would hold up the channel for good.
        """
        task_id, names = wanted.task_id, wanted.receipt_sha256
        expected, stream = self.expects(task_id), self.expects_stream(task_id)
        if stream is not None and names == stream.manifest_sha256:
            if wanted.amount > stream.max_total:
                raise PriceError(f"{wanted.amount} for at most {stream.max_total}")
            return True
        if begun is not None and names == begun.receipt_sha256:
            return True
        if expected is None:
            if stream is None:
                raise PriceError(f"no receipt of ours for {task_id} is to be paid")
            raise PriceError(f"names another manifest for {task_id} than ours")
        if names != expected.receipt_sha256:
            raise PriceError(f"names another receipt for {task_id} than ours")
        if wanted.amount != expected.price:
            raise PriceError(f"{wanted.amount} for a price of {expected.price}")
        return False

    def _check_limits(
        self, state: ChannelState, update: ChannelUpdate, more: Minor
    ) -> None:
        life, most = state.life, self._party.config.max_exposure
        if most is not None and self._is_too_much(state, update, more, most):
            self.exposed(state.channel_id)
            raise ExposureError(
                f"{state.channel_id} owes {state.exposure} already, and at most {most} "
                "is taken on one channel; withdraw a part, or open another one"
            )
        if (
            life is not None
            and self._means.now_unix_s() > life.expires_unix_s + EXPIRY_GRACE_S
        ):
            raise ChannelFrozenError(f"the time of {state.channel_id} is over")

    @staticmethod
    def _is_too_much(
        state: ChannelState, update: ChannelUpdate, more: Minor, most: Minor
    ) -> bool:
        """Whether a channel would owe us too much.

        As long as it owes nothing, no withdrawal could make room for a state that pays
        for several tasks: then it is enough that each of them alone would be taken.
        """
        if state.exposure == 0 and update.others:
            return any(one.amount > most for one in update.payments)
        return state.exposure + more > most

    async def _accept(
        self,
        state: ChannelState,
        proposal: SignedState,
        contexts: TraceContexts,
        *,
        paid: Minor,
        interim: bool,
    ) -> bytes:
        tracer, update = self._party.tracer, proposal.update
        check_next(state, update, paid=paid)
        with tracer.trace_signature_verification(state.channel_id):
            digest = state_digest(state.terms, update)
            signature = recover(digest, proposal.payer_signature)
            state = apply(state, Propose(update, signature, paid)).state
        with (
            self._others_checked(state.channel_id, update, contexts) as (own, others),
            tracer.trace_channel_update(state.channel_id, update.nonce) as span,
        ):
            counter_signature = self._party.sign(state.terms, update)
            state = apply(state, CounterSign(counter_signature)).state
            answer = await self._ledger.save(
                state,
                Role.PAYEE,
                interim=interim,
                trace_contexts=_with_own(own, update),
            )
            for told in (span, *others):
                tracer.record_state(told, answer, update.nonce)
        return answer


def _contexts(update: ChannelUpdate, traceparents: Sequence[str]) -> TraceContexts:
    """Return the trace context that the payer names for each other task.

    None of them if the first one's is not in the current trace: then whoever took the
    message did not trust its payer to continue traces, or there is nothing to continue.
    """
    # What is malformed is dropped here, and counted.
    named = [
        TraceCarrier.from_headers({TRACEPARENT: one}).traceparent if one else ""
        for one in traceparents[: len(update.payments)]
    ]
    own = TraceCarrier.inject().traceparent
    if not named or not own or _trace_id(named[0]) != _trace_id(own):
        return {}
    pairs = zip(update.others, named[1:], strict=False)
    return {other.task_id: context for other, context in pairs if context}


def _trace_id(traceparent: str) -> str:
    """Return the trace id in a ``traceparent`` (W3C Trace Context section 3.2)."""
    _version, _, rest = traceparent.partition("-")
    return rest.partition("-")[0]


def _with_own(contexts: TraceContexts, update: ChannelUpdate) -> TraceContexts:
    """Return `contexts` and, for the first task, that of the current span."""
    if update.task_id is None:
        return contexts
    own = TraceCarrier.inject().traceparent or None
    return {update.task_id: own, **contexts}


def _opened_before(state: ChannelState) -> bytes:
    if state.nonce != 0:
        raise StaleStateError(f"{state.channel_id} is at nonce {state.nonce} already")
    return wire.encode_channel_opened(agreed_bytes(state))
