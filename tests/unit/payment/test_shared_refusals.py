"""States that pay for several tasks, from a payer that is not ours: what is refused."""

from dataclasses import dataclass, replace

import pytest

from payment_parties import PAYER
from zerostate.errors import (
    EvidenceError,
    InsufficientBalanceError,
    PaymentError,
    PriceError,
    SignatureError,
    StaleStateError,
    WireError,
)
from zerostate.evidence.channel import (
    ChannelTerms,
    SignedState,
    decode_state,
    encode_state,
    encode_terms,
    state_digest,
    verify_cosigned,
)
from zerostate.evidence.channel_update import MAX_SHARED, ChannelUpdate, TaskPayment
from zerostate.evidence.ethereum import EthKey
from zerostate.evidence.receipt import receipt_sha256
from zerostate.payment import ChannelManager, ExpectedPayment, PaymentTracer, wire
from zerostate.payment.model import ExpectedStream
from zerostate.telemetry import TraceCarrier
from zerostate.units import Minor

MANIFEST = "77" * 32
REFUSALS = {
    "amount": "9 for a price of",
    "receipt_sha256": "another receipt",
    "task_id": "no receipt of ours",
}
TRACEPARENT = "00-{:032x}-{:016x}-01"
OWN = TRACEPARENT.format(0x99, 0x99)


@dataclass
class Rogue:
    """Whoever has the payer's key, and says with it what it likes."""

    payee: ChannelManager
    terms: ChannelTerms
    key: EthKey

    def sign(self, update):
        return self.key.sign(state_digest(self.terms, update)).signature

    def body(self, update, traceparents=(), signature=None):
        state = SignedState(
            encode_terms(self.terms), update, signature or self.sign(update)
        )
        return wire.encode_payment_update(encode_state(state), traceparents)

    async def propose(self, update, traceparents=(), signature=None):
        """Send it in a trace that is continued, with what is said of other traces."""
        body = self.body(update, (OWN, *traceparents), signature)
        with PaymentTracer().told_within(TraceCarrier(OWN)):
            answer = await self.payee.on_payment_update(PAYER.peer_id, body)
        return wire.decode_payment_accepted(answer)


@pytest.fixture
async def rogue(pair, channel_id, tmp_path):
    terms = (await pair.payee.get(channel_id)).terms
    secret = bytes.fromhex((tmp_path / "payer/payment.key").read_text())
    return Rogue(pair.payee, terms, EthKey(secret))


def issued(pair, price):
    task_id, receipt = pair.issue(price)
    return TaskPayment(task_id, receipt_sha256(receipt), Minor(price))


def update_of(*payments, nonce=1, before=0):
    first, *others = payments
    net = before + sum(one.amount for one in payments)
    return ChannelUpdate(
        nonce,
        Minor(net),
        first.task_id,
        first.receipt_sha256,
        first.amount,
        tuple(others),
    )


async def require_unpaid(pair, channel_id, *payments, nonce=0):
    state = await pair.payee.get(channel_id)
    assert (state.nonce, state.proposed) == (nonce, None)
    for one in payments:
        assert not await pair.payee.is_paid(one.task_id, one.receipt_sha256)
        assert await pair.payee._ledger.store.payment(one.task_id) is None


async def test_each_of_a_right_state_is_paid_and_none_of_them_again(
    pair, channel_id, rogue
):
    three = [issued(pair, price) for price in (1, 2, 3)]
    state = await rogue.propose(update_of(*three))
    assert verify_cosigned(state).update.payments == tuple(three)
    for one in three:
        assert await pair.payee.is_paid(one.task_id, one.receipt_sha256)
        row = await pair.payee._ledger.store.payment(one.task_id)
        assert (row.state, row.nonce) == (state, 1)
    assert await rogue.propose(update_of(*three)) == state

    fresh = issued(pair, 4)
    for again in three:
        for payments in ((again, fresh), (fresh, again), (again,)):
            update = update_of(*payments, nonce=2, before=6)
            with pytest.raises(PriceError, match="is paid already, by another state"):
                await rogue.propose(update)
    await require_unpaid(pair, channel_id, fresh, nonce=1)
    assert (await pair.payee.get(channel_id)).balance_payee == 6


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Minor(9)},
        {"receipt_sha256": "ee" * 32},
        {"task_id": "task-" + "0f" * 16},
    ],
)
async def test_one_that_is_wrong_is_refused_with_all_of_its_state(
    pair, channel_id, rogue, place, changes
):
    payments = [issued(pair, price) for price in (1, 2, 3)]
    wrong = list(payments)
    wrong[place] = replace(wrong[place], **changes)
    pair.spans.clear()
    traceparents = [TRACEPARENT.format(n + 1, n + 1) for n in range(2)]
    with pytest.raises(PriceError, match=REFUSALS[next(iter(changes))]):
        await rogue.propose(update_of(*wrong), traceparents)
    verified = [
        span.attributes["payment.verified"]
        for span in pair.spans.spans
        if span.name == "payment.verify" and "payment.verified" in span.attributes
    ]
    assert verified == [False], "of the first; of no other anything is said"
    await require_unpaid(pair, channel_id, *payments)

    await rogue.propose(update_of(*payments))
    assert (await pair.payee.get(channel_id)).balance_payee == 6


