"""payment.channels: what is refused, on both ends, and what is left after it."""

import pytest
from opentelemetry.trace import StatusCode

from payment_parties import (
    PAYEE,
    PAYER,
    STRANGER,
    Network,
    open_pair,
    sealed_receipt,
)
from zerostate.errors import (
    ChannelNotFoundError,
    EvidenceError,
    InsufficientBalanceError,
    PaymentError,
    PriceError,
    RemoteError,
    SignatureError,
    StaleStateError,
    WireError,
)
from zerostate.evidence.channel import (
    SignedState,
    decode_state,
    encode_state,
    open_terms,
    state_digest,
    verify_cosigned,
)
from zerostate.evidence.channel_update import ChannelUpdate
from zerostate.evidence.ethereum import EthKey
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import new_channel_id, new_task_id
from zerostate.payment import ExpectedPayment, Payment, PaymentConfig, wire
from zerostate.payment.starting import open_channels
from zerostate.payment.tracing import PaymentTracer
from zerostate.testing import FakeClock, assert_trace
from zerostate.units import Minor


def payer_key(tmp_path) -> EthKey:
    return EthKey(bytes.fromhex((tmp_path / "payer/payment.key").read_text()))


def proposal(pair, state: SignedState, key: EthKey, **changes: object) -> bytes:
    """Return the body of a payment_update that `key` signed over changed fields."""
    fields = {
        "nonce": state.update.nonce,
        "net": state.update.net,
        "task_id": state.update.task_id,
        "receipt_sha256": state.update.receipt_sha256,
        "amount": state.update.amount,
    }
    update = ChannelUpdate(**(fields | changes))
    digest = state_digest(open_terms(state.terms), update)
    signed = SignedState(state.terms, update, key.sign(digest).signature)
    return wire.encode_payment_update(encode_state(signed))


async def test_overspending_is_refused_before_anything_is_signed(pair, channel_id):
    task_id, receipt = pair.issue(1001)
    pair.network.sent.clear()
    with pytest.raises(InsufficientBalanceError, match="1001 is more than the 1000"):
        await pair.payer.pay(channel_id, Minor(1001), task_id=task_id, receipt=receipt)
    assert_trace(pair.spans.spans, "payment.transaction ERROR=insufficient_balance")
    assert pair.network.sent == []


@pytest.mark.parametrize("amount", [0, -1])
async def test_nothing_and_less_than_nothing_cannot_be_paid(pair, channel_id, amount):
    with pytest.raises(PriceError, match="only positive amounts"):
        await pair.payer.pay(
            channel_id, Minor(amount), task_id=new_task_id(), receipt=b"receipt"
        )


async def test_another_amount_than_the_receipts_price_is_refused(pair, channel_id):
    task_id, receipt = pair.issue(10)
    with pytest.raises(RemoteError, match="9 for a price of 10") as caught:
        await pair.payer.pay(channel_id, Minor(9), task_id=task_id, receipt=receipt)
    assert caught.value.remote_code == "price"
    assert_trace(
        pair.spans.spans,
        """
        payment.transaction ERROR=price
          payment.signature.sign
          payment.verify ERROR=price
        """,
    )
    refused = pair.spans.named("payment.verify")
    assert refused.attributes["payment.verified"] is False
    assert (await pair.payee.get(channel_id)).balance_payee == 0


async def test_a_channel_with_a_refused_payment_is_not_used_for_others(
    pair, channel_id
):
    refused_task, refused_receipt = pair.issue(10)
    with pytest.raises(RemoteError):
        await pair.payer.pay(
            channel_id, Minor(9), task_id=refused_task, receipt=refused_receipt
        )
    task_id, receipt = pair.issue(5)
    with pytest.raises(PaymentError, match="open another channel"):
        await pair.payer.pay(channel_id, Minor(5), task_id=task_id, receipt=receipt)
    other = await pair.payer.open_channel(PAYEE.peer_id, Minor(100))
    assert other != channel_id
    await pair.payer.pay(other, Minor(5), task_id=task_id, receipt=receipt)


