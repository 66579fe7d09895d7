"""A payee's wishes cost the payer no gas, and bounded work; and the other way round."""

import pytest
import trio

from chain_parties import MemoryWorld
from payment_parties import PAYEE, PAYER
from zerostate.errors import (
    InsufficientBalanceError,
    OverloadedError,
    PaymentError,
    RemoteError,
)
from zerostate.payment import wire
from zerostate.payment.closing import GRACE_S
from zerostate.payment.lifecycle import SignedWithdrawal
from zerostate.payment.watching import MAX_GRANTED
from zerostate.payment.wire import Wanted, Wish
from zerostate.units import Minor


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


def sent(world, name: str) -> list[str]:
    """Return the names of the calls that a party has sent to the chain."""
    return [entry.call.name for entry in world.journals[name]]


async def ask(pair, wanted: Wanted) -> None:
    body = wire.encode_channel_request(wanted)
    await pair.payer.on_channel_request(PAYEE.peer_id, body)


def part(channel_id, to_payee: int) -> Wanted:
    return Wanted(channel_id, Wish.WITHDRAW, to_payee=Minor(to_payee))


async def pending(manager, channel_id):
    row = await manager._ledger.store.channel(channel_id)
    return row.life.pending


async def signed_for(pair, channel_id, total_payee: int) -> None:
    """Wait until both have signed for so much to the payee in all."""
    with trio.fail_after(20):
        for manager in (pair.payer, pair.payee):
            while True:
                found = await pending(manager, channel_id)
                if (
                    isinstance(found, SignedWithdrawal)
                    and found.payee_signature
                    and found.withdrawal.total_payee == total_payee
                ):
                    break
                await trio.sleep(0.01)


