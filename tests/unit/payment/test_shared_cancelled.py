"""Whoever of a line is cancelled, and wherever: all are paid once, none waits for ever."""

import pytest
import trio

from payment_line import waiting_line
from payment_parties import PAYEE, open_pair
from zerostate.evidence.channel import decode_state
from zerostate.payment import wire
from zerostate.units import Minor


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope before some task takes one of its steps."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.task: trio.lowlevel.Task | None = None
        self.scope: trio.CancelScope | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and self.scope is not None:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


async def pay_with_one_cancelled(directory, place, step):
    """Pay for three at once, and cancel one before a step of who pays for all.

    Returns whether that one took as many steps.
    """
    cancel = CancelAtStep(step)
    async with open_pair(directory) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        trio.lowlevel.add_instrument(cancel)
        async with waiting_line(pair, channel_id) as line:
            prices = {}
            for price in (2, 3, 4):
                if not prices:
                    line.watched = cancel
                prices[await line.join(price)] = price
            cancelled = list(prices)[place]
            cancel.scope = line.scopes[cancelled]
        trio.lowlevel.remove_instrument(cancel)
        assert line.errors == {}
        assert set(prices) - {cancelled} <= set(line.payments)
        for task_id, price in prices.items():
            payment = await pair.payer.pay(
                channel_id,
                Minor(price),
                task_id=task_id,
                receipt=line.receipts[task_id],
            )
            assert line.payments.get(task_id, payment) == payment
        ours = await pair.payer.get(channel_id)
        assert ours == await pair.payee.get(channel_id)
        assert ours.balance_payee == 1 + 2 + 3 + 4
        updates = {
            decode_state(wire.decode_payment_update(body)).update
            for kind, body in pair.network.sent
            if kind == "payment_update"
        }
        assert sorted(one.amount for each in updates for one in each.payments) == [
            1,
            2,
            3,
            4,
        ]
    return cancel.left <= 0


@pytest.mark.parametrize("place", range(3))
async def test_whoever_is_cancelled_wherever_all_are_paid_once(tmp_path, place):
    step = 1
    while await pay_with_one_cancelled(tmp_path / f"{step}", place, step):
        step += 1
    assert step > 5, "there was something to cancel"