async def test_the_numbers_of_a_shared_state_must_add_up(pair, channel_id, rogue):
    payments = [issued(pair, price) for price in (1, 2, 3)]
    good = update_of(*payments)
    wrong = (
        (replace(good, net=Minor(5)), EvidenceError),
        (replace(good, net=Minor(7)), PaymentError),
        (replace(good, nonce=2), StaleStateError),
        (replace(good, others=(good.others[0],) * 2), EvidenceError),
        (replace(good, others=(good.payments[0],)), EvidenceError),
    )
    for update, error in wrong:
        with pytest.raises(error):
            await rogue.propose(update)
    too_much = [issued(pair, 500) for _ in range(3)]
    with pytest.raises(InsufficientBalanceError, match="1500 is more than the 1000"):
        await rogue.propose(update_of(*too_much))
    await require_unpaid(pair, channel_id, *payments, *too_much)


async def test_a_signature_over_some_of_the_tasks_is_none_over_all(
    pair, channel_id, rogue
):
    payments = [issued(pair, price) for price in (1, 2, 3)]
    signed = update_of(*payments)
    signature = rogue.sign(signed)
    for update in (
        update_of(*payments[:2]),
        update_of(*reversed(payments)),
        replace(update_of(payments[0]), net=signed.net, amount=signed.net),
    ):
        with pytest.raises((SignatureError, PaymentError)):
            await rogue.propose(update, signature=signature)
    await require_unpaid(pair, channel_id, *payments)


async def test_a_task_that_goes_on_shares_no_state(pair, channel_id, rogue):
    task_id, _receipt = pair.issue(5)
    del pair.issued[task_id]
    pair.payee.expects_stream = {task_id: ExpectedStream(MANIFEST, Minor(100))}.get
    goes_on = TaskPayment(task_id, MANIFEST, Minor(5))
    other = issued(pair, 1)
    for payments in ((goes_on, other), (other, goes_on)):
        with pytest.raises(PriceError, match="goes on; pay for it by itself"):
            await rogue.propose(update_of(*payments))
    await require_unpaid(pair, channel_id, goes_on, other)

    await rogue.propose(update_of(goes_on))
    final = replace(goes_on, receipt_sha256="ee" * 32, amount=Minor(9))
    pair.issued[task_id] = ExpectedPayment("ee" * 32, Minor(9))
    with pytest.raises(PriceError, match="is paid already, by another state"):
        update = update_of(other, final, nonce=2, before=5)
        await rogue.propose(update)
    await require_unpaid(pair, channel_id, other, nonce=1)


@pytest.mark.parametrize(
    "traceparents",
    [
        [],
        [TRACEPARENT.format(1, 1)],
        [TRACEPARENT.format(n + 1, n + 1) for n in range(9)],
        ["", ""],
        ["nonsense", "00-" + "zz" * 16 + "-11-01"],
        [TRACEPARENT.format(0, 0), "x" * 400],
    ],
)
async def test_whatever_is_said_of_traces_all_are_paid(
    pair, channel_id, rogue, traceparents
):
    payments = [issued(pair, price) for price in (1, 2, 3)]
    pair.spans.clear()
    await rogue.propose(update_of(*payments), traceparents)
    assert (await pair.payee.get(channel_id)).balance_payee == 6
    verified = [
        span.attributes["task.id"]
        for span in pair.spans.spans
        if span.name == "payment.verify" and span.attributes["payment.verified"]
    ]
    usable = [text for text in traceparents if text.startswith("00-" + "0" * 31)][:2]
    usable = [text for text in usable if text != TRACEPARENT.format(0, 0)]
    expected = {one.task_id for one in payments[1 : 1 + len(usable)]}
    assert set(verified) == {payments[0].task_id, *expected}
    assert len(verified) == 1 + len(usable)


@pytest.mark.parametrize("first", ["", "nonsense", TRACEPARENT.format(5, 5)])
async def test_no_trace_is_continued_if_the_messages_own_was_not(pair, rogue, first):
    payments = [issued(pair, price) for price in (1, 2)]
    pair.spans.clear()
    body = rogue.body(update_of(*payments), (first, TRACEPARENT.format(1, 1)))
    with PaymentTracer().told_within(TraceCarrier(OWN)):
        await rogue.payee.on_payment_update(PAYER.peer_id, body)
    traces = {span.context.trace_id for span in pair.spans.spans}
    assert traces == {0x99}
    row = await pair.payee._ledger.store.payment(payments[1].task_id)
    assert row.trace_context is None


async def test_a_full_state_with_all_its_traces_goes_through(pair, channel_id, rogue):
    payments = [issued(pair, 1) for _ in range(MAX_SHARED)]
    traceparents = [TRACEPARENT.format(n + 1, n + 1) for n in range(MAX_SHARED - 1)]
    body = rogue.body(update_of(*payments), (OWN, *traceparents))
    assert wire.traceparents_of(body) == (OWN, *traceparents)
    state = await rogue.propose(update_of(*payments), traceparents)
    assert decode_state(state).update.payments == tuple(payments)
    row = await pair.payee._ledger.store.payment(payments[-1].task_id)
    assert row.trace_context.startswith(traceparents[-1][:36])
    assert row.trace_context != traceparents[-1], "of our span, in the payer's trace"

    one_more = (*payments, issued(pair, 1))
    with pytest.raises(EvidenceError, match="17 tasks; at most 16"):
        await rogue.propose(update_of(*one_more))
    with pytest.raises(WireError, match="the limit is"):
        await rogue.propose(update_of(*payments), ["x" * 5000])