async def test_many_wishes_of_a_payee_cost_the_payer_no_transaction(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        before = sent(world, "payer")
        async with pair.watching():
            for total in range(1, 21):
                await ask(pair, part(channel_id, 1))
                await signed_for(pair, channel_id, total)
            await pair.pay(channel_id, 10)
        assert sent(world, "payer") == before


async def test_a_payee_brings_what_it_asked_for_to_the_chain_itself(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 300)
        before = sent(world, "payer")
        async with pair.watching():
            await pair.payee.withdraw(channel_id, to_payee=Minor(100))
            await pair.payee.withdraw(channel_id, to_payee=Minor(200))
            assert world.wallet("payee") == 300
            with trio.fail_after(20):
                while await pending(pair.payer, channel_id):  # noqa: ASYNC110  # what the loop writes has no event
                    await trio.sleep(0.01)
        assert sent(world, "payer") == before
        assert sent(world, "payee").count("withdraw") == 2
        with pytest.raises(InsufficientBalanceError, match="0 is left"):
            await pair.payee.withdraw(channel_id, to_payee=Minor(1))


async def test_a_payee_holds_up_no_payment_while_the_chain_takes_its_time(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 300)
        was_locked = []

        def after(name: str) -> None:
            if name in {"withdraw", "confirm"}:
                was_locked.append(channel_id in pair.payee._ledger.locks._held)

        async with pair.watching("payer"):
            await pair.eventually(lambda: pair.payer._watching._is_running)
            pair.chains["payee"].after = after
            await pair.payee.withdraw(channel_id, to_payee=Minor(300))
        assert was_locked[:2] == [False, False]


async def test_a_payee_that_stopped_after_signing_brings_it_after_its_restart(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 300)
        pair.chains["payee"].is_reachable = False
        async with pair.watching("payer"), trio.open_nursery() as nursery:

            async def withdraw() -> None:
                with pytest.raises(PaymentError):
                    await pair.payee.withdraw(channel_id, to_payee=Minor(300))

            nursery.start_soon(withdraw)
            await signed_for(pair, channel_id, 300)
            nursery.cancel_scope.cancel()
    async with world.started() as pair, pair.watching():
        await world.travel(GRACE_S)
        await pair.eventually(lambda: world.wallet("payee") == 300)
    assert "withdraw" not in sent(world, "payer")


async def test_what_only_the_payer_wanted_costs_the_payee_nothing(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 300)
        pair.chains["payer"].is_reachable = False
        with pytest.raises(PaymentError):
            await pair.payer.withdraw(channel_id, to_payee=Minor(1))
        await signed_for(pair, channel_id, 1)
        async with pair.watching("payee"):
            pair.clock.advance(10 * GRACE_S)
            looks = pair.payee._watching
            turns = looks._looks
            await pair.eventually(lambda: looks._looks > turns + 5)
        assert sent(world, "payee") == []


async def test_a_payee_that_bounds_what_it_is_owed_brings_the_payers_part_itself(world):
    async with world.started(max_exposure=Minor(500)) as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        await pair.pay(channel_id, 50)
        pair.payee._watching._exposed.clear()
        pair.chains["payer"].is_reachable = False
        with pytest.raises(PaymentError):
            await pair.payer.withdraw(channel_id, to_payee=Minor(300))
        async with pair.watching("payee"):
            pair.clock.advance(GRACE_S)
            await pair.eventually(lambda: world.wallet("payee") == 300)


async def test_a_channel_with_a_wish_that_nobody_brings_is_closed_in_its_time(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000, Minor(0), 600)
        await pair.pay(channel_id, 250)
        async with pair.watching("payer"):
            await ask(pair, part(channel_id, 100))
            await signed_for(pair, channel_id, 100)
            await pair.travel(600)
            await pair.until("payer", channel_id, "settled")
        assert "withdraw" not in sent(world, "payer")
        assert (world.wallet("payer"), world.wallet("payee")) == (-250, 250)


async def test_the_payer_withdraws_over_a_wish_that_nobody_brought(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        async with pair.watching("payer"):
            await ask(pair, part(channel_id, 100))
            await signed_for(pair, channel_id, 100)
            await pair.payer.withdraw(channel_id, to_payer=Minor(50))
        assert sent(world, "payer").count("withdraw") == 1
        assert world.claimable("payee") == 100
        assert world.wallet("payer") == 50 - 1000


@pytest.mark.parametrize("amounts", [(1, 0), (1, 1), (0, 0)])
async def test_a_payee_may_ask_only_for_its_own_part(world, amounts):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        async with pair.watching("payer"):
            await pair.eventually(lambda: pair.payer._watching._is_running)
            with pytest.raises(PaymentError, match="its own"):
                await ask(
                    pair,
                    Wanted(
                        channel_id, Wish.WITHDRAW, *(Minor(each) for each in amounts)
                    ),
                )
        with pytest.raises(PaymentError):
            await pair.payee.withdraw(channel_id, to_payer=Minor(1), to_payee=Minor(1))


async def test_one_wish_of_a_channel_waits_and_only_its_end_puts_it_off(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        watching = pair.payer._watching
        watching._is_running = True  # as between two turns
        await ask(pair, part(channel_id, 1))
        await ask(pair, part(channel_id, 1))
        with pytest.raises(OverloadedError, match="another wish"):
            await ask(pair, part(channel_id, 2))
        await ask(pair, Wanted(channel_id, Wish.CLOSE))
        with pytest.raises(OverloadedError, match="another wish"):
            await ask(pair, part(channel_id, 1))
        assert list(watching._wishes.values()) == [Wanted(channel_id, Wish.CLOSE)]


async def test_many_wishes_are_begun_a_few_at_a_time(world):
    async with world.started() as pair:
        channels = [await pair.open(1000 + each) for each in range(MAX_GRANTED + 4)]
        for channel_id in channels:
            await pair.pay(channel_id, 10)
        locks, watching = pair.payer._ledger.locks, pair.payer._watching
        most = 0
        async with pair.watching("payer"):
            await pair.eventually(lambda: watching._is_running)
            async with locks.hold(channels[0]):
                for channel_id in channels:
                    await ask(pair, part(channel_id, 1))
                with trio.fail_after(20):
                    while watching._wishes or watching._granting != {channels[0]}:
                        most = max(most, len(watching._granting))
                        await trio.lowlevel.checkpoint()
                # Another one of the channel waits for the one that is being done.
                await ask(pair, part(channels[0], 2))
                turns = watching._looks
                await pair.eventually(lambda: watching._looks > turns + 3)
                assert list(watching._wishes) == [channels[0]]
            await signed_for(pair, channels[0], 3)
        assert most == MAX_GRANTED


async def test_a_payee_hears_that_its_payer_does_not_take_wishes_now(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        with pytest.raises(RemoteError):
            await pair.payee.withdraw(channel_id, to_payee=Minor(250))
        assert (await pair.view("payee", channel_id)).withdrawn_payee == 0
        assert PAYER.peer_id == (await pair.view("payee", channel_id)).peer_id
