"""A task that is paid while it goes on: cumulative states, one receipt at the end."""

from dataclasses import replace

import pytest
import trio

from chain_parties import MemoryWorld
from payment_parties import PAYEE, sealed_receipt
from zerostate.errors import (
    ExposureError,
    InsufficientBalanceError,
    NotConfirmedError,
    PeerUnreachableError,
    PriceError,
    RemoteError,
)
from zerostate.evidence.channel import verify_cosigned
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import new_task_id
from zerostate.payment import ExpectedPayment, ExpectedStream
from zerostate.payment.means import Held
from zerostate.units import Minor

MANIFEST = "5a" * 32


async def never(*_):
    """Do nothing."""


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


def begin(pair, channel_id, most=500):
    task_id = new_task_id()
    pair.streams[task_id] = ExpectedStream(MANIFEST, Minor(most))
    return pair.payer.stream(channel_id, task_id=task_id, manifest_sha256=MANIFEST)


def end(pair, stream, price):
    receipt = sealed_receipt(stream.task_id, price)
    expected = ExpectedPayment(receipt_sha256(receipt), Minor(price))
    pair.issued[stream.task_id] = expected
    return receipt


async def test_the_last_state_alone_says_what_the_task_cost(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 7)
        stream = begin(pair, channel_id)
        for total in (100, 250):
            payment = await stream.pay(Minor(total))
            update = verify_cosigned(payment.state).update
            assert (update.amount, update.net) == (total, 7 + total)
            assert update.receipt_sha256 == MANIFEST
        receipt = end(pair, stream, 300)
        payment = await stream.finish(Minor(300), receipt)
        update = verify_cosigned(payment.state).update
        assert (update.amount, update.net, update.nonce) == (300, 307, 4)
        assert update.receipt_sha256 == receipt_sha256(receipt)
        verdict = await pair.payer.verify_payment(
            payment, receipt=receipt, max_total=Minor(500)
        )
        assert verdict.problems == ()
        for manager in (pair.payer, pair.payee):
            assert (await manager.get(channel_id)).balance_payee == 307


