"""Two managers on a chain in memory: opening to settling, together and alone."""

import pytest
import trio

from chain_parties import WINDOW_S, MemoryWorld
from payment_parties import PAYEE, PAYER
from zerostate.errors import (
    ChannelFrozenError,
    ChannelNotFundedError,
    InsufficientBalanceError,
    NotConfirmedError,
    PaymentError,
)
from zerostate.payment import wire
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.contract import CosignedState
from zerostate.units import Minor


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


async def test_a_channel_is_funded_before_it_takes_payments(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        for name in ("payer", "payee"):
            view = await pair.view(name, channel_id)
            assert (view.phase, view.funded, view.deposit) == ("open", True, 1000)
        found = await pair.chains["payer"].channel(channel_id)
        assert (found.status, found.deposit_payer) == (ChannelStatus.OPEN, 1000)
        assert found.window_s == WINDOW_S


async def test_a_channel_closed_together_pays_both_to_the_unit(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        await pair.pay(channel_id, 100)
        async with pair.watching("payee"):
            settlement = await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        assert settlement.cooperative
        assert (settlement.net, settlement.claimed) == (350, 650)
        assert (world.wallet("payer"), world.wallet("payee")) == (-350, 350)
        theirs = (await pair.view("payee", channel_id)).settlement
        assert theirs.tx_hash == settlement.tx_hash
        assert (theirs.cooperative, theirs.claimed) == (True, 350)
        assert await pair.payer.close(channel_id) == settlement


async def test_a_payee_that_is_gone_for_ever_is_closed_without(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        pair.be_lost()
        assert await pair.payer.close(channel_id) is None
        with pytest.raises(PaymentError, match="can be challenged"):
            await pair.payer.settle(channel_id)
        await pair.travel(WINDOW_S + 1)
        settlement = await pair.payer.settle(channel_id)
        assert not settlement.cooperative
        assert world.wallet("payer") == -250
        assert (await pair.view("payer", channel_id)).phase == "settled"


async def test_nothing_is_signed_once_a_channel_is_being_closed(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        pair.be_lost()
        await pair.payer.close(channel_id)
        pair.be_found()
        with pytest.raises(ChannelFrozenError):
            await pair.pay(channel_id, 10)
        assert await pair.payee.dispute(channel_id) is None
        assert (await pair.view("payee", channel_id)).phase == "disputed"


async def test_a_stale_close_is_answered_with_the_newest_state(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        # A payer that cheats: it closes by what it knew before it paid.
        await pair.chains["payer"].start_close(channel_id, CosignedState.known(0))
        async with pair.watching("payee"):
            await pair.until("payee", channel_id, "disputed")
            await pair.eventually(lambda: world.on_chain(channel_id).nonce == 1)
            await pair.travel(WINDOW_S + 1)
            await pair.until("payee", channel_id, "settled")
        assert world.wallet("payee") == 250
        dispute = pair.spans.named("payment.dispute")
        assert dispute.attributes["payment.nonce"] == 1
        assert dispute.parent is None


async def test_a_payee_that_closes_has_the_payer_propose_the_end(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        async with pair.watching():
            settlement = await pair.payee.close(channel_id)
            await pair.until("payer", channel_id, "settled")
        assert settlement.cooperative
        assert (world.wallet("payer"), world.wallet("payee")) == (-250, 250)


async def test_a_part_is_withdrawn_and_the_channel_goes_on(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 300)
        async with pair.watching("payee"):
            await pair.payer.withdraw(
                channel_id, to_payer=Minor(100), to_payee=Minor(300)
            )
            await pair.eventually(lambda: not world.claimable("payee"))
            with pytest.raises(InsufficientBalanceError):
                await pair.pay(channel_id, 601)
            await pair.pay(channel_id, 600)
            await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        assert (world.wallet("payer"), world.wallet("payee")) == (-900, 900)


async def test_a_payee_withdraws_what_it_has_earned(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 300)
        async with pair.watching():
            await pair.payee.withdraw(channel_id, to_payee=Minor(300))
            assert world.wallet("payee") == 300
            await pair.pay(channel_id, 10)


async def test_a_channel_whose_time_is_over_takes_no_payment_and_is_closed(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000, Minor(0), 600)
        await pair.pay(channel_id, 250)
        await pair.travel(600)
        with pytest.raises(ChannelFrozenError, match="time"):
            await pair.pay(channel_id, 10)
        assert await pair.open(1000) != channel_id
        async with pair.watching():
            await pair.until("payer", channel_id, "settled")
            await pair.until("payee", channel_id, "settled")
        assert world.wallet("payee") == 250


async def test_a_payment_is_refused_while_the_payee_has_not_seen_the_deposit(world):
    async with world.started() as pair:
        blocks = world.blocks
        blocks.is_mining = False
        with pytest.raises(NotConfirmedError):
            await pair.open(1000)
        (view,) = await pair.payee.views()
        assert (view.phase, view.funded) == ("opening", False)
        with pytest.raises(ChannelNotFundedError):
            await pair.payee.on_channel_funded(
                pair.there.author, wire.encode_channel_funded(view.channel_id)
            )
        blocks.is_mining = True
        blocks.mine()
        assert await pair.open(1000) == view.channel_id
        await pair.pay(view.channel_id, 10)
        assert PAYEE.peer_id == (await pair.view("payer", view.channel_id)).peer_id


async def test_a_payee_forgets_what_was_proposed_and_never_funded(world):
    async with world.started() as pair:
        world.blocks.is_mining = False
        with pytest.raises(NotConfirmedError):
            await pair.open(1000)
        (view,) = await pair.payee.views()
        async with pair.watching("payee"):
            pair.clock.advance(3601)
            await pair.until("payee", view.channel_id, "settled")
        with pytest.raises(ChannelNotFundedError, match="nothing to close"):
            await pair.payer.close(view.channel_id)


async def test_the_payee_makes_its_own_deposit_and_gets_it_back(world):
    async with world.started(max_own_deposit=Minor(500)) as pair:
        channel_id = await pair.open(1000, Minor(500))
        await pair.pay(channel_id, 250)
        async with pair.watching("payee"):
            await pair.eventually(
                lambda: world.on_chain(channel_id).deposit_payee == 500
            )
            settlement = await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        assert settlement.claimed == 750
        assert world.wallet("payee") == 250


async def test_a_settlement_is_a_trace_of_its_own_linked_to_each_payment(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        payments = [await pair.pay(channel_id, 10) for _ in range(3)]
        settlement = await pair.payer.close(channel_id)
        settle = pair.spans.named("payment.channel.settle")
        assert settle.parent is None
        linked = {format(link.context.span_id, "016x") for link in settle.links}
        paid = {
            format(span.context.span_id, "016x")
            for span in pair.spans.spans
            if span.name == "payment.transaction"
        }
        assert linked == paid
        assert len(paid) == len(payments)
        assert settlement.trace_id == format(settle.context.trace_id, "032x")
        assert settlement.span_id == format(settle.context.span_id, "016x")
        children = {
            span.name
            for span in pair.spans.spans
            if span.parent and span.parent.span_id == settle.context.span_id
        }
        assert children == {"payment.chain.close", "payment.chain.claim"}
        assert settle.attributes["payment.tx_hash"] == settlement.tx_hash


async def test_both_ends_may_open_a_channel_to_each_other_at_once(world):
    async with world.started() as pair, trio.open_nursery() as nursery:
        nursery.start_soon(pair.open)
        nursery.start_soon(pair.payee.open_channel, PAYER.peer_id, Minor(500))
    async with world.started() as pair:
        for manager in (pair.payer, pair.payee):
            views = await manager.views()
            assert {(view.role, view.phase) for view in views} == {
                ("payer", "open"),
                ("payee", "open"),
            }


async def test_a_close_that_began_while_we_were_away_is_answered_at_the_start(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
    chain = world.chains()["payer"]
    await chain.start_close(channel_id, CosignedState.known(0))
    async with world.started() as pair, pair.watching("payee"):
        await pair.eventually(lambda: world.on_chain(channel_id).nonce == 1)
        await pair.travel(WINDOW_S + 1)
        await pair.until("payee", channel_id, "settled")
    assert world.wallet("payee") == 250


async def test_a_reorganisation_that_undoes_the_answer_is_answered_again(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        await pair.chains["payer"].start_close(channel_id, CosignedState.known(0))
        async with pair.watching("payee"):
            await pair.eventually(lambda: world.on_chain(channel_id).nonce == 1)
            world.blocks.reorganise(1, forget=True)
            await pair.eventually(lambda: world.on_chain(channel_id).nonce == 1)
            await pair.travel(WINDOW_S + 1)
            await pair.until("payee", channel_id, "settled")
    assert world.wallet("payee") == 250
