"""The node that unit tests stand on answers as a real one where nonces have a gap."""

import secrets
from dataclasses import dataclass

import pytest
import trio

from chain_backends import running_backend
from chain_world import config
from fake_node import FakeNode
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.payment._web3.node import Web3Node
from zerostate.payment.chain.fees import Fees
from zerostate.payment.chain.node import Node, SendOutcome
from zerostate.payment.chain.transactions import TxRequest, sign_transaction

NOBODY = EthAddress("0x" + "44" * 20)
GWEI = 10**9


class Fake:
    """What the tests do to the fake node."""

    def __init__(self, node):
        self._node = node

    async def mine(self):
        self._node.mine()

    async def drop(self):
        self._node.drop()


class Real:
    """What the tests do to anvil."""

    def __init__(self, backend):
        self._backend = backend

    async def mine(self):
        await trio.to_thread.run_sync(self._backend.rpc, "evm_mine")

    async def drop(self):
        await trio.to_thread.run_sync(self._backend.rpc, "anvil_reorg", 1, [])


@dataclass
class Account:
    """An account at a node, and blocks that come when the test says."""

    node: Node
    blocks: Fake | Real
    key: EthKey

    async def send(self, nonce):
        """Hand in a transaction; return its hash."""
        raw, tx_hash = sign_transaction(
            self.key,
            TxRequest(NOBODY, 1),
            chain_id=31337,
            nonce=nonce,
            gas=21_000,
            fees=Fees(10 * GWEI, GWEI),
        )
        assert await self.node.send(raw) is SendOutcome.TAKEN
        return tx_hash

    async def nonces(self):
        """Return the next nonce without and with what is in no block."""
        ask = self.node.nonce
        return (
            await ask(self.key.address, pending=False),
            await ask(self.key.address, pending=True),
        )


@pytest.fixture(params=["fake", "anvil"])
async def account(request, tmp_path):
    if request.param == "fake":
        node = FakeNode()
        yield Account(node, Fake(node), EthKey(secrets.token_bytes(32)))
        return
    with running_backend("anvil", tmp_path) as backend:
        key = await trio.to_thread.run_sync(next, backend.keys)
        await trio.to_thread.run_sync(backend.rpc, "evm_setAutomine", False)
        node = Web3Node(config(backend.url, tmp_path / "reader"))
        yield Account(node, Real(backend), key)
        node.close()


async def test_what_is_behind_a_gap_is_neither_counted_nor_mined(account):
    behind = await account.send(1)
    assert await account.nonces() == (0, 0)
    await account.blocks.mine()
    assert await account.node.receipt(behind) is None

    first = await account.send(0)

    assert await account.nonces() == (0, 2)
    await account.blocks.mine()
    assert await account.nonces() == (2, 2)
    assert None not in {await account.node.receipt(each) for each in (first, behind)}


async def test_what_is_behind_one_that_was_dropped_waits_for_it(account):
    dropped = await account.send(0)
    await account.blocks.mine()
    behind = await account.send(1)
    assert await account.nonces() == (1, 2)

    await account.blocks.drop()

    assert (await account.nonces())[0] == 0
    await account.blocks.mine()
    assert await account.node.receipt(dropped) is None
    assert await account.node.receipt(behind) is None
    assert await account.send(0) == dropped
    await account.blocks.mine()
    # Anvil may have thrown it out meanwhile; to send it again is never wrong.
    if await account.node.receipt(behind) is None:
        assert await account.send(1) == behind
        await account.blocks.mine()
    assert None not in {await account.node.receipt(each) for each in (dropped, behind)}
