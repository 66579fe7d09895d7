"""Nonces, fees, lost and stuck transactions, on a node that the test controls."""

import pytest
import trio

from fake_node import BASE_FEE_WEI, GAS, TIP_WEI, FakeNode
from sending_accounts import KEY, account, until
from zerostate.errors import (
    ChainError,
    ChainUnreachableError,
    InsufficientGasError,
    NotConfirmedError,
    TransactionRevertedError,
)
from zerostate.payment.chain.config import JOURNAL_FILE
from zerostate.payment.chain.fees import Fees
from zerostate.payment.chain.journal import Journal
from zerostate.payment.chain.transactions import TxRequest, sign_transaction

OFFER = 2 * BASE_FEE_WEI + TIP_WEI


async def test_each_transaction_gets_the_next_nonce(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ours.submit)

        assert sorted(ours.node.pool) == [0, 1, 2, 3, 4]
        ours.node.mine()
        await ours.submit()
        assert sorted(ours.node.pool) == [5]


async def test_what_is_told_once_is_sent_once_until_it_is_in_a_block(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        first = await ours.submit(once=True)
    async with account(ours.node, tmp_path) as ours:
        ours.node.pool.clear()
        assert await ours.submit(once=True) == first
        assert list(ours.node.pool) == [0]
        assert len(ours.journal.pending()) == 1
        again = await ours.submit()
        assert again != first

        ours.node.mine()
        assert await ours.submit(once=True) not in {first, again}


async def test_of_two_that_tell_the_same_at_once_one_is_sent(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        hashes = []

        async def tell():
            hashes.append(await ours.submit(once=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            nursery.start_soon(tell)

        assert len(set(hashes)) == 1
        assert len(ours.journal.pending()) == 1


async def test_what_it_offers_is_twice_the_base_fee_and_the_tip(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        await ours.submit()

    assert (ours.node.sent[0].max_wei, ours.node.sent[0].tip_wei) == (OFFER, TIP_WEI)


async def test_a_transaction_is_confirmed_when_it_is_deep_enough(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        tx_hash = await ours.submit()
        ours.node.mine(2)
        with pytest.raises(NotConfirmedError, match="not deep enough"):
            await ours.confirm(tx_hash, depth=3, timeout_s=0.05)
        ours.node.mine()

        receipt = await ours.confirm(tx_hash, depth=3)

    assert (receipt.tx_hash, receipt.block.number) == (tx_hash, 1)


async def test_without_an_answer_nothing_is_sent_or_noted(tmp_path):
    async with account(FakeNode(reachable=False), tmp_path) as ours:
        with pytest.raises(ChainUnreachableError):
            await ours.submit()

        assert ours.journal.pending() == ()


async def test_what_the_contract_refuses_is_not_sent(tmp_path):
    node = FakeNode(refuses=TransactionRevertedError("stale"))
    async with account(node, tmp_path) as ours:
        with pytest.raises(TransactionRevertedError, match="stale"):
            await ours.submit()

        assert (ours.journal.pending(), node.sent) == ((), [])


async def test_a_refused_transaction_says_why(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        tx_hash = await ours.submit()
        ours.node.fails = frozenset({tx_hash})
        ours.node.refuses = TransactionRevertedError("window over")
        ours.node.mine()

        with pytest.raises(TransactionRevertedError, match="window over") as caught:
            await ours.confirm(tx_hash)

    assert caught.value.reason == "window over"


async def test_money_for_a_challenge_is_left(tmp_path):
    gas = GAS * 1.25
    node = FakeNode(wei=int(gas * OFFER + 5))
    async with account(node, tmp_path, reserve_gas=1) as ours:
        with pytest.raises(InsufficientGasError, match=f"send it {OFFER}$"):
            await ours.submit()
        assert (ours.journal.pending(), node.sent) == ((), [])

        await ours.submit(may_use_reserve=True)

    assert len(node.sent) == 1


async def test_what_the_node_refuses_for_good_is_forgotten(tmp_path):
    node = FakeNode()
    async with account(node, tmp_path) as ours:
        balance = node.balance

        async def rich(address):
            return 10**30

        node.balance = rich
        node.wei = 1
        with pytest.raises(InsufficientGasError):
            await ours.submit()
        assert ours.journal.pending() == ()
        node.balance, node.wei = balance, 10**18

        await ours.submit()

    assert sorted(node.pool) == [0]


async def test_a_lost_transaction_is_sent_again_after_a_restart(tmp_path):
    node = FakeNode(keeps=False)
    async with account(node, tmp_path) as ours:
        tx_hash = await ours.submit()
    assert node.pool == {}

    node.keeps = True
    async with account(node, tmp_path) as ours:
        assert await ours.sender.recover() == 1
        node.mine()
        assert (await ours.confirm(tx_hash)).tx_hash == tx_hash
        assert await ours.sender.recover() == 0


async def test_after_a_restart_a_new_one_follows_those_that_were_lost(tmp_path):
    node = FakeNode(keeps=False)
    async with account(node, tmp_path) as ours:
        first, second = await ours.submit(), await ours.submit()
    node.keeps = True

    async with account(node, tmp_path) as ours:
        third = await ours.submit()
        node.mine()
        for tx_hash in (first, second, third):
            await ours.confirm(tx_hash)

    assert [tx.nonce for tx in node.blocks[1].transactions] == [0, 1, 2]


async def test_the_node_going_away_while_sending_loses_nothing(tmp_path):
    class Node(FakeNode):
        async def send(self, raw):
            if not self.sent:
                self.sent.append(None)
                raise ChainUnreachableError("gone")
            return await super().send(raw)

    async with account(
        Node(), tmp_path, stuck_after_s=0.02, max_replacements=0
    ) as ours:
        tx_hash = await ours.submit()

        async def act():
            await until(lambda: ours.node.pool)
            ours.node.mine()

        assert (await ours.confirm_while(tx_hash, act)).tx_hash == tx_hash


async def test_a_stuck_transaction_is_replaced_by_one_that_offers_more(tmp_path):
    node = FakeNode(least_fee_wei=OFFER + 1)
    async with account(node, tmp_path, stuck_after_s=0.02) as ours:
        tx_hash = await ours.submit()

        async def act():
            await until(lambda: len(node.sent) > 1)
            node.mine()

        receipt = await ours.confirm_while(tx_hash, act)

        assert receipt.tx_hash != tx_hash
        assert (await ours.confirm(tx_hash)).tx_hash == receipt.tx_hash
        assert ours.journal.pending() == ()
    assert node.sent[1].max_wei >= OFFER * 5 / 4
    assert {tx.nonce for tx in node.sent} == {0}


async def test_fees_rise_so_often_and_no_further(tmp_path):
    node = FakeNode(least_fee_wei=10**9)
    async with account(node, tmp_path, stuck_after_s=0.01, max_replacements=2) as ours:
        tx_hash = await ours.submit()
        with pytest.raises(NotConfirmedError, match="in no block yet"):
            await ours.confirm(tx_hash, timeout_s=0.4)

        assert len({tx.tx_hash for tx in node.sent}) == 3
        # Replacements count across waits.
        with pytest.raises(NotConfirmedError):
            await ours.confirm(tx_hash, timeout_s=0.1)
    assert len({tx.tx_hash for tx in node.sent}) == 3


async def test_another_transaction_in_its_place_is_told(tmp_path):
    node = FakeNode(keeps=False)
    async with account(node, tmp_path) as ours:
        tx_hash = await ours.submit()
        node.keeps = True
        await node.send(foreign_transaction())
        node.mine()

        with pytest.raises(ChainError, match="took its place"):
            await ours.confirm(tx_hash)

        assert ours.journal.pending() == ()
        await ours.submit()
    assert sorted(node.pool) == [1]


async def test_what_was_not_sent_from_here_cannot_be_confirmed(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        with pytest.raises(ChainError, match="not sent from here"):
            await ours.confirm("0x" + "00" * 32)


async def test_waiting_goes_on_while_the_node_is_away(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        tx_hash = await ours.submit()
        ours.node.mine()
        ours.node.reachable = False
        with pytest.raises(NotConfirmedError, match="took the node away"):
            await ours.confirm(tx_hash, timeout_s=0.05)

        async def act():
            ours.node.reachable = True

        assert (await ours.confirm_while(tx_hash, act)).tx_hash == tx_hash


async def test_a_chain_begun_anew_under_the_same_id_begins_anew_here(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        await ours.submit()
    other = Journal.open(tmp_path / JOURNAL_FILE, chain="31337:x", sender=KEY.address)

    assert (other.pending(), other.next_nonce()) == ((), 0)

    other.close()


def foreign_transaction():
    """Return a transaction of our key that was made elsewhere."""
    raw, _ = sign_transaction(
        KEY,
        TxRequest(KEY.address),
        chain_id=31337,
        nonce=0,
        gas=21_000,
        fees=Fees(OFFER, TIP_WEI),
    )
    return raw
