"""A watchtower in a process of its own, on the embedded chain in another."""

import json
import sys
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
import trio

from chain_world import config
from devchain_process import devchain, write_genesis
from node_processes import COMMAND, ready_line, running
from tower_parties import Signers
from zerostate.evidence.channel import decode_state
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.chains import open_chain
from zerostate.payment.config import KEY_FILE
from zerostate.payment.contract import CosignedState, peer_hash
from zerostate.payment.keys import load_or_create_key
from zerostate.units import Minor

FUNDS = 10**18
DEPOSIT = 1000
WINDOW_S = 60
TIMEOUT_S = 60

OWNER = """
import sys, trio
from zerostate.ids import ChannelId
from zerostate.payment.watchtower.client import WatchtowerClient

async def main(url, channel_id, *states):
    client = WatchtowerClient([url])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        for state in states:
            client.hand_on(ChannelId(channel_id), bytes.fromhex(state))
        while not client.counts[0].handed:
            await trio.sleep(0.01)
        print("handed on", flush=True)
        await trio.sleep_forever()

trio.run(main, *sys.argv[1:])
"""
"""A peer that hands its states on and goes on living, until it is killed."""


class World:
    """A chain with a channel between two parties; one of them means ill."""

    def __init__(self, client, payer, payee, signers, folder):
        self.client = client
        self.payer = payer
        self.payee = payee
        self.signers = signers
        self.folder = folder
        self.terms = signers.terms(DEPOSIT)

    async def open(self):
        await self.payer.confirm(
            await self.payer.open_channel(
                self.terms.channel_id,
                payee=self.payee.address,
                payee_peer_hash=peer_hash(self.terms.payee),
                deposit=Minor(DEPOSIT),
                salt=self.terms.salt,
                window_s=WINDOW_S,
            )
        )

    async def close_by(self, state):
        """Let the payer close by an old state."""
        cosigned = CosignedState.of(decode_state(state))
        await self.payer.confirm(
            await self.payer.start_close(self.terms.channel_id, cosigned)
        )

    async def nonce_becomes(self, nonce):
        with trio.fail_after(TIMEOUT_S):
            while (await self.on_chain()).nonce != nonce:  # noqa: ASYNC110  # the chain has no event
                await trio.sleep(0.05)

    def on_chain(self):
        return self.payer.channel(self.terms.channel_id)

    async def settle(self):
        """Let the window pass, settle; return what the payee can claim."""
        self.client.ask("evm_increaseTime", WINDOW_S + 1)
        self.client.ask("evm_mine")
        await self.payer.confirm(await self.payer.settle(self.terms.channel_id))
        assert (await self.on_chain()).status is ChannelStatus.SETTLED
        return await self.payee.claimable(self.payee.address)

    def challenges_sent(self):
        """Return how many transactions the tower's account has sent."""
        return self.client.number("eth_getTransactionCount", self.tower, "pending")

    @contextmanager
    def running_tower(self, **settings):
        path = self.folder / "tower.json"
        content = {
            "data_dir": str(self.folder / "tower"),
            "chain": {
                "url": self.url,
                "contract": self.payer.contract,
                "confirmations": 1,
                "poll_s": 0.05,
            },
            "listen": "127.0.0.1:0",
            "poll_s": 0.05,
            "tracing": False,
        }
        path.write_text(json.dumps(content | settings))
        command = (*COMMAND, "watchtower", "run", "--config", str(path), "--json")
        with running(*command) as process:
            ready = ready_line(process)
            assert (ready["event"], ready["address"]) == ("ready", self.tower)
            yield process, ready


@asynccontextmanager
async def opened_world(folder):
    payer, payee = EthKey.generate(), EthKey.generate()
    (folder / "tower").mkdir(mode=0o700)
    tower = load_or_create_key(folder / "tower" / KEY_FILE).address
    genesis = write_genesis(
        folder / "genesis.json",
        dict.fromkeys((payer.address, payee.address, tower), FUNDS),
    )
    with devchain(folder / "chain.db", genesis) as (_, client):
        url = f"http://127.0.0.1:{client._connection.port}"
        async with (
            open_chain(config(url, folder / "payer"), payer) as payers,
            open_chain(config(url, folder / "payee"), payee) as payees,
        ):
            receipt = await payers.confirm(await payers.deploy())
            for chain in (payers, payees):
                await chain.use_contract(receipt.contract)
            signers = Signers(31337, receipt.contract, payer, payee)
            world = World(client, payers, payees, signers, folder)
            world.url, world.tower = url, tower
            await world.open()
            yield world


