"""What the channel contract costs: gas of each operation, and its time here.

Run with `python benchmarks/chain.py`; takes about twenty seconds, ten of them a
challenge window's. The embedded chain runs in a process of its own; `--url` takes
another node instead, one whose first account (anvil's) has money: `python
benchmarks/chain.py --url http://127.0.0.1:8545`. Time is from the call to the confirmation
at depth 1, the node's own time included.
"""

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from zerostate.errors import TransactionRevertedError
from zerostate.evidence.channel import ChannelTerms, state_digest
from zerostate.evidence.channel_update import ChannelUpdate, payment_hash
from zerostate.evidence.ethereum import EthKey
from zerostate.ids import PeerId
from zerostate.payment.chain import Chain, ChainConfig, TxHash
from zerostate.payment.chains import open_chain
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    Withdrawal,
    channel_contract,
    close_digest,
    peer_hash,
    withdrawal_digest,
)
from zerostate.units import Minor

ANVIL_KEY = EthKey(
    bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
)
"""Anvil's first account, known to everybody."""

FUNDS = Minor(10**18)
WINDOW_S = 10
PAYEE_PEER = PeerId("payee")


@dataclass
class Channel:
    """One channel of the benchmark, and how its parties sign."""

    terms: ChannelTerms
    keys: tuple[EthKey, EthKey]

    def state(self, nonce: int, net: int) -> CosignedState:
        update = ChannelUpdate(nonce, Minor(net))
        first, second = self.signed(state_digest(self.terms, update))
        return CosignedState(nonce, Minor(net), payment_hash(update), first, second)

    def final(self, nonce: int, net: int) -> tuple[FinalState, dict[str, bytes]]:
        final = FinalState(nonce, Minor(net))
        return final, self.named(close_digest(*self.domain(), final))

    def part(self, nonce: int, paid: int) -> tuple[Withdrawal, dict[str, bytes]]:
        part = Withdrawal(nonce, Minor(paid), Minor(0), Minor(paid))
        return part, self.named(withdrawal_digest(*self.domain(), part))

    def domain(self):
        return self.terms.chain_id, self.terms.contract, self.terms.channel_id

    def signed(self, digest: bytes) -> tuple[bytes, bytes]:
        first, second = (key.sign(digest).signature for key in self.keys)
        return first, second

    def named(self, digest: bytes) -> dict[str, bytes]:
        first, second = self.signed(digest)
        return {"payer_signature": first, "payee_signature": second}


async def measured(name: str, chain: Chain, sending: Awaitable[TxHash]):
    """Print gas and time of one transaction; return its receipt."""
    start = time.perf_counter()
    receipt = await chain.confirm(await sending)
    took_ms = (time.perf_counter() - start) * 1e3
    print(f"{name:44s} {receipt.gas_used:10,d} {took_ms:9.0f} ms")
    return receipt


async def run(url: str, rich: EthKey, folder: Path) -> None:
    """Print the table."""
    keys = [EthKey(secrets.token_bytes(32)) for _ in range(3)]
    async with AsyncExitStack() as stack:
        start = time.perf_counter()
        chains = [
            await stack.enter_async_context(opened(url, folder / str(n), key))
            for n, key in enumerate([rich, *keys])
        ]
        took_ms = (time.perf_counter() - start) * 1e3
        print(f"load web3 and open four chains: {took_ms:.0f} ms")
        bank, payer, payee, tower = chains
        for key in keys:
            await bank.confirm(await bank.transfer(key.address, FUNDS))
        print(f"contract: {len(channel_contract().runtime_bytecode):,} bytes of code\n")
        print(f"{'operation':44s} {'gas':>10s} {'confirmed':>12s}")
        deployed = await measured("deploy", tower, tower.deploy())
        for chain in (payer, payee, tower):
            await chain.use_contract(deployed.contract)
        await operations(payer, payee, tower, (keys[0], keys[1]))