async def test_units_that_wait_together_are_paid_by_one_state(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        payments = {}

        async def pay(total):
            payments[total] = await stream.pay(Minor(total))

        async with trio.open_nursery() as nursery:
            for total in range(1, 51):
                nursery.start_soon(pay, total)

        assert all(payments[total].amount >= total for total in range(1, 51))
        state = await pair.payee.get(channel_id)
        assert state.balance_payee == 50
        # The first that comes, and the last of those that came meanwhile.
        assert state.nonce <= 2


async def test_a_unit_too_many_does_not_keep_the_others_from_being_paid(world):
    async with world.started() as pair:
        channel_id = await pair.open(100)
        stream = begin(pair, channel_id)
        refused = []

        async def pay(total):
            try:
                payment = await stream.pay(Minor(total))
            except InsufficientBalanceError:
                refused.append(total)
            else:
                assert payment.amount >= total

        async with trio.open_nursery() as nursery:
            for total in (40, 60, 80, 101):
                nursery.start_soon(pay, total)

        assert refused == [101]
        assert (await pair.payee.get(channel_id)).balance_payee == 80
        with pytest.raises(PriceError):
            await stream.pay(Minor(79))


async def test_other_payments_may_come_between_those_of_a_stream(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        streams = [begin(pair, channel_id) for _ in range(2)]
        for total in (10, 20, 30):
            for stream in streams:
                await stream.pay(Minor(total))
            await pair.pay(channel_id, 1)
        for stream in streams:
            await stream.finish(Minor(30), end(pair, stream, 30))
        assert (await pair.payee.get(channel_id)).balance_payee == 63


async def test_a_finished_task_takes_no_further_payment(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        await stream.pay(Minor(10))
        receipt = end(pair, stream, 20)
        first = await stream.finish(Minor(20), receipt)
        assert await stream.finish(Minor(20), receipt) == first
        with pytest.raises(PriceError, match="paid already"):
            await stream.pay(Minor(30))
        with pytest.raises(PriceError, match="paid already"):
            await stream.finish(Minor(21), sealed_receipt(stream.task_id, 21))


async def test_a_stream_goes_on_after_a_lost_answer_and_a_restart(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        await stream.pay(Minor(10))
        pair.be_lost(replies=True)
        with pytest.raises(PeerUnreachableError):
            await stream.pay(Minor(20))
        streams = pair.streams
    async with world.started() as pair:
        pair.streams.update(streams)
        stream = pair.payer.stream(
            channel_id, task_id=stream.task_id, manifest_sha256=MANIFEST
        )
        payment = await stream.pay(Minor(30))
        assert payment.nonce == 3
        receipt = end(pair, stream, 30)
        await stream.finish(Minor(30), receipt)
        assert (await pair.payee.get(channel_id)).balance_payee == 30


async def test_the_payee_refuses_what_is_not_due_in_a_stream(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id, most=50)
        with pytest.raises(RemoteError, match="for at most 50"):
            await stream.pay(Minor(51))
        other = await pair.payer.open_channel(PAYEE.peer_id, Minor(2000))
        unknown = pair.payer.stream(
            other, task_id=new_task_id(), manifest_sha256=MANIFEST
        )
        with pytest.raises(RemoteError, match="no receipt of ours"):
            await unknown.pay(Minor(1))


async def pay_while(pair, stream, total, happens):
    """Pay, and let something happen between the payer's signature and the payee's."""

    async def before():
        pair.there.before = None
        happens()

    pair.there.before = before
    return await stream.pay(Minor(total))


@pytest.mark.parametrize("paid_before", [(), (100,)])
async def test_a_payment_that_the_receipt_overtakes_holds_up_nothing(
    world, paid_before
):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        for total in paid_before:
            await stream.pay(Minor(total))
        receipts = []
        payment = await pay_while(
            pair, stream, 200, lambda: receipts.append(end(pair, stream, 300))
        )
        assert verify_cosigned(payment.state).update.receipt_sha256 == MANIFEST
        await stream.finish(Minor(300), *receipts)
        await pair.pay(channel_id, 7)
        assert (await pair.payee.get(channel_id)).balance_payee == 307


async def test_a_payment_for_a_task_that_the_payee_forgot_holds_up_nothing(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        await stream.pay(Minor(100))
        # As an executor that was killed at work and started again.
        await pay_while(pair, stream, 200, pair.streams.clear)
        await pair.pay(channel_id, 7)
        assert (await pair.payee.get(channel_id)).balance_payee == 207


async def test_a_payment_that_names_another_manifest_is_refused_later_too(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        await stream.pay(Minor(100))
        end(pair, stream, 300)
        other = pair.payer.stream(
            channel_id, task_id=stream.task_id, manifest_sha256="6b" * 32
        )
        with pytest.raises(RemoteError, match="names another receipt"):
            await other.pay(Minor(200))


async def test_less_than_was_paid_already_is_refused_unsigned(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        await stream.pay(Minor(20))
        sent = len(pair.there.sent)
        with pytest.raises(PriceError, match="was paid already"):
            await stream.pay(Minor(10))
        assert len(pair.there.sent) == sent


async def test_one_channel_owes_no_more_than_is_allowed_until_a_part_is_out(world):
    async with world.started(max_exposure=Minor(100)) as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 90)
        task_id = new_task_id()
        receipt = sealed_receipt(task_id, 20)
        expected = ExpectedPayment(receipt_sha256(receipt), Minor(20))
        pair.issued[task_id] = expected

        async def pay():
            return await pair.payer.pay(
                channel_id, Minor(20), task_id=task_id, receipt=receipt
            )

        with pytest.raises(RemoteError, match=ExposureError.code):
            await pay()
        async with pair.watching():
            # The payee has what it earned paid out, and takes the payment then.
            await pair.eventually(lambda: world.wallet("payee") == 90)
            await pair.eventually(lambda: not world.claimable("payee"))
            for _ in range(2):
                payment = await pay()
                assert payment.nonce == 4
        assert (await pair.payee.get(channel_id)).balance_payee == 110
        assert (await pair.payer.get(channel_id)).balance_payer == 890


async def test_a_stream_that_was_refused_goes_on_after_a_withdrawal(world):
    async with world.started(max_exposure=Minor(100)) as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        await stream.pay(Minor(80))
        with pytest.raises(RemoteError, match=ExposureError.code):
            await stream.pay(Minor(120))
        async with pair.watching():
            await pair.eventually(lambda: world.wallet("payee") == 80)
            await pair.eventually(lambda: not world.claimable("payee"))
            await stream.pay(Minor(150))
            await stream.finish(Minor(160), end(pair, stream, 160))
        assert (await pair.payee.get(channel_id)).balance_payee == 160


async def test_what_a_withdrawal_has_overtaken_stops_no_payment(world, monkeypatch):
    """The payee may see it in the chain, and let payments go on, before the payer."""
    async with world.started(max_exposure=Minor(100)) as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        await stream.pay(Minor(80))
        with pytest.raises(RemoteError, match=ExposureError.code):
            await stream.pay(Minor(120))
        monkeypatch.setattr(Held, "drop_proposed", never)
        async with pair.watching():
            await pair.eventually(lambda: world.wallet("payee") == 80)
            await pair.eventually(lambda: not world.claimable("payee"))
        deep = pair.chains["payer"].channel

        async def as_before(channel_id, **depth):
            return replace(await deep(channel_id, **depth), nonce=1)

        monkeypatch.setattr(pair.chains["payer"], "channel", as_before)
        with pytest.raises(NotConfirmedError, match="before its withdrawal"):
            await stream.pay(Minor(150))
        monkeypatch.setattr(pair.chains["payer"], "channel", deep)
        await stream.pay(Minor(150))
        assert (await pair.payee.get(channel_id)).balance_payee == 150
