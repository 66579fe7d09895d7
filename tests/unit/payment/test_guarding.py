"""Peers that hand their states to a watchtower, all on a chain in memory."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from chain_parties import FUNDS, WINDOW_S, MemoryWorld
from held_ports import held_ports
from memory_chain import CONTRACT, MemoryChain
from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import EthKey
from zerostate.payment import PaymentConfig, PaymentTracer
from zerostate.payment.contract import CosignedState
from zerostate.payment.watchtower.app import open_tower
from zerostate.payment.watchtower.config import WatchtowerConfig
from zerostate.units import Minor

KEY = EthKey(b"\x41" * 32)


@pytest.fixture
def world(tmp_path):
    world = MemoryWorld(tmp_path)
    world.blocks.fund(KEY.address, FUNDS)
    return world


@pytest.fixture
def port():
    with held_ports(1) as [port]:
        yield port


@asynccontextmanager
async def tower(world, port):
    (world.directory / "tower").mkdir(exist_ok=True)
    config = WatchtowerConfig(
        data_dir=world.directory / "tower",
        chain={"url": "http://127.0.0.1:1", "contract": CONTRACT},
        listen=f"127.0.0.1:{port}",
        poll_s=0.01,
    )
    chain = MemoryChain(world.blocks, KEY.address)
    async with open_tower(config, chain, PaymentTracer()):
        yield


def towers(port):
    return {"watchtowers": (f"http://127.0.0.1:{port}",)}


async def settles_by(world, pair, channel_id, nonce):
    """Let the payer close by state 0 while the payee is away; the tower answers."""
    chain = pair.chains["payer"]
    await chain.start_close(channel_id, CosignedState.known(0, Minor(0)))
    await pair.eventually(lambda: world.on_chain(channel_id).nonce == nonce)
    await world.travel(WINDOW_S + 1)
    await chain.settle(channel_id)


async def test_a_payee_that_is_away_is_paid_by_what_its_tower_holds(world, port):
    async with tower(world, port), world.started(**towers(port)) as pair:
        channel_id = await pair.open(1000)
        for _ in range(3):
            await pair.pay(channel_id, 100)
        (counts,) = pair.payee.handed_in
        async with pair.watching("payee"):
            await pair.eventually(lambda: counts.handed == 1)
            await pair.pay(channel_id, 100)
            await pair.eventually(lambda: counts.handed == 2)
        await settles_by(world, pair, channel_id, 4)

    assert world.claimable("payee") == 400
    assert counts.refused == {}


async def test_payments_go_on_without_the_tower_which_gets_all_of_it_later(world, port):
    async with world.started(**towers(port)) as pair:
        channel_id = await pair.open(1000)
        async with pair.watching("payee"):
            await pair.pay(channel_id, 100)
            (counts,) = pair.payee.handed_in
            await pair.eventually(lambda: counts.failures)
            assert (await pair.pay(channel_id, 100)).nonce == 2
    async with tower(world, port), world.started(**towers(port)) as pair:
        async with pair.watching("payee"):
            (counts,) = pair.payee.handed_in
            await pair.eventually(lambda: counts.handed)
        await settles_by(world, pair, channel_id, 2)

    assert world.claimable("payee") == 200


async def test_what_protects_nobody_is_not_handed_on(world, port):
    async with tower(world, port), world.started(**towers(port)) as pair:
        (counts,) = pair.payee.handed_in
        unpaid, settled = await pair.open(1000), None
        async with pair.watching():
            settled = await pair.open(5000)
            await pair.pay(settled, 100)
            await pair.eventually(lambda: counts.handed == 1)
            await pair.payer.close(settled)
            await pair.until("payee", settled, "settled")
    async with tower(world, port), world.started(**towers(port)) as pair:
        (counts,) = pair.payee.handed_in
        async with pair.watching("payee"):
            await pair.pay(unpaid, 50)
            await pair.eventually(lambda: counts.handed == 1)

        assert (counts.refused, counts.dropped) == ({}, 0)


@pytest.mark.parametrize(
    ("urls", "problem"),
    [
        (["http://tower.example"], "only https"),
        (["http://127.0.0.1:1"] * 2, "named twice"),
        ([f"http://127.0.0.1:{port}" for port in range(1, 10)], "at most 8"),
    ],
)
def test_towers_that_cannot_be_used_are_named(tmp_path, urls, problem):
    with pytest.raises(ConfigError, match=f"payment.watchtowers: .*{problem}"):
        PaymentConfig(data_dir=tmp_path, watchtowers=tuple(urls))


async def test_without_a_tower_nothing_is_handed_on(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        async with pair.watching():
            await pair.pay(channel_id, 100)
            await trio.testing.wait_all_tasks_blocked()

        assert pair.payee.handed_in == ()
