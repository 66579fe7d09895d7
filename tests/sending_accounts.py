"""One account that sends, on a node that the test controls."""

from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from fake_node import FakeNode
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.payment.chain import ChainConfig
from zerostate.payment.chain.config import JOURNAL_FILE
from zerostate.payment.chain.confirming import Confirmer
from zerostate.payment.chain.journal import Journal
from zerostate.payment.chain.sender import TransactionSender
from zerostate.payment.chain.transactions import TxRequest

KEY = EthKey(b"\x0b" * 32)
REQUEST = TxRequest(EthAddress("0x" + "33" * 20), 5, b"data")
OTHER = TxRequest(EthAddress("0x" + "33" * 20), 6, b"data")


def config(folder, **changes):
    plain = {
        "confirmations": 1,
        "poll_s": 0.01,
        "confirm_timeout_s": 10,
        "stuck_after_s": 3600,
        "reserve_gas": 0,
    }
    return ChainConfig(data_dir=folder, url="http://127.0.0.1:1", **plain | changes)


@dataclass
class Account:
    """A sender on a node."""

    node: FakeNode
    journal: Journal
    sender: TransactionSender
    confirmer: Confirmer

    async def submit(self, request=REQUEST, **options):
        return await self.sender.submit(request, **{"may_use_reserve": False} | options)

    async def submit_confirmed(self, request=REQUEST):
        """Submit one that counts as confirmed."""
        tx_hash = await self.submit(request)
        self.node.mine()
        await self.confirm(tx_hash)
        return tx_hash

    async def confirm(self, tx_hash, depth=1, timeout_s=10):
        return await self.confirmer.confirm(tx_hash, timeout_s, depth)

    async def confirm_while(self, tx_hash, act, depth=1):
        """Confirm; meanwhile do `act`."""
        receipts = []

        async def confirm():
            receipts.append(await self.confirm(tx_hash, depth))

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(confirm)
                await act()
        return receipts[0]


@asynccontextmanager
async def account(node, folder, **changes):
    settings = config(folder, **changes)
    journal = Journal.open(
        folder / JOURNAL_FILE, chain="31337:0xfeed", sender=KEY.address
    )
    sender = TransactionSender(node, journal, KEY, chain_id=31337, config=settings)
    try:
        yield Account(
            node, journal, sender, Confirmer(node, journal, sender, KEY, settings)
        )
    finally:
        journal.close()


async def until(condition):
    """Wait until `condition` holds; the caller bounds the wait."""
    while not condition():  # noqa: ASYNC110  # the fake node tells nobody
        await trio.sleep(0.005)
