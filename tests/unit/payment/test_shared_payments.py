"""Payments that wait for one channel are paid by one state, each for itself."""

from collections import Counter
from dataclasses import replace

import pytest
import trio
import trio.testing

from payment_line import Line, waiting_line
from payment_parties import PAYEE, PAYER, open_pair
from zerostate.errors import (
    InsufficientBalanceError,
    PaymentError,
    PeerUnreachableError,
    RemoteError,
)
from zerostate.evidence.channel import decode_state
from zerostate.evidence.channel_update import MAX_SHARED
from zerostate.evidence.receipt import receipt_sha256
from zerostate.payment import wire
from zerostate.payment.locks import MAX_WAITING
from zerostate.payment.model import ExpectedStream
from zerostate.payment.store import PaymentStatus
from zerostate.units import Minor

MANIFEST = "77" * 32


def updates(pair):
    """Return what was proposed, in order; a resent one counts again."""
    return [
        decode_state(wire.decode_payment_update(body)).update
        for kind, body in pair.network.sent
        if kind == "payment_update"
    ]


def paid_by(update):
    return [(one.task_id, one.amount) for one in update.payments]


async def require_paid(pair, line, prices):
    """Check that each task was paid at its price, and knows it at both ends."""
    for task_id, price in prices.items():
        receipt, payment = line.receipts[task_id], line.payments[task_id]
        assert (payment.task_id, payment.amount) == (task_id, price)
        verdict = await pair.payer.verify_payment(
            payment, receipt=receipt, max_total=Minor(price), price=Minor(price)
        )
        assert verdict.problems == ()
        assert (verdict.receipt_verified, verdict.payment_verified) == (True, True)
        for end in (pair.payer, pair.payee):
            row = await end._ledger.store.payment(task_id)
            assert (row.status, row.nonce) == (PaymentStatus.AGREED, payment.nonce)
            assert row.state == payment.state
            assert (row.interim, row.paid) == (False, 0)
            assert await end.is_paid(task_id, receipt_sha256(receipt))
            assert not await end.is_paid(task_id, "00" * 32)


async def require_balance(pair, channel_id, paid):
    ours, theirs = await pair.payer.get(channel_id), await pair.payee.get(channel_id)
    assert ours == theirs
    assert ours.proposed is None
    assert (ours.balance_payer, ours.balance_payee) == (1000 - paid, paid)


async def test_those_who_wait_share_the_next_state_in_the_order_of_asking(
    pair, channel_id
):
    async with waiting_line(pair, channel_id) as line:
        prices = {await line.join(price): price for price in range(2, 11)}
    first = next(iter(line.payments.values()))
    assert first.nonce == 1
    alone, together = updates(pair)
    assert paid_by(alone) == [(first.task_id, 1)]
    assert paid_by(together) == list(prices.items())
    assert {line.payments[task].nonce for task in prices} == {2}
    await require_paid(pair, line, {first.task_id: 1, **prices})
    await require_balance(pair, channel_id, sum(range(1, 11)))
    assert not pair.payer._payer.sharing._waiting
    assert not pair.payer._payer.sharing._taken_on


async def test_a_line_longer_than_a_state_is_paid_by_several(pair, channel_id):
    async with waiting_line(pair, channel_id) as line:
        prices = {await line.join(1): 1 for _ in range(2 * MAX_SHARED + 3)}
    sizes = [len(update.payments) for update in updates(pair)]
    assert sizes == [1, MAX_SHARED, MAX_SHARED, 3]
    assert [task for update in updates(pair)[1:] for task, _ in paid_by(update)] == (
        list(prices)
    )
    await require_paid(pair, line, prices)


async def test_who_is_cancelled_before_being_taken_is_not_paid(pair, channel_id):
    async with waiting_line(pair, channel_id) as line:
        first, second, third = [await line.join(price) for price in (2, 3, 4)]
        for task_id in (first, third):  # the next of the line, and another
            await line.cancel(task_id)
    assert [paid_by(update) for update in updates(pair)][1:] == [[(second, 3)]]
    for task_id in (first, third):
        assert await pair.payer._ledger.store.payment(task_id) is None
    await require_balance(pair, channel_id, 1 + 3)


async def test_who_is_cancelled_after_being_taken_is_paid_all_the_same(
    pair, channel_id
):
    async with waiting_line(pair, channel_id) as line:
        first, second = await line.join(2), await line.join(3)

        async def cancel_second():
            await line.cancel(second)

        line.next_reply = cancel_second
    assert second not in line.payments
    payment = await pair.payer.pay(
        channel_id, Minor(3), task_id=second, receipt=line.receipts[second]
    )
    assert payment.nonce == line.payments[first].nonce == 2
    assert len(updates(pair)) == 2
    await require_balance(pair, channel_id, 6)


