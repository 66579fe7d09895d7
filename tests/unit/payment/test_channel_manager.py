"""Two managers, real stores: what is paid, what is refused, and how it is traced."""

import pytest
import trio

from payment_parties import (
    PAYEE,
    PAYER,
)
from zerostate.errors import (
    PeerUnreachableError,
    PriceError,
    RemoteError,
    RequestTimeoutError,
)
from zerostate.evidence.channel import (
    verify_cosigned,
)
from zerostate.evidence.receipt import receipt_sha256
from zerostate.testing import assert_trace
from zerostate.units import Minor


async def test_one_payment_is_one_tree_of_spans_and_both_ends_agree(pair):
    with pair.spans.provider.get_tracer("test").start_as_current_span("payment.flow"):
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        task_id, receipt = pair.issue(250)
        payment = await pair.payer.pay(
            channel_id, Minor(250), task_id=task_id, receipt=receipt
        )
        verdict = await pair.payer.verify_payment(
            payment, receipt=receipt, max_total=Minor(300)
        )

    assert (verdict.receipt_verified, verdict.payment_verified) == (True, True)
    assert verdict.problems == ()
    assert_trace(
        pair.spans.spans,
        """
        payment.flow
          payment.channel.open
            payment.signature.sign
            payment.signature.sign
          payment.transaction
            payment.signature.sign
            payment.verify
              payment.signature.verify
              payment.channel.update
                payment.signature.sign
          payment.verify
            payment.signature.verify
        """,
    )
    ours, theirs = await pair.payer.get(channel_id), await pair.payee.get(channel_id)
    assert ours == theirs
    assert (ours.nonce, ours.balance_payer, ours.balance_payee) == (1, 750, 250)
    evidence = verify_cosigned(payment.state)
    assert (evidence.terms.payer, evidence.terms.payee) == (
        PAYER.peer_id,
        PAYEE.peer_id,
    )
    assert evidence.update.receipt_sha256 == receipt_sha256(receipt)
    assert evidence.terms.payee_address == pair.payee.address


async def test_spans_carry_the_payment_and_the_signed_state_but_no_balance(
    pair, channel_id
):
    task_id, receipt = pair.issue(250)
    payment = await pair.payer.pay(
        channel_id, Minor(250), task_id=task_id, receipt=receipt
    )
    transaction = pair.spans.named("payment.transaction")
    assert dict(transaction.attributes) == {
        "channel.id": channel_id,
        "task.id": task_id,
        "payment.amount": 250,
        "payment.nonce": 1,
    }
    for name in ("payment.transaction", "payment.channel.update"):
        (event,) = pair.spans.named(name).events
        assert event.name == "payment.state"
        assert dict(event.attributes) == {
            "payment.state.signed": payment.state,
            "payment.nonce": 1,
        }
    assert len(payment.state) <= 4096
    assert pair.spans.named("payment.verify").attributes["payment.verified"] is True


async def test_an_open_channel_with_enough_left_is_used_again(pair, channel_id):
    task_id, receipt = pair.issue(400)
    await pair.payer.pay(channel_id, Minor(400), task_id=task_id, receipt=receipt)
    pair.spans.clear()
    assert await pair.payer.open_channel(PAYEE.peer_id, Minor(600)) == channel_id
    assert list(pair.spans.spans) == []
    assert await pair.payer.open_channel(PAYEE.peer_id, Minor(601)) != channel_id
    assert len(await pair.payer.list()) == len(await pair.payee.list()) == 2


async def test_only_what_is_needed_must_be_left_on_a_channel(pair, channel_id):
    opened = await pair.payer.open_channel(
        PAYEE.peer_id, Minor(5000), needed=Minor(1000)
    )

    assert opened == channel_id


async def test_concurrent_openings_make_one_channel(pair):
    opened = []

    async def open_one():
        opened.append(await pair.payer.open_channel(PAYEE.peer_id, Minor(1000)))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(open_one)
    assert len(set(opened)) == 1


async def test_concurrent_payments_share_a_state_and_each_is_paid(pair, channel_id):
    payments = {}

    async def pay(price):
        task_id, receipt = pair.issue(price)
        payments[price] = await pair.payer.pay(
            channel_id, Minor(price), task_id=task_id, receipt=receipt
        )

    async with trio.open_nursery() as nursery:
        for price in range(1, 11):
            nursery.start_soon(pay, price)
    assert {payment.nonce for payment in payments.values()} == {1}
    for price, payment in payments.items():
        update = verify_cosigned(payment.state).for_task(payment.task_id).update
        assert (update.task_id, update.amount) == (payment.task_id, price)
        assert payment.amount == price
    assert (await pair.payee.get(channel_id)).balance_payee == sum(range(1, 11))