async def test_a_payment_for_no_receipt_of_ours_is_refused(pair, channel_id):
    task_id = new_task_id()
    with pytest.raises(RemoteError, match="no receipt of ours"):
        await pair.payer.pay(
            channel_id,
            Minor(10),
            task_id=task_id,
            receipt=sealed_receipt(task_id, 10),
        )


async def test_a_payment_for_another_receipt_of_that_task_is_refused(pair, channel_id):
    task_id, _receipt = pair.issue(10)
    with pytest.raises(RemoteError, match="another receipt"):
        await pair.payer.pay(
            channel_id,
            Minor(10),
            task_id=task_id,
            receipt=sealed_receipt(task_id, 10),
        )


async def test_a_replayed_payment_gets_the_same_answer_and_pays_nothing(
    pair, channel_id
):
    for price in (10, 20):
        task_id, receipt = pair.issue(price)
        await pair.payer.pay(channel_id, Minor(price), task_id=task_id, receipt=receipt)
    replayed = pair.network.sent[-2][1]
    before = await pair.payee.get(channel_id)
    pair.spans.clear()
    answer = await pair.payee.on_payment_update(PAYER.peer_id, replayed)
    assert verify_cosigned(wire.decode_payment_accepted(answer)).update.nonce == 1
    assert await pair.payee.get(channel_id) == before
    assert_trace(pair.spans.spans, "payment.verify")


async def test_stale_skipped_and_miscounted_states_are_refused(
    pair, channel_id, tmp_path
):
    task_id, receipt = pair.issue(10)
    await pair.payer.pay(channel_id, Minor(10), task_id=task_id, receipt=receipt)
    key = payer_key(tmp_path)
    state = decode_state(wire.decode_payment_update(pair.network.sent[-1][1]))
    fresh, fresh_receipt = pair.issue(10)
    good = {
        "nonce": 2,
        "net": 20,
        "task_id": fresh,
        "receipt_sha256": receipt_sha256(fresh_receipt),
    }
    wrong = (
        ({"nonce": 1}, StaleStateError),
        ({"nonce": 3}, StaleStateError),
        ({"net": 19}, PaymentError),
        ({"net": 10}, PaymentError),
        ({"task_id": task_id}, PriceError),
        ({"amount": 0}, EvidenceError),
        ({"receipt_sha256": ""}, EvidenceError),
    )
    for changes, error in wrong:
        body = proposal(pair, state, key, **(good | changes))
        with pytest.raises(error):
            await pair.payee.on_payment_update(PAYER.peer_id, body)
    body = proposal(pair, state, key, **good)
    await pair.payee.on_payment_update(PAYER.peer_id, body)
    assert (await pair.payee.get(channel_id)).balance_payee == 20


async def test_the_payee_refuses_more_than_the_deposit(pair, channel_id, tmp_path):
    opened = (await pair.payee.get(channel_id)).agreed
    assert opened is not None
    task_id, receipt = pair.issue(1001)
    template = decode_state(
        wire.decode_channel_open(
            next(body for kind, body in pair.network.sent if kind == "channel_open")
        ).proposal
    )
    body = proposal(
        pair,
        template,
        payer_key(tmp_path),
        nonce=1,
        net=1001,
        amount=1001,
        task_id=task_id,
        receipt_sha256=receipt_sha256(receipt),
    )
    with pytest.raises(InsufficientBalanceError):
        await pair.payee.on_payment_update(PAYER.peer_id, body)


async def test_a_state_that_another_key_signed_is_refused(pair, channel_id, tmp_path):
    task_id, receipt = pair.issue(10)
    await pair.payer.pay(channel_id, Minor(10), task_id=task_id, receipt=receipt)
    state = decode_state(wire.decode_payment_update(pair.network.sent[-1][1]))
    fresh, fresh_receipt = pair.issue(10)
    pair.spans.clear()
    body = proposal(
        pair,
        state,
        EthKey.generate(),
        nonce=2,
        net=20,
        task_id=fresh,
        receipt_sha256=receipt_sha256(fresh_receipt),
    )
    with pytest.raises(SignatureError, match="the payer is"):
        await pair.payee.on_payment_update(PAYER.peer_id, body)
    assert_trace(
        pair.spans.spans,
        """
        payment.verify ERROR=signature
          payment.signature.verify ERROR=signature
        """,
    )


