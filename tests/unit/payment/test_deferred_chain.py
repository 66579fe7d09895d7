"""payment.deferred: a chain that is reached when somebody first needs it."""

import inspect
from contextlib import asynccontextmanager

import pytest
import trio

from zerostate.errors import ChainError, ChainUnreachableError
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.chain import Chain, ChainConfig
from zerostate.payment.deferred import defer_chain

KEY = EthKey(b"\x07" * 32)
CONTRACT = "0x" + "ab" * 20
METHODS = [
    name
    for name, method in inspect.getmembers(Chain, inspect.isfunction)
    if inspect.iscoroutinefunction(method)
]


class Recorded:
    """A chain that says what it was asked."""

    contract = "0x" + "cd" * 20
    address = KEY.address

    def __init__(self, chain_id):
        self.chain_id = chain_id

    def __getattr__(self, name):
        async def method(*args, **kwargs):
            await trio.lowlevel.checkpoint()
            return name, args, kwargs

        return method


class Node:
    """Reaches recorded chains, and counts."""

    def __init__(self):
        self.chain_id = 31337
        self.reached = 0
        self.held = 0
        self.away = False

    @asynccontextmanager
    async def open(self, config, key):
        assert (config.contract, key) == (CONTRACT, KEY)
        await trio.sleep(1)
        if self.away:
            raise ChainUnreachableError("nobody is there")
        self.reached += 1
        self.held += 1
        try:
            yield Recorded(self.chain_id)
        finally:
            self.held -= 1


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def deferred(node, tmp_path):
    config = ChainConfig(data_dir=tmp_path, url="http://127.0.0.1", contract=CONTRACT)
    return defer_chain(config, KEY, chain_id=31337, opens=node.open)


async def test_it_is_not_reached_before_it_is_needed(autojump_clock, node, deferred):
    async with deferred as chain:
        assert (chain.chain_id, chain.address) == (31337, KEY.address)
        assert chain.contract == CONTRACT
        assert node.reached == 0


async def test_it_is_reached_once_and_left_at_the_end(autojump_clock, node, deferred):
    async with deferred as chain:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(chain.head)
        assert chain.contract == Recorded.contract
        assert (node.reached, node.held) == (1, 1)

    assert node.held == 0


@pytest.mark.parametrize("name", METHODS)
async def test_each_question_is_passed_on_as_it_is(autojump_clock, deferred, name):
    parameters = list(inspect.signature(getattr(Chain, name)).parameters.values())[1:]
    by_place = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    by_name = {p.name: p.name for p in parameters if p.kind is p.KEYWORD_ONLY}

    async with deferred as chain:
        answer = await getattr(chain, name)(*by_place, **by_name)

    assert answer in ((name, tuple(by_place), by_name), None)
    assert (answer is None) == (name == "use_contract")


async def test_what_cannot_be_reached_is_tried_again(autojump_clock, node, deferred):
    node.away = True
    async with deferred as chain:
        with pytest.raises(ChainUnreachableError, match="nobody"):
            await chain.head()
        node.away = False
        await chain.head()
        assert node.reached == 1


async def test_another_chain_is_refused_and_let_go(autojump_clock, node, deferred):
    node.chain_id = 1
    async with deferred as chain:
        with pytest.raises(ChainError, match=r"of chain 1, and payment .* chain 31337"):
            await chain.head()
        assert (node.reached, node.held) == (1, 0)
        node.chain_id = 31337
        await chain.head()
        assert (node.reached, node.held) == (2, 1)


async def test_who_gives_up_waiting_leaves_the_others_alone(
    autojump_clock, node, deferred
):
    async with deferred as chain:
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.5) as impatient:
                await chain.head()
            nursery.start_soon(chain.head)
        assert impatient.cancelled_caught
        assert (node.reached, node.held) == (1, 1)
