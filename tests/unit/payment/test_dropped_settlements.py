"""What a reorganisation dropped is sent again, also when no channel is live."""

import pytest

from chain_parties import MemoryWorld
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.chain.confirming import WATCHED_BLOCKS
from zerostate.payment.watching import RECHECK_TURNS


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


async def settle(pair):
    channel_id = await pair.open(1000)
    await pair.pay(channel_id, 250)
    async with pair.watching("payee"):
        await pair.payer.close(channel_id)
        await pair.until("payee", channel_id, "settled")
    return channel_id


def count(chain):
    """Return the list of what `chain` is asked from now on."""
    asked = []
    chain.before = asked.append
    return asked


async def looks(pair, name, number):
    """Wait until a party has looked after its channels `number` times more."""
    watching = getattr(pair, name)._watching
    wanted = watching._looks + number
    await pair.eventually(lambda: watching._looks >= wanted)


async def test_a_settlement_that_was_dropped_is_sent_again(world):
    async with world.started() as pair:
        channel_id = await settle(pair)
        world.blocks.reorganise(3, forget=True)
        assert world.on_chain(channel_id).status is ChannelStatus.OPEN
        async with pair.watching():
            await pair.eventually(
                lambda: world.on_chain(channel_id).status is ChannelStatus.SETTLED
            )
            await pair.eventually(lambda: world.wallet("payer") == -250)
            await pair.eventually(lambda: not world.claimable("payee"))
        assert world.wallet("payee") == 250


async def test_a_settlement_that_was_dropped_meanwhile_is_sent_after_a_start(world):
    async with world.started() as pair:
        channel_id = await settle(pair)
    world.blocks.reorganise(3, forget=True)
    async with world.started() as pair, pair.watching("payer"):
        await pair.eventually(
            lambda: world.on_chain(channel_id).status is ChannelStatus.SETTLED
        )


async def test_a_share_is_claimed_though_its_claim_came_back_too_early(world):
    async with world.started() as pair:
        channel_id = await settle(pair)
        world.blocks.reorganise(3, forget=True)
        # The contract owes the payee nothing yet: its claim is sent in vain.
        async with pair.watching("payee"):
            await looks(pair, "payee", 2 * RECHECK_TURNS)
        assert world.on_chain(channel_id).status is ChannelStatus.OPEN
        async with pair.watching():
            await pair.eventually(
                lambda: world.on_chain(channel_id).status is ChannelStatus.SETTLED
            )
            await pair.eventually(lambda: not world.claimable("payee"))
        assert world.wallet("payee") == 250


async def test_a_peer_that_never_had_a_channel_asks_the_chain_nothing(world):
    async with world.started() as pair:
        asked = count(pair.chains["payee"])
        async with pair.watching("payee"):
            await looks(pair, "payee", 2 * RECHECK_TURNS)
        assert not asked


async def test_what_is_deep_enough_is_looked_for_no_more(world):
    async with world.started() as pair:
        await settle(pair)
        asked = count(pair.chains["payer"])
        async with pair.watching("payer"):
            await pair.eventually(lambda: asked.count("vanished") >= 2)
            for _ in range(WATCHED_BLOCKS):
                world.blocks.mine()
            await looks(pair, "payer", 2 * RECHECK_TURNS)
            seen = len(asked)
            await looks(pair, "payer", 2 * RECHECK_TURNS)
        assert len(asked) == seen


async def test_a_chain_that_does_not_answer_is_asked_again(world):
    async with world.started() as pair:
        channel_id = await settle(pair)
        world.blocks.reorganise(3, forget=True)
        pair.chains["payer"].is_reachable = False
        async with pair.watching("payer"):
            await pair.eventually(lambda: pair.payer.failures["chain_unreachable"] >= 1)
            pair.chains["payer"].is_reachable = True
            await pair.eventually(
                lambda: world.on_chain(channel_id).status is ChannelStatus.SETTLED
            )
