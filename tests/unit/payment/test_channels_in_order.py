"""Durable first, then sent; deep in the chain first, then relied on."""

from contextlib import contextmanager

import pytest
import trio

from chain_parties import MemoryWorld
from payment_parties import PAYER
from zerostate.errors import ChainUnreachableError, ChannelNotFundedError
from zerostate.payment import wire
from zerostate.payment.lifecycle import SignedFinal, SignedWithdrawal
from zerostate.units import Minor


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


@pytest.fixture
def deep_world(tmp_path):
    return MemoryWorld(tmp_path, confirmations=3)


@contextmanager
def unconfirmed(chain, operation):
    """Let a transaction get into a block, and its sender not hear of it."""

    def after(name: str) -> None:
        if name == operation:
            raise ChainUnreachableError("the node does not answer")

    chain.after = after
    with pytest.raises(ChainUnreachableError):
        yield
    chain.after = lambda _name: None


async def pending_when_sent(pair, channel_id, message_type):
    """Return what the payer's disk has when a message leaves it."""
    found = []

    async def before() -> None:
        if pair.there.sent[-1][0] == message_type:
            row = await pair.payer._ledger.store.channel(channel_id)
            found.append(row.life)

    pair.there.before = before
    return found


async def test_a_final_state_is_durable_before_it_is_sent(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        found = await pending_when_sent(pair, channel_id, wire.CHANNEL_CLOSE)
        await pair.payer.close(channel_id)
        (life,) = found
        assert life.phase == "closing"
        assert isinstance(life.pending, SignedFinal)
        assert life.pending.payer_signature


async def test_a_withdrawal_is_durable_before_it_is_sent(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        found = await pending_when_sent(pair, channel_id, wire.CHANNEL_WITHDRAW)
        await pair.payer.withdraw(channel_id, to_payee=Minor(250))
        (life,) = found
        assert isinstance(life.pending, SignedWithdrawal)
        assert life.pending.payer_signature


async def test_a_channel_is_frozen_before_its_close_is_sent(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        found = []

        def before(name: str) -> None:
            if name == "start_close":
                connection = pair.payer._ledger.store._connection
                found.extend(connection.execute("SELECT phase FROM lifecycle"))

        pair.chains["payer"].before = before
        await pair.payer.close(channel_id, force=True)
        assert found == [("disputed",)]


async def test_a_deposit_counts_only_when_it_is_deep_in_the_chain(deep_world):
    async with deep_world.started() as pair:
        with unconfirmed(pair.chains["payer"], "open"):
            await pair.open(1000)
        (view,) = await pair.payee.views()
        told = wire.encode_channel_funded(view.channel_id)
        with pytest.raises(ChannelNotFundedError, match="not deep enough"):
            await pair.payee.on_channel_funded(PAYER.peer_id, told)
        deep_world.blocks.mine()
        deep_world.blocks.mine()
        await pair.payee.on_channel_funded(PAYER.peer_id, told)
        assert (await pair.view("payee", view.channel_id)).phase == "open"


async def test_a_settlement_by_the_other_end_counts_only_when_it_is_deep(deep_world):
    async with deep_world.started() as pair:
        channel_id = await pair.open(1000)
        with unconfirmed(pair.chains["payer"], "close"):
            await pair.payer.close(channel_id)
        with trio.move_on_after(0.2) as scope:
            await pair.payee.settle(channel_id)
        assert scope.cancelled_caught
        assert (await pair.view("payee", channel_id)).settlement is None
        deep_world.blocks.mine()
        deep_world.blocks.mine()
        assert (await pair.payee.settle(channel_id)).cooperative


async def test_a_withdrawal_is_done_with_only_when_it_is_deep(deep_world):
    async with deep_world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        with unconfirmed(pair.chains["payer"], "withdraw"):
            await pair.payer.withdraw(channel_id, to_payee=Minor(250))
        for end in (pair.payer, pair.payee):
            await end._withdrawing.seen(channel_id)
            row = await end._ledger.store.channel(channel_id)
            assert isinstance(row.life.pending, SignedWithdrawal)
        deep_world.blocks.mine()
        deep_world.blocks.mine()
        for end in (pair.payer, pair.payee):
            await end._withdrawing.seen(channel_id)
            row = await end._ledger.store.channel(channel_id)
            assert row.life.pending is None