async def test_who_is_cancelled_while_the_disk_writes_is_not_paid_elsewhere(
    pair, channel_id
):
    other = await pair.payer.open_channel(PAYEE.peer_id, Minor(5000))
    ledger = pair.payer._ledger
    async with trio.open_nursery() as nursery:
        line = Line(pair, channel_id, nursery)
        async with ledger.locks.hold(channel_id):
            first, second = await line.join(2), await line.join(3)
            ledger.store._lock.acquire()
            nursery.start_soon(ledger.store.write, lambda _connection: None)
            await trio.testing.wait_all_tasks_blocked()
        # The shared state is written after that, and what is read is read before.
        try:
            await trio.testing.wait_all_tasks_blocked()
            await line.cancel(second)
            await line.begin(second, 3, channel_id=other)
        finally:
            ledger.store._lock.release()
    assert line.errors == {}
    assert line.payments[second].channel_id == channel_id
    assert line.payments[second].nonce == line.payments[first].nonce == 1
    await require_balance(pair, channel_id, 5)
    assert (await pair.payer.get(other)).balance_payee == 0


async def test_a_task_that_was_paid_while_it_waited_is_not_taken_along(
    pair, channel_id
):
    async with waiting_line(pair, channel_id) as line:
        first, second = await line.join(2), await line.join(3)
        # As after a backup: the other end's newer state is taken up meanwhile.
        row = await pair.payer._ledger.store.channel(channel_id)
        other = replace(row, channel_id="0x" + "ab" * 32)
        ((_, body),) = [one for one in pair.network.sent if "update" in one[0]]
        paid = replace(
            await pair.payer._ledger.store.payment(next(iter(line.receipts))),
            task_id=second,
            channel_id=other.channel_id,
            state=wire.decode_payment_update(body),
        )
        await pair.payer._ledger.store.save(other, paid, now_unix_ns=1)
    assert [paid_by(update) for update in updates(pair)][1:] == [[(first, 2)]]
    assert first in line.payments
    assert isinstance(line.errors[second], PaymentError)
    assert line.errors[second].code == "price", "not ours to pay a second time"


@pytest.mark.parametrize("lost", ["request", "reply"])
async def test_what_became_of_a_lost_shared_state_each_finds_out_for_itself(
    pair, channel_id, lost
):
    async def lose():
        raise PeerUnreachableError("gone")

    async with waiting_line(pair, channel_id) as line:
        prices = {await line.join(price): price for price in (2, 3, 4)}
        if lost == "request":
            line.next_request = lose
        else:
            line.next_reply = lose
    first, *rest = prices
    assert isinstance(line.errors[first], PeerUnreachableError)
    assert set(line.payments) >= set(rest)
    _alone, sent, again = [
        body for kind, body in pair.network.sent if kind == "payment_update"
    ]
    assert wire.decode_payment_update(sent) == wire.decode_payment_update(again)
    line.payments[first] = await pair.payer.pay(
        channel_id, Minor(2), task_id=first, receipt=line.receipts[first]
    )
    await require_paid(pair, line, prices)
    await require_balance(pair, channel_id, 10)


async def test_the_one_with_the_turn_is_cancelled_and_the_others_finish_its_state(
    pair, channel_id
):
    async with waiting_line(pair, channel_id) as line:
        prices = {await line.join(price): price for price in (2, 3, 4)}
        first, *rest = prices

        async def cancel_first():
            line.scopes[first].cancel()
            await trio.lowlevel.checkpoint()

        line.next_reply = cancel_first
    assert first not in line.payments
    assert set(line.payments) >= set(rest)
    line.payments[first] = await pair.payer.pay(
        channel_id, Minor(2), task_id=first, receipt=line.receipts[first]
    )
    await require_paid(pair, line, prices)
    await require_balance(pair, channel_id, 10)


async def test_what_the_payee_refuses_holds_up_the_whole_state_until_it_takes_it(
    pair, channel_id
):
    async with waiting_line(pair, channel_id) as line:
        good = await line.join(2)
        bad = await line.join(3, issued=False)
        other = await line.join(4)
    prices = {good: 2, bad: 3, other: 4}
    for task_id in prices:
        assert isinstance(line.errors[task_id], RemoteError)
        assert line.errors[task_id].remote_code == "price"
        row = await pair.payer._ledger.store.payment(task_id)
        assert (row.status, row.nonce) == (PaymentStatus.REFUSED, 2)
        assert await pair.payee._ledger.store.payment(task_id) is None
        assert not await pair.payer.is_paid(
            task_id, receipt_sha256(line.receipts[task_id])
        )
    await pair.payer.synchronise(PAYEE.peer_id)
    late, receipt = pair.issue(5)
    with pytest.raises(PaymentError, match="open another channel"):
        await pair.payer.pay(channel_id, Minor(5), task_id=late, receipt=receipt)

    pair.issue(3, bad)  # another receipt of that task is none of this one
    with pytest.raises(RemoteError, match="another receipt"):
        await pair.payer.pay(
            channel_id, Minor(4), task_id=other, receipt=line.receipts[other]
        )
    pair.issued[bad] = replace(
        pair.issued[bad], receipt_sha256=receipt_sha256(line.receipts[bad])
    )
    for task_id, price in prices.items():
        line.payments[task_id] = await pair.payer.pay(
            channel_id, Minor(price), task_id=task_id, receipt=line.receipts[task_id]
        )
    assert {line.payments[task].nonce for task in prices} == {2}
    await require_paid(pair, line, prices)
    await require_balance(pair, channel_id, 10)


