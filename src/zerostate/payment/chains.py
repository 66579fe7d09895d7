"""Opening a chain. What speaks JSON-RPC is loaded when that is asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import trio

from zerostate.evidence.ethereum import EthKey
from zerostate.payment.chain import Chain, ChainConfig

if TYPE_CHECKING:
    from types import ModuleType


@asynccontextmanager
async def open_chain(config: ChainConfig, key: EthKey) -> AsyncIterator[Chain]:
    """Reach the chain of `config` with the account of `key` inside the block.

    What an earlier process sent and did not see in a block is sent again first. Takes
    some seconds the first time in a process, off this thread.

    Raises:
        ChainUnreachableError: The node does not answer.
        ChainError: What answers is not a node, or the contract is not ours.
        StoreError: The journal of sent transactions cannot be used, or another
            process has it open.
    """
    module: ModuleType = await trio.to_thread.run_sync(
        import_module, "zerostate.payment._web3"
    )
    async with module.open_node_chain(config, key) as chain:
        yield chain
