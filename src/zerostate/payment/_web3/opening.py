"""Putting node, journal and chain together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from zerostate.errors import ChainError
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthKey
from zerostate.payment._web3.chain import NodeChain
from zerostate.payment._web3.node import Web3Node
from zerostate.payment.chain.access import Chain
from zerostate.payment.chain.config import JOURNAL_FILE, ChainConfig
from zerostate.payment.chain.journal import Journal


@asynccontextmanager
async def open_node_chain(config: ChainConfig, key: EthKey) -> AsyncIterator[Chain]:
    """Reach the chain of `config` with the account of `key` inside the block."""
    node = Web3Node(config)
    try:
        chain_id = await node.chain_id()
        journal = await trio.to_thread.run_sync(
            _open_journal, config, f"{chain_id}:{await _genesis(node)}", key
        )
        try:
            chain = NodeChain(node, journal, key, chain_id=chain_id, config=config)
            await chain.recover()
            if config.contract != ZERO_ADDRESS:
                await chain.use_contract(config.contract)
            yield chain
        finally:
            journal.close()
    finally:
        node.close()


def _open_journal(config: ChainConfig, chain: str, key: EthKey) -> Journal:
    return Journal.open(config.data_dir / JOURNAL_FILE, chain=chain, sender=key.address)


async def _genesis(node: Web3Node) -> str:
    genesis = await node.block_hash(0)
    if genesis is None:
        raise ChainError("the node has no block 0")
    return genesis
