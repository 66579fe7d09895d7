"""Who asks for a channel before each payment still shares states with others."""

from collections import Counter

import pytest
import trio

from payment_line import PATIENCE_S, Line, waiting_line
from payment_parties import PAYEE, open_pair
from zerostate.errors import RemoteError
from zerostate.units import Minor


async def open_and_pay(pair, price, deposit, payments):
    """Ask for a channel for one task, then pay on it."""
    channel_id = await pair.payer.open_channel(
        PAYEE.peer_id, Minor(deposit), needed=Minor(price)
    )
    task_id, receipt = pair.issue(price)
    payments.append(
        await pair.payer.pay(channel_id, Minor(price), task_id=task_id, receipt=receipt)
    )


async def test_tasks_that_each_ask_for_a_channel_share_a_state(tmp_path):
    payments = []
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        waiting = pair.payer._payer.sharing._waiting
        async with waiting_line(pair, channel_id) as line:
            for price in range(1, 11):
                line.nursery.start_soon(open_and_pay, pair, price, 1000, payments)
            with trio.fail_after(PATIENCE_S):
                while (
                    len(waiting.get(channel_id, ())) < 10
                ):  # whoever reads the disk has no event
                    await trio.lowlevel.checkpoint()
        assert {(one.channel_id, one.nonce) for one in payments} == {(channel_id, 2)}
        assert (await pair.payee.get(channel_id)).balance_payee == 56


async def test_what_others_are_about_to_pay_is_not_left_on_a_channel(tmp_path):
    async with open_pair(tmp_path) as pair:
        payments = []
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(open_and_pay, pair, 30, 100, payments)
        of_channel = Counter(one.channel_id for one in payments)
        assert sorted(of_channel.values()) == [3, 3]


async def test_who_asks_for_a_channel_does_not_wait_for_what_is_in_flight(tmp_path):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(100))
        async with waiting_line(pair, channel_id) as line:
            await line.join(40)
            with trio.fail_after(5):
                found = await pair.payer.open_channel(
                    PAYEE.peer_id, Minor(100), needed=Minor(59)
                )
            assert found == channel_id
            assert pair.payer._payer.sharing.promised(channel_id, in_flight=True) == 40
        assert pair.payer._payer.sharing.promised(channel_id, in_flight=False) == 0


async def together(pair, channel_id, prices):
    """Let all wait for the channel before any of them is paid."""
    async with trio.open_nursery() as nursery:
        line = Line(pair, channel_id, nursery)
        async with pair.payer._ledger.locks.hold(channel_id):
            for price in prices:
                await line.join(price)
    return line


async def test_tasks_above_the_exposure_together_are_paid_if_nothing_is_owed(tmp_path):
    async with open_pair(tmp_path, max_exposure=100) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        line = await together(pair, channel_id, [40] * 4)
        assert {one.nonce for one in line.payments.values()} == {1}
        assert (await pair.payee.get(channel_id)).balance_payee == 160

        task_id, receipt = pair.issue(1)
        with pytest.raises(RemoteError, match="owes 160 already"):
            await pair.payer.pay(channel_id, Minor(1), task_id=task_id, receipt=receipt)


async def test_one_that_is_above_the_exposure_by_itself_is_refused(tmp_path):
    async with open_pair(tmp_path, max_exposure=100) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        line = await together(pair, channel_id, [10, 101])
        assert {one.remote_code for one in line.errors.values()} == {"exposure"}
        assert (await pair.payee.get(channel_id)).balance_payee == 0