async def test_a_task_is_paid_once_however_often_one_asks(pair, channel_id):
    task_id, receipt = pair.issue(10)
    first = await pair.payer.pay(
        channel_id, Minor(10), task_id=task_id, receipt=receipt
    )
    pair.spans.clear()
    other = await pair.payer.open_channel(PAYEE.peer_id, Minor(5000))
    for channel in (channel_id, other):
        again = await pair.payer.pay(
            channel, Minor(10), task_id=task_id, receipt=receipt
        )
        assert again == first
    assert [kind for kind, _ in pair.network.sent].count("payment_update") == 1
    assert (await pair.payer.get(channel_id)).balance_payee == 10
    with pytest.raises(PriceError, match="is being paid already"):
        await pair.payer.pay(channel_id, Minor(11), task_id=task_id, receipt=receipt)


async def test_the_same_task_asked_for_concurrently_on_two_channels_is_paid_once(
    pair, channel_id
):
    other = await pair.payer.open_channel(PAYEE.peer_id, Minor(5000))
    task_id, receipt = pair.issue(10)
    payments = []

    async def pay(channel):
        payments.append(
            await pair.payer.pay(channel, Minor(10), task_id=task_id, receipt=receipt)
        )

    async with trio.open_nursery() as nursery:
        for channel in (channel_id, other, channel_id, other):
            nursery.start_soon(pay, channel)
    assert len(set(payments)) == 1
    states = [await pair.payee.get(channel) for channel in (channel_id, other)]
    assert sum(state.balance_payee for state in states) == 10


@pytest.mark.parametrize("lost", ["request", "reply"])
async def test_a_lost_message_is_made_good_by_the_same_bytes(pair, channel_id, lost):
    task_id, receipt = pair.issue(10)

    async def lose():
        raise PeerUnreachableError("gone")

    setattr(pair.network, "before" if lost == "request" else "after", lose)
    pair.network.sent.clear()
    with pytest.raises(PeerUnreachableError):
        await pair.payer.pay(channel_id, Minor(10), task_id=task_id, receipt=receipt)
    pair.network.before = pair.network.after = None
    pair.spans.clear()

    payment = await pair.payer.pay(
        channel_id, Minor(10), task_id=task_id, receipt=receipt
    )

    (first, again) = pair.network.sent
    assert first == again
    assert payment.nonce == 1
    assert await pair.payer.get(channel_id) == await pair.payee.get(channel_id)
    signed = "payment.signature.sign" in {span.name for span in pair.spans.spans}
    assert signed is (lost == "request"), "only the payee signs, and only once"


async def test_a_new_payment_first_finishes_the_one_in_flight(pair, channel_id):
    lost_task, lost_receipt = pair.issue(10)

    async def lose():
        raise PeerUnreachableError("gone")

    pair.network.after = lose
    with pytest.raises(PeerUnreachableError):
        await pair.payer.pay(
            channel_id, Minor(10), task_id=lost_task, receipt=lost_receipt
        )
    pair.network.after = None
    task_id, receipt = pair.issue(5)
    payment = await pair.payer.pay(
        channel_id, Minor(5), task_id=task_id, receipt=receipt
    )
    assert payment.nonce == 2
    first = await pair.payer.pay(
        channel_id, Minor(10), task_id=lost_task, receipt=lost_receipt
    )
    assert first.nonce == 1
    assert (await pair.payer.get(channel_id)).balance_payee == 15


async def test_a_silent_payee_is_waited_for_no_longer_than_configured(
    pair, channel_id, mock_clock
):
    # Not autojump_clock: it would jump while the store's thread is at work.
    async def be_silent():
        mock_clock.jump(10.1)
        await trio.sleep_forever()

    task_id, receipt = pair.issue(10)
    pair.network.before = be_silent
    with pytest.raises(RequestTimeoutError, match="within 10 s"):
        await pair.payer.pay(channel_id, Minor(10), task_id=task_id, receipt=receipt)
    transaction = pair.spans.named("payment.transaction")
    assert transaction.attributes["error.type"] == "request_timeout"


async def test_a_lost_answer_to_an_opening_leaves_one_channel(pair):
    async def lose():
        raise PeerUnreachableError("gone")

    pair.network.after = lose
    with pytest.raises(PeerUnreachableError):
        await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
    pair.network.after = None
    channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
    assert [state.channel_id for state in await pair.payee.list()] == [channel_id]
    assert await pair.payer.list() == await pair.payee.list()


async def test_the_paid_end_knows_which_receipt_was_paid(pair, channel_id):
    task_id, receipt = pair.issue(250)
    digest = receipt_sha256(receipt)
    assert not await pair.payee.is_paid(task_id, digest)
    await pair.payer.pay(channel_id, Minor(250), task_id=task_id, receipt=receipt)

    assert await pair.payee.is_paid(task_id, digest)
    assert not await pair.payee.is_paid(task_id, "0" * 64)


async def test_what_is_proposed_or_paid_on_the_way_is_not_paid(pair, channel_id):
    task_id, receipt = pair.issue(250)
    del pair.issued[task_id]
    with pytest.raises(RemoteError):
        await pair.payer.pay(channel_id, Minor(250), task_id=task_id, receipt=receipt)

    assert not await pair.payer.is_paid(task_id, receipt_sha256(receipt))
