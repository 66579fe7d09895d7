"""A channel is settled for a party that cannot claim its share yet."""

import pytest

from chain_parties import MemoryWorld
from zerostate.errors import InsufficientGasError


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


def without_gas(chain):
    """Let `chain` refuse claims; return the list of those it refused."""
    refused = []

    def before(name: str) -> None:
        if name == "claim":
            refused.append(name)
            raise InsufficientGasError("no money for gas")

    chain.before = before
    return refused


def settlements(pair):
    return [s for s in pair.spans.spans if s.name == "payment.channel.settle"]


async def test_who_has_no_money_for_gas_knows_that_the_channel_is_settled(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        await pair.payer.close(channel_id)
        pair.spans.clear()
        refused = without_gas(pair.chains["payee"])
        async with pair.watching("payee"):
            await pair.until("payee", channel_id, "settled")
            await pair.eventually(lambda: len(refused) >= 1)

        (settled,) = settlements(pair)
        assert settled.attributes["channel.id"] == channel_id
        view = await pair.view("payee", channel_id)
        assert view.settlement.claimed == 0


async def test_what_could_not_be_claimed_is_claimed_later_also_after_a_restart(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        await pair.payer.close(channel_id)
        without_gas(pair.chains["payee"])
        async with pair.watching("payee"):
            await pair.until("payee", channel_id, "settled")
    async with world.started() as pair:
        pair.spans.clear()
        pair.chains["payee"].before = lambda _name: None
        assert world.claimable("payee") == 250
        async with pair.watching("payee"):
            await pair.eventually(lambda: not world.claimable("payee"))

        assert world.wallet("payee") == 250
        assert not settlements(pair)


async def test_claiming_is_tried_again_after_a_while_and_not_at_each_turn(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        await pair.payer.close(channel_id)
        refused = without_gas(pair.chains["payee"])
        async with pair.watching("payee"):
            await pair.until("payee", channel_id, "settled")
            first = len(refused)
            await pair.eventually(lambda: len(refused) == first + 1)

        assert first <= 2
        assert len(settlements(pair)) == 2  # the payer's and the payee's
