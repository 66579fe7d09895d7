"""node.counterparts: who agreed on a channel is one only once its deposit was seen."""

import pytest

from chain_parties import MemoryWorld
from payment_parties import PAYEE, PAYER, open_pair
from zerostate.errors import NotConfirmedError
from zerostate.node.counterparts import Counterparts
from zerostate.units import Minor


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


async def agree_without_a_deposit(world, pair) -> None:
    world.blocks.is_mining = False
    with pytest.raises(NotConfirmedError):
        await pair.open(1000)


async def test_an_agreed_channel_makes_no_counterpart_before_it_is_funded(world):
    async with world.started() as pair:
        told = {"payer": [], "payee": []}
        pair.payer.opened, pair.payee.opened = (
            told["payer"].append,
            told["payee"].append,
        )
        await agree_without_a_deposit(world, pair)
        assert told == {"payer": [], "payee": []}
        world.blocks.is_mining = True
        world.blocks.mine()
        await pair.open(1000)
        assert told == {"payer": [PAYEE.peer_id], "payee": [PAYER.peer_id]}


async def test_a_restart_makes_no_counterpart_of_who_has_not_funded(world):
    async with world.started() as pair:
        await agree_without_a_deposit(world, pair)
    async with world.started() as pair:
        assert PAYER.peer_id not in await Counterparts.load(pair.payee)
        async with pair.watching("payee"):
            pair.clock.advance(3601)
            (view,) = await pair.payee.views()
            await pair.until("payee", view.channel_id, "settled")
        assert PAYER.peer_id not in await Counterparts.load(pair.payee)


async def test_a_funded_channel_makes_a_counterpart_also_after_its_end(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        assert PAYER.peer_id in await Counterparts.load(pair.payee)
        async with pair.watching("payee"):
            await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        assert PAYER.peer_id in await Counterparts.load(pair.payee)
        assert PAYEE.peer_id in await Counterparts.load(pair.payer)


async def test_a_promise_makes_a_counterpart_when_it_is_agreed_on(tmp_path):
    async with open_pair(tmp_path) as pair:
        told = []
        pair.payee.opened = told.append
        await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        assert told == [PAYER.peer_id]
        assert PAYER.peer_id in await Counterparts.load(pair.payee)
