"""Two channel managers with accounts on a running chain."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from chain_backends import Backend
from chain_parties import ChainPair, keys_in, open_chain_pair
from chain_world import config
from zerostate.payment.chains import open_chain
from zerostate.payment.config import KEY_FILE
from zerostate.payment.keys import plain_file
from zerostate.testing import FakeClock


class Accounts:
    """Both parties' money on a running chain, gas apart."""

    def __init__(self, backend: Backend, directory: Path) -> None:
        self.backend, self.directory = backend, directory
        self.clock = FakeClock()

    async def travel(self, seconds: int) -> None:
        await trio.to_thread.run_sync(self.backend.travel, seconds)
        self.clock.advance(seconds)

    async def prepare(self) -> None:
        """Give both parties funded keys, and the chain its contract."""
        for name in ("payer", "payee"):
            folder = self.directory / name
            folder.mkdir(mode=0o700)
            key = await trio.to_thread.run_sync(next, self.backend.keys)
            (folder / KEY_FILE).write_bytes(plain_file(key))
            (folder / KEY_FILE).chmod(0o600)
        if self.backend.contract is None:
            key = await trio.to_thread.run_sync(next, self.backend.keys)
            settings = config(self.backend.url, self.directory / "deployer")
            async with open_chain(settings, key) as chain:
                receipt = await chain.confirm(await chain.deploy())
                self.backend.contract = receipt.contract

    @asynccontextmanager
    async def started(self, **changes: object) -> AsyncIterator[ChainPair]:
        """Start both parties on what their disks hold."""
        async with AsyncExitStack() as stack:
            chains = {}
            for name, key in keys_in(self.directory).items():
                settings = config(
                    self.backend.url,
                    self.directory / name,
                    contract=self.backend.contract,
                )
                chains[name] = await stack.enter_async_context(
                    open_chain(settings, key)
                )
            pair = await stack.enter_async_context(
                open_chain_pair(
                    self.directory, chains, self.travel, clock=self.clock, **changes
                )
            )
            yield pair