async def test_a_channel_is_its_payers_alone(pair, channel_id):
    opening = next(body for kind, body in pair.network.sent if kind == "channel_open")
    with pytest.raises(SignatureError, match="proposes a channel of"):
        await pair.payee.on_channel_open(STRANGER.peer_id, opening)
    task_id, receipt = pair.issue(10)
    await pair.payer.pay(channel_id, Minor(10), task_id=task_id, receipt=receipt)
    with pytest.raises(ChannelNotFoundError):
        await pair.payee.on_payment_update(STRANGER.peer_id, pair.network.sent[-1][1])


async def test_a_replayed_opening_never_resets_a_channel(pair, channel_id):
    opening = next(body for kind, body in pair.network.sent if kind == "channel_open")
    same = await pair.payee.on_channel_open(PAYER.peer_id, opening)
    assert verify_cosigned(wire.decode_channel_opened(same)).channel_id == channel_id
    task_id, receipt = pair.issue(10)
    await pair.payer.pay(channel_id, Minor(10), task_id=task_id, receipt=receipt)
    with pytest.raises(StaleStateError, match="at nonce 1 already"):
        await pair.payee.on_channel_open(PAYER.peer_id, opening)
    assert (await pair.payee.get(channel_id)).balance_payee == 10


async def test_a_tampered_answer_is_not_taken(pair, channel_id):
    task_id, receipt = pair.issue(10)

    def flip(reply: bytes) -> bytes:
        state = decode_state(wire.decode_payment_accepted(reply))
        forged = SignedState(
            state.terms,
            state.update,
            state.payer_signature,
            EthKey.generate()
            .sign(state_digest(open_terms(state.terms), state.update))
            .signature,
        )
        return wire.encode_payment_accepted(encode_state(forged))

    pair.network.rewrite = flip
    with pytest.raises(SignatureError, match="the payee is"):
        await pair.payer.pay(channel_id, Minor(10), task_id=task_id, receipt=receipt)
    assert (await pair.payer.get(channel_id)).nonce == 0
    pair.network.rewrite = None
    payment = await pair.payer.pay(
        channel_id, Minor(10), task_id=task_id, receipt=receipt
    )
    assert payment.nonce == 1


async def test_an_answer_about_another_state_is_not_taken(pair, channel_id):
    first_task, first_receipt = pair.issue(10)
    first = await pair.payer.pay(
        channel_id, Minor(10), task_id=first_task, receipt=first_receipt
    )
    pair.network.rewrite = lambda _reply: wire.encode_payment_accepted(first.state)
    task_id, receipt = pair.issue(10)
    with pytest.raises(SignatureError, match="answered with another state"):
        await pair.payer.pay(channel_id, Minor(10), task_id=task_id, receipt=receipt)
    assert (await pair.payer.get(channel_id)).nonce == 1


async def test_bodies_that_are_no_bodies_are_refused(pair):
    for handler in (pair.payee.on_channel_open, pair.payee.on_payment_update):
        for body in (b"\xff\xff\xff", b"x" * 6000):
            with pytest.raises(WireError):
                await handler(PAYER.peer_id, body)
        for body in (b"", wire.encode_channel_open(wire.Opening(b"\x0a\x03abc"))):
            with pytest.raises((EvidenceError, PaymentError)):
                await handler(PAYER.peer_id, body)


async def test_verification_names_everything_that_is_wrong(pair, channel_id):
    task_id, receipt = pair.issue(10)
    payment = await pair.payer.pay(
        channel_id, Minor(10), task_id=task_id, receipt=receipt
    )
    pair.spans.clear()
    other = sealed_receipt(new_task_id(), 20, requester=STRANGER, executor=STRANGER)
    verdict = await pair.payer.verify_payment(
        payment, receipt=other, max_total=Minor(15)
    )
    assert (verdict.receipt_verified, verdict.payment_verified) == (False, False)
    assert [problem.partition(":")[0] for problem in verdict.problems] == [
        "receipt.task_id",
        "receipt.requester",
        "receipt.price",
        "receipt.price",
        "state.receipt",
        "state.payee",
    ]
    assert_trace(
        pair.spans.spans,
        """
        payment.verify ERROR=evidence
          payment.signature.verify
        """,
    )
    failed = pair.spans.named("payment.verify")
    assert failed.attributes["receipt.verified"] is False
    assert failed.status.status_code is StatusCode.ERROR


