"""What each way to a chain does when the chain drops what it sent, and forgets it."""

import pytest
import trio

from chain_backends import running_backend
from chain_world import open_world
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.contract import CosignedState


@pytest.fixture
async def world(tmp_path):
    """Two parties on an anvil of their own: what is dropped is nobody else's."""
    with running_backend("anvil", tmp_path) as backend:
        async with open_world(backend, tmp_path) as opened:
            yield opened


@pytest.fixture
def drop(world):
    """Put as many empty blocks in the place of the newest."""

    async def drop(blocks):
        await trio.to_thread.run_sync(world.backend.rpc, "anvil_reorg", blocks, [])

    return drop


async def closing(world):
    """Open a channel, and begin to close it; return its id and the close."""
    terms = await world.open(payees=0)
    chain = world.payer.chain
    tx_hash = await chain.start_close(terms.channel_id, CosignedState.known(0))
    await chain.confirm(tx_hash)
    return terms.channel_id, tx_hash


async def status(world, channel_id):
    return (await world.payee.chain.channel(channel_id, depth=1)).status


async def test_what_was_dropped_and_is_told_again_is_the_same_one(world, drop):
    channel_id, tx_hash = await closing(world)
    chain = world.payer.chain
    await drop(1)
    assert await status(world, channel_id) is ChannelStatus.OPEN

    again = await chain.start_close(channel_id, CosignedState.known(0))

    assert again == tx_hash
    assert (await chain.confirm(again)).succeeded
    assert await chain.vanished() == (tx_hash,)
    assert await chain.vanished() == ()
    assert await status(world, channel_id) is ChannelStatus.CLOSING


async def test_what_nobody_waits_for_is_missed_as_often_as_it_is_dropped(world, drop):
    channel_id, tx_hash = await closing(world)
    chain = world.payer.chain
    for _ in range(2):
        await drop(1)
        assert await status(world, channel_id) is ChannelStatus.OPEN
        assert await chain.vanished() == (tx_hash,)
        assert await status(world, channel_id) is ChannelStatus.CLOSING
        assert await chain.vanished() == ()


async def test_of_several_that_were_dropped_telling_one_again_sends_all(world, drop):
    channel_id, tx_hash = await closing(world)
    chain = world.payer.chain
    await drop(2)
    assert await status(world, channel_id) is ChannelStatus.UNKNOWN

    again = await chain.start_close(channel_id, CosignedState.known(0))

    assert again == tx_hash
    assert (await chain.confirm(again)).succeeded
    assert await status(world, channel_id) is ChannelStatus.CLOSING
    assert len(await chain.vanished()) == 2
