"""The chain in memory does what the contract does on real chains."""

from dataclasses import dataclass

import pytest

from chain_world import Party, World

# Their tests are collected here too; the fixtures below give them the one in memory.
from integration.payment.test_channel_dropped import *  # noqa: F403  # all of them
from integration.payment.test_channel_on_chain import *  # noqa: F403  # all of them
from memory_chain import Blocks, MemoryChain
from zerostate.errors import ReorganisedError
from zerostate.evidence.ethereum import EthKey


@dataclass
class Travels:
    """What a `World` wants of a backend."""

    blocks: Blocks

    def travel(self, seconds: int) -> None:
        self.blocks.pass_time(seconds)


@pytest.fixture
def world():
    blocks = Blocks()
    parties = []
    for _ in range(3):
        key = EthKey.generate()
        blocks.fund(key.address, 10**18)
        parties.append(Party(key, MemoryChain(blocks, key.address)))
    return World(Travels(blocks), *parties)


@pytest.fixture
def drop(world):
    async def drop(blocks):
        world.backend.blocks.reorganise(blocks, forget=True)

    return drop


async def test_a_dropped_block_takes_its_transactions_to_a_later_one(world):
    terms = await world.open(payees=0)
    chain = world.payer.chain
    seen = (await chain.head()).block

    chain.blocks.reorganise(1)

    assert (await chain.channel(terms.channel_id)).deposit_payer == terms.deposit
    with pytest.raises(ReorganisedError):
        await chain.events(seen)
    assert await chain.vanished() == ()


async def test_a_forgotten_transaction_is_sent_again(world):
    terms = await world.open(payees=0)
    chain = world.payer.chain

    chain.blocks.reorganise(1, forget=True)

    assert (await chain.channel(terms.channel_id)).deposit_payer == 0
    assert len(await chain.vanished()) == 1
    assert (await chain.channel(terms.channel_id)).deposit_payer == terms.deposit