@contextmanager
def killed_owner(url, terms, *states):
    """Run a peer that hands its states on, and kill it before the block begins."""
    words = [url, terms.channel_id, *(state.hex() for state in states)]
    with running(sys.executable, "-c", OWNER, *words) as owner:
        assert owner.stdout.readline() == "handed on\n"
        owner.kill()
        assert owner.wait(TIMEOUT_S) < 0
        yield


def status(ready):
    """Return what the tower tells of itself."""
    return httpx.get(ready["url"] + "/v1/status", trust_env=False).json()


@pytest.mark.timeout(180)
async def test_while_its_owner_is_dead_a_stale_close_pays_by_the_newest_state(tmp_path):
    async with opened_world(tmp_path) as world:
        old, newest = (world.signers.state(world.terms, n, 100 * n) for n in (1, 7))
        with (
            world.running_tower() as (_, ready),
            killed_owner(ready["url"], world.terms, old, newest),
        ):
            await world.close_by(old)
            await world.nonce_becomes(7)
            told = status(ready)
            claimable = await world.settle()

        assert claimable == 700
        assert world.challenges_sent() == 1
        assert told["kept"] == 1


@pytest.mark.timeout(180)
async def test_a_tower_killed_in_the_window_answers_once_after_its_restart(tmp_path):
    async with opened_world(tmp_path) as world:
        old, newest = (world.signers.state(world.terms, n, 100 * n) for n in (1, 7))
        with (
            world.running_tower() as (process, ready),
            killed_owner(ready["url"], world.terms, newest),
        ):
            process.kill()
            process.wait(TIMEOUT_S)
        await world.close_by(old)
        with world.running_tower() as (process, ready):
            assert ready["channels"] == 1
            await world.nonce_becomes(7)
            process.kill()
            process.wait(TIMEOUT_S)
        # With its answer in a block, and perhaps nothing of that noted.
        with world.running_tower() as (_, ready):
            world.client.ask("evm_mine")
            newest_block = world.client.number("eth_blockNumber")
            with trio.fail_after(TIMEOUT_S):
                while status(ready)["followed_block"] < newest_block:  # noqa: ASYNC110  # another process has no event
                    await trio.sleep(0.05)
            claimable = await world.settle()

        assert claimable == 700
        assert world.challenges_sent() == 1


@pytest.mark.timeout(180)
async def test_garbage_in_numbers_neither_fills_nor_stops_the_tower(tmp_path):
    async with opened_world(tmp_path) as world:
        newest = world.signers.state(world.terms, 7, 700)
        strange = world.signers.state(world.signers.terms(), 3)
        with (
            world.running_tower(max_channels=1) as (_, ready),
            httpx.Client(base_url=ready["url"], trust_env=False) as client,
        ):
            headers = {"Content-Type": "application/octet-stream"}

            def hand_in(body):
                reply = client.post("/v1/states", content=body, headers=headers)
                return reply.status_code

            garbled = [bytes((n % 256,)) * n for n in range(1, 200)]
            assert {hand_in(body) for body in garbled} == {422}
            assert hand_in(bytes(1 << 20)) == 413
            assert {hand_in(strange) for _ in range(20)} == {404}
            assert hand_in(newest) == 200
            assert status(ready)["refused"] == {
                "not_proven": 199,
                "unknown_channel": 20,
            }
            await world.close_by(world.signers.state(world.terms, 1, 100))
            await world.nonce_becomes(7)


def test_a_second_tower_on_the_same_data_is_refused(tmp_path):
    async def run():
        async with opened_world(tmp_path) as world:
            with world.running_tower() as (first, _):
                path = str(tmp_path / "tower.json")
                command = (*COMMAND, "watchtower", "run", "--config", path, "--json")
                with running(*command) as second:
                    failed = ready_line(second)
                    assert failed["error"]["code"] == "store_locked"
                    assert second.wait(TIMEOUT_S) != 0
                first.terminate()
                assert first.wait(TIMEOUT_S) == 0
                assert json.loads(first.stdout.read()) == {"event": "ended"}

    trio.run(run)
