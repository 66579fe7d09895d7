"""Two managers, real stores, a real chain: what each has at the end, to the wei."""

import pytest
import trio

from chain_accounts import Accounts
from chain_parties import WINDOW_S
from zerostate.errors import TransactionRevertedError
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.contract import CosignedState
from zerostate.units import Minor

ETHER = 10**18


@pytest.fixture
async def accounts(backend, tmp_path):
    accounts = Accounts(backend, tmp_path)
    await accounts.prepare()
    return accounts


async def balance(pair, name):
    return await pair.chains[name].balance(pair.chains[name].address)


async def fees(accounts, pair, name):
    """Return what a party's transactions have cost, as the node tells it."""
    cost = 0
    for span in pair.spans.spans:
        if span.name.startswith("payment.chain."):
            receipt = await trio.to_thread.run_sync(
                accounts.backend.rpc,
                "eth_getTransactionReceipt",
                span.attributes["payment.tx_hash"],
            )
            if receipt["from"].lower() == pair.chains[name].address.lower():
                price = int(receipt["effectiveGasPrice"], 16)
                cost += int(receipt["gasUsed"], 16) * price
    return cost


async def test_a_channel_from_opening_to_claim_is_exact_to_the_wei(accounts):
    async with accounts.started() as pair:
        before = {name: await balance(pair, name) for name in pair.chains}
        channel_id = await pair.open(ETHER // 10)
        await pair.pay(channel_id, 12_345)
        async with pair.watching("payee"):
            settlement = await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        assert settlement.cooperative
        assert settlement.claimed == ETHER // 10 - 12_345
        for name, earned in (("payer", -12_345), ("payee", 12_345)):
            change = await balance(pair, name) - before[name]
            assert change + await fees(accounts, pair, name) == earned


async def test_a_stale_close_is_challenged_while_the_window_is_open(accounts):
    async with accounts.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        payer = pair.chains["payer"]
        await payer.confirm(await payer.start_close(channel_id, CosignedState.known(0)))
        receipt = await pair.payee.dispute(channel_id)
        assert receipt.succeeded
        assert (await payer.channel(channel_id)).nonce == 1
        assert await pair.payee.dispute(channel_id) is None
        await accounts.travel(WINDOW_S + 1)
        settlement = await pair.payee.settle(channel_id)
        assert (settlement.net, settlement.claimed) == (250, 250)
        assert not settlement.cooperative


async def test_a_payer_whose_payee_is_gone_gets_the_rest_after_the_window(accounts):
    async with accounts.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
    # The payee never comes back; the payer is started again in the middle.
    async with accounts.started() as pair:
        pair.be_lost()
        assert await pair.payer.close(channel_id) is None
    async with accounts.started() as pair, pair.watching("payer"):
        await accounts.travel(WINDOW_S + 1)
        await pair.until("payer", channel_id, "settled")
        settlement = (await pair.view("payer", channel_id)).settlement
        assert (settlement.net, settlement.claimed) == (250, 750)
        found = await pair.chains["payer"].channel(channel_id)
        assert found.status is ChannelStatus.SETTLED


async def test_after_a_withdrawal_older_states_are_worth_nothing(accounts):
    async with accounts.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        old = (await pair.payer.get(channel_id)).agreed
        await pair.payer.withdraw(channel_id, to_payee=Minor(250))
        payer = pair.chains["payer"]
        with pytest.raises(TransactionRevertedError, match="stale"):
            await payer.start_close(
                channel_id,
                CosignedState(
                    old.update.nonce,
                    old.update.net,
                    bytes(32),
                    old.payer.signature,
                    old.payee.signature,
                ),
            )
        await pair.pay(channel_id, 100)
        async with pair.watching("payee"):
            settlement = await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        assert settlement.net == 350
        assert settlement.claimed == 650
