"""What a chain does that the embedded one cannot: wait with blocks, and drop them."""

import pytest
import trio

from chain_accounts import Accounts
from chain_backends import running_backend
from chain_parties import WINDOW_S
from chain_world import config
from zerostate.errors import ReorganisedError
from zerostate.evidence.ethereum import EthAddress
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.chains import open_chain
from zerostate.payment.contract import CosignedState
from zerostate.units import Minor

NOBODY = EthAddress("0x" + "44" * 20)
PATIENCE_S = 30


@pytest.fixture
def anvil(tmp_path):
    """An anvil of its own: what is dropped from it is nobody else's."""
    with running_backend("anvil", tmp_path) as backend:
        yield backend


@pytest.fixture
async def accounts(anvil, tmp_path):
    accounts = Accounts(anvil, tmp_path)
    await accounts.prepare()
    return accounts


async def rpc(anvil, *words):
    return await trio.to_thread.run_sync(anvil.rpc, *words)


async def drop(anvil, blocks):
    """Put as many empty blocks in the place of the newest `blocks`, for good."""
    await rpc(anvil, "anvil_reorg", blocks, [])


async def until(found, wanted):
    """Wait until what `found` returns is `wanted`; return it."""
    with trio.fail_after(PATIENCE_S):
        while not wanted(now := await found()):  # noqa: ASYNC110  # a chain has no event
            await trio.sleep(0.02)
    return now


def on_chain(pair, channel_id):
    async def found():
        return await pair.chains["payer"].channel(channel_id)

    return found


async def waiting(anvil):
    """Return the one transaction that waits for a block."""
    pool = await rpc(anvil, "txpool_content")
    (of_sender,) = pool["pending"].values()
    (tx,) = of_sender.values()
    return tx


async def test_a_stuck_transaction_is_replaced_by_a_dearer_one(anvil, tmp_path):
    key = await trio.to_thread.run_sync(next, anvil.keys)
    settings = config(anvil.url, tmp_path / "sender", stuck_after_s=0.3)
    async with open_chain(settings, key) as chain:
        await rpc(anvil, "evm_setAutomine", False)
        first = await chain.transfer(NOBODY, Minor(7))
        offered = int((await waiting(anvil))["maxFeePerGas"], 16)
        confirmed = []

        async def confirm():
            confirmed.append(await chain.confirm(first))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(confirm)
            second = await until(lambda: waiting(anvil), lambda tx: tx["hash"] != first)
            await rpc(anvil, "evm_mine")
        (receipt,) = confirmed
        assert receipt.tx_hash != first
        assert int(second["maxFeePerGas"], 16) >= offered * 5 // 4
        assert await chain.balance(NOBODY) == 7


async def test_a_dropped_transfer_is_told_of_and_sent_again(anvil, tmp_path):
    key = await trio.to_thread.run_sync(next, anvil.keys)
    async with open_chain(config(anvil.url, tmp_path / "sender"), key) as chain:
        first = await chain.transfer(NOBODY, Minor(7))
        await chain.confirm(first)
        await drop(anvil, 1)
        assert await chain.balance(NOBODY) == 0
        with pytest.raises(ReorganisedError):
            await chain.confirm(first)
        assert (await chain.confirm(first)).succeeded
        await drop(anvil, 1)
        assert await chain.vanished() == (first,)
        assert (await chain.confirm(first)).succeeded
        assert await chain.vanished() == ()
        assert await chain.balance(NOBODY) == 7


async def test_a_dropped_challenge_is_sent_again_as_often_as_it_is_dropped(accounts):
    async with accounts.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        payer, found = pair.chains["payer"], on_chain(pair, channel_id)
        await payer.confirm(await payer.start_close(channel_id, CosignedState.known(0)))
        for blocks in (1, 2):
            async with pair.watching("payee"):
                await until(found, lambda channel: channel.nonce == 1)
            await drop(accounts.backend, blocks)
            dropped = await found()
            assert (dropped.status, dropped.nonce) == (ChannelStatus.CLOSING, 0)
        async with pair.watching("payee"):
            await until(found, lambda channel: channel.nonce == 1)
            await accounts.travel(WINDOW_S + 1)
            await pair.until("payee", channel_id, "settled")
        settlement = (await pair.view("payee", channel_id)).settlement
        assert (settlement.net, settlement.claimed) == (250, 250)


async def test_a_dropped_deposit_is_sent_again_and_the_channel_goes_on(accounts):
    async with accounts.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        found = on_chain(pair, channel_id)
        await drop(accounts.backend, 1)
        assert (await found()).status is ChannelStatus.UNKNOWN
        async with pair.watching():
            await until(found, lambda channel: channel.deposit_payer == 1000)
            await pair.pay(channel_id, 10)
            settlement = await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        assert (settlement.net, settlement.claimed) == (260, 740)
        theirs = (await pair.view("payee", channel_id)).settlement
        assert (theirs.net, theirs.claimed) == (260, 260)


async def test_a_dropped_settlement_is_sent_again_though_no_channel_is_live(accounts):
    async with accounts.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        found = on_chain(pair, channel_id)
        async with pair.watching():
            await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        # The settlement and what both claimed after it.
        await drop(accounts.backend, 3)
        assert (await found()).status is ChannelStatus.OPEN
        contract = accounts.backend.contract
        assert await pair.chains["payer"].balance(contract) == 1000
        async with pair.watching():
            await until(found, lambda channel: channel.status is ChannelStatus.SETTLED)

            async def locked():
                return await pair.chains["payer"].balance(contract)

            assert await until(locked, lambda wei: wei == 0) == 0
