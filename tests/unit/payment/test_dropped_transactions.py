"""What a reorganisation dropped, and the gaps that it leaves among the nonces."""

import pytest

from fake_node import FakeNode
from sending_accounts import OTHER, account, until
from zerostate.errors import ReorganisedError


async def test_a_dropped_block_is_noticed_and_the_transaction_sent_again(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        tx_hash = await ours.submit()
        ours.node.mine()

        async def act():
            await until(lambda: ours.node.shown)
            ours.node.drop()
            await until(lambda: ours.node.pool)
            ours.node.mine(3)

        receipt = await ours.confirm_while(tx_hash, act, depth=3)

    assert receipt.tx_hash == tx_hash
    assert ours.confirmer.reorganisations == 1


async def test_a_confirmed_transaction_that_vanishes_is_reported_and_sent(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        kept, gone = await ours.submit(), await ours.submit()
        ours.node.mine()
        await ours.confirm(kept)
        await ours.confirm(gone)
        assert await ours.confirmer.vanished() == ()
        ours.node.drop()

        assert await ours.confirmer.vanished() == (kept, gone)

        assert ours.confirmer.reorganisations == 2
        assert sorted(ours.node.pool) == [0, 1]
        ours.node.mine()
        await ours.confirm(gone)


async def test_what_was_confirmed_and_dropped_is_sent_before_a_new_one(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        first = await ours.submit_confirmed()
        ours.node.drop()

        second = await ours.submit(OTHER)

        assert sorted(ours.node.pool) == [0, 1]
        ours.node.mine()
        assert (await ours.confirm(first)).tx_hash == first
        assert (await ours.confirm(second)).tx_hash == second


async def test_what_is_told_once_is_sent_once_though_it_was_dropped(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        first = await ours.submit_confirmed()
        ours.node.drop()

        assert await ours.submit(once=True) == first

        assert list(ours.node.pool) == [0]

        async def act():
            ours.node.mine()

        # It counts as confirmed no more: to wait for it is no error.
        assert (await ours.confirm_while(first, act)).tx_hash == first
        # And whoever looks for what is gone is told all the same, once.
        assert await ours.confirmer.vanished() == (first,)
        assert await ours.confirmer.vanished() == ()
    assert ours.confirmer.reorganisations == 1
    assert {tx.tx_hash for tx in ours.node.sent} == {first}


@pytest.mark.parametrize("notes", ["both confirmed", "the second pending", "neither"])
async def test_of_two_of_the_same_that_were_dropped_the_first_is_waited_for(
    tmp_path, notes
):
    async with account(FakeNode(), tmp_path) as ours:
        first, second = await ours.submit(), await ours.submit()
        ours.node.mine()
        if notes != "neither":
            await ours.confirm(first)
        if notes == "both confirmed":
            await ours.confirm(second)
        ours.node.drop()

        assert await ours.submit(once=True) == first

        assert sorted(ours.node.pool) == [0, 1]
        assert [tx.tx_hash for tx in ours.journal.pending()] == [first, second]


async def test_what_is_in_a_block_that_just_came_was_not_dropped(tmp_path):
    class Node(FakeNode):
        """One whose count of nonces is a block behind."""

        async def nonce(self, address, *, pending):
            return max(0, await super().nonce(address, pending=pending) - 1)

    async with account(Node(), tmp_path) as ours:
        await ours.submit_confirmed()

        await ours.submit(OTHER)

        assert len(ours.journal.pending()) == 1
    assert ours.confirmer.reorganisations == 0


async def test_a_node_that_counts_what_is_behind_a_gap_gets_what_is_missing(tmp_path):
    class Node(FakeNode):
        """Counts as anvil does."""

        async def nonce(self, address, *, pending):
            used = await super().nonce(address, pending=False)
            return max(used, *(n + 1 for n in self.pool), 0) if pending else used

    async with account(Node(), tmp_path) as ours:
        await ours.submit_confirmed()
        await ours.submit(OTHER)
        ours.node.drop()
        assert sorted(ours.node.pool) == [1]

        second, sent = ours.node.pool[1].tx_hash, len(ours.node.sent)

        await ours.submit(OTHER)

        assert sorted(ours.node.pool) == [0, 1, 2]
        # It may throw out what is behind the gap: that is sent again too.
        assert second in {tx.tx_hash for tx in ours.node.sent[sent:]}


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_gap_is_filled_before_a_fee_is_raised(tmp_path, confirmed):
    node = FakeNode()
    async with account(node, tmp_path, stuck_after_s=0.02) as ours:
        if confirmed:
            first = await ours.submit_confirmed()
            second = await ours.submit(OTHER)
            node.drop()
        else:
            first, second = await ours.submit(), await ours.submit(OTHER)
            del node.pool[0]
        assert sorted(node.pool) == [1]

        async def act():
            await until(lambda: len(node.pool) > 1)
            node.mine()

        assert (await ours.confirm_while(second, act)).tx_hash == second

    assert {tx.tx_hash for tx in node.sent} == {first, second}


async def test_a_dropped_block_is_sent_again_from_its_first_transaction(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        await ours.submit_confirmed()
        second = await ours.submit(OTHER)
        ours.node.mine()

        async def act():
            await until(lambda: ours.node.shown > 1)
            ours.node.drop(2)
            await until(lambda: ours.node.pool)
            await until(lambda: 1 in ours.node.pool)
            ours.node.mine(3)

        assert (await ours.confirm_while(second, act, depth=3)).tx_hash == second


async def test_what_nobody_waits_for_is_sent_as_often_as_it_is_dropped(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        gone = await ours.submit_confirmed()
        for _ in range(3):
            ours.node.drop()
            assert await ours.confirmer.vanished() == (gone,)
            assert list(ours.node.pool) == [0]
            ours.node.mine()
            assert await ours.confirmer.vanished() == ()


async def test_what_nobody_waits_for_is_handed_in_when_the_node_lost_it(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        await ours.submit()
        await ours.submit(OTHER)
        del ours.node.pool[0]

        assert await ours.confirmer.vanished() == ()

        assert sorted(ours.node.pool) == [0, 1]


async def test_what_nobody_waits_for_is_confirmed_when_it_is_deep_enough(tmp_path):
    async with account(FakeNode(), tmp_path, confirmations=2) as ours:
        await ours.submit()
        ours.node.mine()
        await ours.confirmer.vanished()
        assert len(ours.journal.pending()) == 1
        ours.node.mine()

        await ours.confirmer.vanished()

        assert ours.journal.pending() == ()
        assert [tx.block.number for tx in ours.journal.confirmed_since(0)] == [1]


async def test_what_somebody_waits_for_is_that_ones_to_confirm(tmp_path):
    async with account(FakeNode(), tmp_path, confirmations=1) as ours:
        tx_hash = await ours.submit()
        ours.node.mine()

        async def act():
            await until(lambda: ours.node.shown)
            assert await ours.confirmer.vanished() == ()
            # Noted as confirmed, this would be an error to the one who waits.
            ours.node.drop()
            await until(lambda: ours.node.pool)
            ours.node.mine(3)

        receipt = await ours.confirm_while(tx_hash, act, depth=3)

        assert receipt.tx_hash == tx_hash
        assert ours.journal.pending() == ()


async def test_a_look_asks_for_nothing_more_when_nothing_is_pending(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        await ours.submit_confirmed()
        before = ours.node.asked

        await ours.confirmer.vanished()

        # The head, and where the one that is confirmed is.
        assert ours.node.asked - before == 2


async def test_asking_for_a_confirmation_that_is_gone_is_an_error_once(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        tx_hash = await ours.submit()
        ours.node.mine()
        await ours.confirm(tx_hash)
        ours.node.drop()

        with pytest.raises(ReorganisedError, match="in no block any more"):
            await ours.confirm(tx_hash)

        ours.node.mine()
        assert (await ours.confirm(tx_hash)).tx_hash == tx_hash


async def test_moving_to_another_block_is_no_loss(tmp_path):
    async with account(FakeNode(), tmp_path) as ours:
        tx_hash = await ours.submit()
        ours.node.mine()
        first = await ours.confirm(tx_hash)
        ours.node.drop()
        await ours.node.send(ours.node.sent[0].raw)
        ours.node.mine(2)

        assert await ours.confirmer.vanished() == ()

        again = await ours.confirm(tx_hash)
    assert again.block.hash != first.block.hash