async def test_what_is_not_covered_is_left_in_the_line(pair, channel_id):
    async with waiting_line(pair, channel_id) as line:
        first = await line.join(600)
        too_much = await line.join(400)
        small = await line.join(300)
    assert [paid_by(update) for update in updates(pair)][1:] == [
        [(first, 600), (small, 300)]
    ]
    assert isinstance(line.errors[too_much], InsufficientBalanceError)
    await require_paid(pair, line, {first: 600, small: 300})
    await require_balance(pair, channel_id, 901)


async def test_one_that_asks_too_much_takes_nobody_with_it(pair, channel_id):
    async with waiting_line(pair, channel_id) as line:
        too_much = await line.join(1000)
        small = await line.join(300)
    assert isinstance(line.errors[too_much], InsufficientBalanceError)
    await require_paid(pair, line, {small: 300})


async def test_a_stream_among_others_is_paid_by_itself(pair, channel_id):
    async with waiting_line(pair, channel_id) as line:
        first = await line.join(2)
        task_id, _receipt = pair.issue(20)
        pair.payee.expects_stream = {task_id: ExpectedStream(MANIFEST, Minor(100))}.get
        stream = pair.payer.stream(
            channel_id, task_id=task_id, manifest_sha256=MANIFEST
        )
        paid = []

        async def pay_stream():
            paid.append(await stream.pay(Minor(5)))

        line.nursery.start_soon(pay_stream)
        await trio.testing.wait_all_tasks_blocked()
        second = await line.join(3)
    shared = {tuple(paid_by(update)) for update in updates(pair)}
    assert ((first, 2), (second, 3)) in shared
    assert ((task_id, 5),) in shared
    assert paid[0].amount == 5
    await require_paid(pair, line, {first: 2, second: 3})
    await require_balance(pair, channel_id, 11)


async def test_the_same_proposal_gets_the_same_answer_again(pair, channel_id):
    async with waiting_line(pair, channel_id) as line:
        prices = {await line.join(price): price for price in (2, 3)}
    sent = pair.network.sent[-1][1]
    before = await pair.payee.get(channel_id)
    answer = await pair.payee.on_payment_update(PAYER.peer_id, sent)
    state = wire.decode_payment_accepted(answer)
    assert {state} == {line.payments[task].state for task in prices}
    assert await pair.payee.get(channel_id) == before


async def test_one_task_asked_for_twice_in_a_line_is_paid_once(pair, channel_id):
    async with waiting_line(pair, channel_id) as line:
        task_id = await line.join(2)
        await line.begin(task_id, 2)
        other = await line.join(3)
    counted = Counter(task for update in updates(pair) for task, _ in paid_by(update))
    assert counted[task_id] == counted[other] == 1
    await require_balance(pair, channel_id, 6)


async def test_a_line_is_bounded(pair, channel_id):
    sharing = pair.payer._payer.sharing
    async with waiting_line(pair, channel_id) as line:
        waiting = await line.join(2)
        (mine,) = sharing._waiting[channel_id]
        sharing._waiting[channel_id] += [mine] * (MAX_WAITING - 1)
        refused = await line.join(3)
        assert f"{MAX_WAITING} payments wait" in str(line.errors[refused])
        del sharing._waiting[channel_id][1:]
    await require_paid(pair, line, {waiting: 2})


async def test_a_disk_that_refuses_fails_each_and_nothing_is_sent(pair, channel_id):
    pair.network.sent.clear()
    async with trio.open_nursery() as nursery:
        line = Line(pair, channel_id, nursery)
        async with pair.payer._ledger.locks.hold(channel_id):
            tasks = [await line.join(price) for price in (2, 3)]
            await pair.payer._ledger.store.close()
    assert pair.network.sent == []
    assert line.payments == {}
    assert {line.errors[task].code for task in tasks} == {"store_unavailable"}


async def test_the_whole_of_a_shared_state_counts_against_what_may_be_owed(tmp_path):
    async with open_pair(tmp_path, max_exposure=100) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        asked = []
        pair.payee._payee.exposed = asked.append
        async with waiting_line(pair, channel_id) as line:
            tasks = [await line.join(50) for _ in range(2)]
        assert {line.errors[task].remote_code for task in tasks} == {"exposure"}
        assert asked == [channel_id] * 2
        assert (await pair.payee.get(channel_id)).balance_payee == 1
