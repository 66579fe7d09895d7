"""Channels in memory: never ahead of the disk, never behind it, never too many."""

import pytest
import trio

from payment_parties import PAYEE, open_pair
from zerostate.errors import ChannelFrozenError, ChannelNotFoundError
from zerostate.payment.ledger import Ledger, restored
from zerostate.payment.store import Role
from zerostate.testing import FakeClock
from zerostate.units import Minor


async def pay(pair, channel_id, price=10):
    task_id, receipt = pair.issue(price)
    return await pair.payer.pay(
        channel_id, Minor(price), task_id=task_id, receipt=receipt
    )


async def on_disk(manager, channel_id):
    row = await manager._ledger.store.channel(channel_id)
    return restored(row)


async def freeze(manager, channel_id):
    def settle(connection):
        connection.execute(
            "INSERT INTO lifecycle (channel_id, phase, window_s, expires_unix_s) "
            "VALUES (?, 'settled', 1, 1)",
            (channel_id,),
        )

    await manager._ledger.store.write(settle)


async def test_a_payment_reads_neither_channel_nor_payment_from_the_disk(tmp_path):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        statements = []
        for manager in (pair.payer, pair.payee):
            connection = manager._ledger.store._connection
            connection.set_trace_callback(statements.append)
        await pay(pair, channel_id)
    read = [line for line in statements if line.startswith("SELECT")]
    assert read == []
    assert sum(line == "COMMIT" for line in statements) == 3


async def test_what_is_in_memory_is_what_is_on_the_disk(tmp_path):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        for _ in range(3):
            await pay(pair, channel_id)
        for manager, role in ((pair.payer, Role.PAYER), (pair.payee, Role.PAYEE)):
            kept = await manager._ledger.load(channel_id, role)
            assert kept == await on_disk(manager, channel_id)
            assert kept.nonce == 3


async def test_a_state_that_could_not_be_saved_is_not_in_memory(tmp_path):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        await pay(pair, channel_id)
        await freeze(pair.payer, channel_id)
        with pytest.raises(ChannelFrozenError):
            await pay(pair, channel_id)
        kept = await pair.payer._ledger.load(channel_id, Role.PAYER)
        assert kept == await on_disk(pair.payer, channel_id)
        assert (kept.nonce, kept.proposed) == (1, None)
        assert pair.network.sent[-1][0] == "payment_update"
        assert len(pair.network.sent) == 2, "the opening and the first payment"


async def test_who_looks_on_while_a_state_is_saved_leaves_no_old_one(tmp_path):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        ledger = pair.payer._ledger
        looked = []

        async def look():
            looked.append((await ledger.load(channel_id, Role.PAYER)).nonce)

        async def look_on():
            ledger.forget(channel_id)
            for _ in range(5):
                nursery.start_soon(look)

        pair.network.before = pair.network.after = look_on
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                await pay(pair, channel_id)
        assert len(looked) == 50
        kept = await ledger.load(channel_id, Role.PAYER)
        assert kept == await on_disk(pair.payer, channel_id)
        assert kept.nonce == 5


async def test_channels_in_memory_are_bounded_and_others_are_read(tmp_path):
    async with open_pair(tmp_path) as pair:
        opened = [
            await pair.payer.open_channel(
                PAYEE.peer_id, Minor(1000 + number), needed=Minor(1000 + number)
            )
            for number in range(4)
        ]
        assert len(set(opened)) == 4
        ledger = Ledger(pair.payer._ledger.store, FakeClock(), max_in_memory=2)
        for channel_id in opened * 2:
            state = await ledger.load(channel_id, Role.PAYER)
            assert state == await on_disk(pair.payer, channel_id)
            assert len(ledger._kept) <= 2


async def test_a_channel_of_another_role_or_peer_is_not_found_in_memory_either(
    tmp_path,
):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        ledger = pair.payer._ledger
        assert await ledger.load(channel_id, Role.PAYER, peer_id=PAYEE.peer_id)
        for role, peer_id in ((Role.PAYEE, None), (Role.PAYER, pair.network.author)):
            with pytest.raises(ChannelNotFoundError):
                await ledger.load(channel_id, role, peer_id=peer_id)