async def test_a_receipt_at_another_price_than_the_terms_make_it_is_not_verified(
    pair, channel_id
):
    task_id, receipt = pair.issue(10)
    payment = await pair.payer.pay(
        channel_id, Minor(10), task_id=task_id, receipt=receipt
    )
    verdicts = [
        await pair.payer.verify_payment(
            payment, receipt=receipt, max_total=Minor(15), price=price
        )
        for price in (Minor(10), Minor(9))
    ]
    assert [verdict.receipt_verified for verdict in verdicts] == [True, False]
    assert verdicts[1].problems == ("receipt.price: 10; the terms make it 9",)


async def test_verification_survives_bytes_that_are_no_evidence(pair):
    payment = Payment(new_channel_id(), Minor(1), 1, new_task_id(), b"\xff")
    verdict = await pair.payer.verify_payment(
        payment, receipt=b"\xff", max_total=Minor(1)
    )
    assert (verdict.receipt_verified, verdict.payment_verified) == (False, False)
    assert len(verdict.problems) == 2


async def test_a_channel_for_another_chain_is_refused_and_forgotten(tmp_path):
    async with open_pair(tmp_path) as pair:
        network = Network(STRANGER.peer_id, {PAYEE.peer_id: pair.payee})
        config = PaymentConfig(data_dir=tmp_path / "stranger", chain_id=1)
        async with open_channels(
            config,
            STRANGER,
            tracer=PaymentTracer(),
            clock=FakeClock(),
            counterparty=network,
        ) as stranger:
            with pytest.raises(RemoteError, match="a channel on chain 1"):
                await stranger.open_channel(PAYEE.peer_id, Minor(10))
            assert await stranger.list() == ()


async def test_the_number_of_channels_is_bounded_on_both_ends(tmp_path):
    async with open_pair(tmp_path, max_channels_per_peer=2) as pair:
        for deposit in (1, 2):
            await pair.payer.open_channel(PAYEE.peer_id, Minor(deposit))
        with pytest.raises(PaymentError, match="max_channels_per_peer"):
            await pair.payer.open_channel(PAYEE.peer_id, Minor(3))


async def test_deposits_out_of_bounds_and_channels_with_oneself_are_refused(pair):
    for deposit in (0, -1, 1 << 63):
        with pytest.raises(PaymentError, match="allowed are 1 to"):
            await pair.payer.open_channel(PAYEE.peer_id, Minor(deposit))
    with pytest.raises(PaymentError, match="oneself"):
        await pair.payer.open_channel(PAYER.peer_id, Minor(1))


async def test_unknown_channels_are_named_in_the_error(pair):
    unknown = new_channel_id()
    with pytest.raises(ChannelNotFoundError, match=unknown):
        await pair.payer.get(unknown)
    with pytest.raises(ChannelNotFoundError, match=unknown):
        await pair.payer.pay(
            unknown, Minor(1), task_id=new_task_id(), receipt=b"receipt"
        )


async def test_nothing_is_accepted_before_the_node_says_what_is_expected(pair):
    channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(10))
    assert pair.payer.expects(new_task_id()) is None
    pair.payee.expects = lambda _task: None
    task_id, receipt = pair.issue(1)
    with pytest.raises(RemoteError, match="no receipt of ours"):
        await pair.payer.pay(channel_id, Minor(1), task_id=task_id, receipt=receipt)
    pair.payee.expects = lambda task: (
        ExpectedPayment(receipt_sha256(receipt), Minor(1)) if task == task_id else None
    )
    await pair.payer.pay(channel_id, Minor(1), task_id=task_id, receipt=receipt)