async def operations(
    payer: Chain, payee: Chain, tower: Chain, keys: tuple[EthKey, EthKey]
) -> None:
    """Print the rows of a channel's life, one channel a way to end it."""
    channel = await opened_channel(payer, payee, keys, "open")
    cid = channel.terms.channel_id
    await measured("deposit", payee, payee.deposit(cid, Minor(100), total=Minor(100)))
    part, names = channel.part(5, 200)
    await measured("withdraw a part", tower, tower.withdraw(cid, part, **names))
    await measured(
        "start to close, by a signed state",
        payer,
        payer.start_close(cid, channel.state(6, 210)),
    )
    await measured("challenge", tower, tower.challenge(cid, channel.state(9, 400)))
    tx_hash = await settled(tower, channel)
    print(f"{'settle':44s} {(await tower.confirm(tx_hash)).gas_used:10,d}")
    await measured("claim", payee, payee.claim())

    channel = await opened_channel(payer, payee, keys, "open another")
    cid = channel.terms.channel_id
    final, names = channel.final(3, 300)
    await measured("close together", payee, payee.close(cid, final, **names))

    channel = await opened_channel(payer, payee, keys, "open a third")
    cid = channel.terms.channel_id
    await measured(
        "start to close, never paid",
        payer,
        payer.start_close(cid, CosignedState.known(0)),
    )


async def settled(chain: Chain, channel: Channel) -> TxHash:
    """Settle as soon as the window is over."""
    cid = channel.terms.channel_id
    deadline_s = (await chain.channel(cid)).deadline_s
    await trio.sleep(max(0, deadline_s - time.time()))
    while True:
        try:
            return await chain.settle(cid)
        except TransactionRevertedError as exc:
            if exc.reason != "window open":
                raise
            # A node that adds blocks for transactions only has not seen the time pass.
            await chain.confirm(await chain.transfer(chain.address, Minor(0)))


async def opened_channel(
    payer: Chain, payee: Chain, keys: tuple[EthKey, EthKey], name: str
) -> Channel:
    terms = ChannelTerms(
        chain_id=payer.chain_id,
        contract=payer.contract,
        payer=PeerId("payer"),
        payer_address=payer.address,
        payer_binding=b"",
        payee=PAYEE_PEER,
        deposit=Minor(1000),
        salt=secrets.token_bytes(32),
    )
    sending = payer.open_channel(
        terms.channel_id,
        payee=payee.address,
        payee_peer_hash=peer_hash(PAYEE_PEER),
        deposit=terms.deposit,
        salt=terms.salt,
        window_s=WINDOW_S,
    )
    await measured(name, payer, sending)
    return Channel(terms, keys)


@asynccontextmanager
async def opened(url: str, folder: Path, key: EthKey) -> AsyncIterator[Chain]:
    await trio.Path(folder).mkdir()
    config = ChainConfig(data_dir=folder, url=url, confirmations=1, poll_s=0.01)
    async with open_chain(config, key) as chain:
        yield chain


def main() -> None:
    """Run on the embedded chain, or on the node at ``--url``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    url = parser.parse_args().url
    with tempfile.TemporaryDirectory(prefix=".bench-chain-", dir=".") as name:
        folder = Path(name)
        if url is not None:
            trio.run(run, url, ANVIL_KEY, folder)
            return
        rich = EthKey.generate()
        genesis = folder / "genesis.json"
        genesis.write_text(json.dumps({"balances": {rich.address: str(10**20)}}))
        start = time.perf_counter()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "zerostate.payment.devchain"),
                *("--db", folder / "chain.db", "--genesis", genesis),
            ],
            stdout=subprocess.PIPE,
        )
        try:
            ready = json.loads(process.stdout.readline())
            took_ms = (time.perf_counter() - start) * 1e3
            print(f"start the embedded chain's process: {took_ms:.0f} ms")
            trio.run(run, ready["url"], rich, folder)
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    main()
