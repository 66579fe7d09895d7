"""A state that pays for several is in flight, and the channel is to go on or to end."""

import pytest

from chain_parties import MemoryWorld
from payment_line import waiting_line
from payment_parties import PAYEE, PAYER, Pair, open_pair
from zerostate.errors import PeerUnreachableError, RemoteError
from zerostate.evidence.channel import decode_state
from zerostate.evidence.receipt import receipt_sha256
from zerostate.payment import ExpectedPayment, wire
from zerostate.payment.keys import look_at_key
from zerostate.payment.store_backup import back_up_store, restore_store
from zerostate.units import Minor


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


def in_line(pair):
    """Return what `waiting_line` needs of parties on a chain."""
    return Pair(pair.payer, pair.payee, pair.there, pair.spans, pair.issued)


async def lose():
    raise PeerUnreachableError("gone")


async def pay_again(pair, line, prices):
    for task_id, price in prices.items():
        line.payments[task_id] = await pair.payer.pay(
            line.channel_id,
            Minor(price),
            task_id=task_id,
            receipt=line.receipts[task_id],
        )


async def require_paid(pair, line, prices):
    for task_id, price in prices.items():
        assert line.payments[task_id].amount == price
        for end in (pair.payer, pair.payee):
            digest = receipt_sha256(line.receipts[task_id])
            assert await end.is_paid(task_id, digest)


async def three_are_lost(pair, channel_id, *, reply):
    """Leave a state for three tasks in flight: nobody is there any more."""
    async with waiting_line(in_line(pair), channel_id) as line:
        prices = {await line.join(price): price for price in (2, 3, 4)}
        be_lost = pair.be_lost

        async def go():
            be_lost(replies=reply)
            await lose()

        if reply:
            line.next_reply = go
        else:
            line.next_request = go
    assert set(line.errors) == set(prices)
    state = await pair.payer.get(channel_id)
    assert [one.task_id for one in state.proposed.update.payments] == list(prices)
    return line, prices


@pytest.mark.parametrize("reply", [False, True])
async def test_a_close_first_has_what_is_in_flight_signed(world, reply):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        line, prices = await three_are_lost(pair, channel_id, reply=reply)
        async with pair.watching("payee"):
            settlement = await pair.payer.close(channel_id)
        assert settlement.cooperative
        assert settlement.net == 1 + sum(prices.values())
        await pay_again(pair, line, prices)  # it is, and says so
        await require_paid(pair, line, prices)


async def test_a_shared_state_is_what_the_chain_is_shown_in_a_close_alone(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        _line, prices = await three_are_lost(pair, channel_id, reply=True)
        # The payer has not seen that it is signed; the payee closes by it.
        assert await pair.payee.close(channel_id, force=True) is None
        found = world.on_chain(channel_id)
        assert (found.nonce, found.net) == (2, 1 + sum(prices.values()))


async def test_a_payee_that_forgets_its_answer_is_told_it_by_comparing(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        line, prices = await three_are_lost(pair, channel_id, reply=True)
        await pair.payer.synchronise(PAYEE.peer_id)
        assert (await pair.payer.get(channel_id)).proposed is None
        sent = len(pair.there.sent)
        await pay_again(pair, line, prices)
        assert len(pair.there.sent) == sent, "each is known as paid already"
        await require_paid(pair, line, prices)


async def test_what_a_withdrawal_overtakes_is_paid_one_by_one(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        async with waiting_line(in_line(pair), channel_id) as line:
            prices = {
                await line.join(price, issued=price != 3): price for price in (2, 3, 4)
            }
        assert {type(error) for error in line.errors.values()} == {RemoteError}
        async with pair.watching("payee"):
            await pair.payer.withdraw(channel_id, to_payer=Minor(100))
        assert (await pair.payer.get(channel_id)).proposed is None
        first, refused, last = prices
        pair.there.sent.clear()
        await pay_again(pair, line, {first: 2, last: 4})
        updates = [
            decode_state(wire.decode_payment_update(body)).update
            for _kind, body in pair.there.sent
        ]
        assert [update.others for update in updates] == [(), ()]
        assert [update.nonce for update in updates] == [4, 5]
        await require_paid(pair, line, {first: 2, last: 4})
        receipt = line.receipts[refused]
        assert not await pair.payer.is_paid(refused, receipt_sha256(receipt))
        pair.issued[refused] = ExpectedPayment(receipt_sha256(receipt), Minor(3))
        await pay_again(pair, line, {refused: 3})
        assert (await pair.payee.get(channel_id)).balance_payee == 1 + 2 + 3 + 4


async def test_after_a_backup_the_tasks_of_a_state_that_is_taken_up_are_paid(tmp_path):
    data_dir, backup = tmp_path / "payer", tmp_path / "backup.db"
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
    back_up_store(data_dir, backup)
    async with open_pair(tmp_path) as pair, waiting_line(pair, channel_id) as line:
        prices = {await line.join(price): price for price in (2, 3, 4)}
    (data_dir / "payments.db").unlink()
    owner = look_at_key(data_dir).address
    restore_store(backup, data_dir, address=owner, peer_id=PAYER.peer_id)
    async with open_pair(tmp_path) as pair:
        assert await pair.payer._ledger.store.payment(next(iter(prices))) is None
        await pair.payer.synchronise(PAYEE.peer_id)
        await pay_again(pair, line, prices)
        assert [kind for kind, _body in pair.network.sent] == ["channel_sync"]
        await require_paid(pair, line, prices)
