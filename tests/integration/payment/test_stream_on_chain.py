"""Payments for a task while it goes on, and what a real chain makes of them."""

import pytest

from chain_accounts import Accounts
from chain_parties import WINDOW_S
from payment_parties import sealed_receipt
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import new_task_id
from zerostate.payment import ExpectedPayment, ExpectedStream
from zerostate.payment.closing import newest_state
from zerostate.units import Minor

MANIFEST = "5a" * 32


@pytest.fixture
async def accounts(backend, tmp_path):
    accounts = Accounts(backend, tmp_path)
    await accounts.prepare()
    return accounts


def begin(pair, channel_id):
    task_id = new_task_id()
    pair.streams[task_id] = ExpectedStream(MANIFEST, Minor(500))
    return pair.payer.stream(channel_id, task_id=task_id, manifest_sha256=MANIFEST)


async def test_a_streamed_task_settles_to_the_wei(accounts):
    async with accounts.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 7)
        stream = begin(pair, channel_id)
        for total in (100, 250):
            await stream.pay(Minor(total))
        receipt = sealed_receipt(stream.task_id, 300)
        pair.issued[stream.task_id] = ExpectedPayment(
            receipt_sha256(receipt), Minor(300)
        )
        await stream.finish(Minor(300), receipt)
        async with pair.watching("payee"):
            settlement = await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        theirs = (await pair.view("payee", channel_id)).settlement
        assert settlement.cooperative
        assert (settlement.net, settlement.claimed, theirs.claimed) == (307, 693, 307)


async def test_what_was_streamed_counts_though_the_payer_closes_by_an_earlier_unit(
    accounts,
):
    async with accounts.started() as pair:
        channel_id = await pair.open(1000)
        stream = begin(pair, channel_id)
        await stream.pay(Minor(100))
        earlier = newest_state(await pair.payer.get(channel_id), 0)
        await stream.pay(Minor(250))
        payer = pair.chains["payer"]
        await payer.confirm(await payer.start_close(channel_id, earlier))
        assert (await payer.channel(channel_id)).net == 100
        assert (await pair.payee.dispute(channel_id)).succeeded
        await accounts.travel(WINDOW_S + 1)
        settlement = await pair.payee.settle(channel_id)
        assert (settlement.net, settlement.claimed) == (250, 250)
