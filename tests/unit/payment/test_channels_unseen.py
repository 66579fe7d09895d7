"""What a payee does not do while it sees nothing, and what strangers cannot make it do."""

from dataclasses import replace

import pytest
import trio

from chain_parties import WINDOW_S, MemoryWorld, keys_in
from payment_parties import PAYER
from zerostate.errors import (
    ChainUnreachableError,
    ChannelFrozenError,
    ChannelNotFundedError,
    NotConfirmedError,
    RemoteError,
    WireError,
)
from zerostate.payment import wire
from zerostate.payment.config import MIN_TTL_S
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    Withdrawal,
    close_digest,
    withdrawal_digest,
)
from zerostate.payment.lifecycle import SignedFinal, SignedWithdrawal
from zerostate.payment.watching import MAX_TENDED
from zerostate.units import Minor


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


async def test_a_payee_that_sees_no_chain_takes_no_payment(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        async with pair.watching("payee"):
            follower = pair.payee._funding._follower
            await pair.eventually(lambda: follower.looked_ns is not None)
        pair.chains["payee"].is_reachable = False
        await pair.pay(channel_id, 10)
        # Long enough for a close by an old state that nobody here has seen.
        pair.clock.advance(WINDOW_S)
        with pytest.raises(RemoteError, match=ChainUnreachableError.code):
            await pair.pay(channel_id, 10)
        pair.chains["payee"].is_reachable = True
        await pair.pay(channel_id, 10)


async def test_a_payee_that_looked_at_nothing_takes_no_payment_on_a_closed_channel(
    world,
):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 10)
        await pair.chains["payer"].start_close(channel_id, CosignedState.known(0))
        await pair.travel(WINDOW_S)
        with pytest.raises(RemoteError, match=ChannelFrozenError.code):
            await pair.pay(channel_id, 10)


async def test_a_stranger_cannot_leave_channels_that_were_never_funded(world):
    async with world.started() as pair:
        world.blocks.is_mining = False
        with pytest.raises(NotConfirmedError):
            await pair.open(1000)
        (view,) = await pair.payee.views()
        terms = (await pair.payee.get(view.channel_id)).terms
        end = FinalState(1, Minor(0))
        digest = close_digest(terms.chain_id, terms.contract, terms.channel_id, end)
        key = keys_in(world.directory)["payer"]
        signed = SignedFinal(end, key.sign(digest).signature)
        with pytest.raises(ChannelNotFundedError):
            await pair.payee.on_channel_close(
                PAYER.peer_id, wire.encode_channel_close(terms.channel_id, signed)
            )
        async with pair.watching("payee"):
            pair.clock.advance(3601)
            await pair.until("payee", view.channel_id, "settled")


async def test_channels_with_which_nothing_can_be_done_hold_up_no_other(world):
    async with world.started(max_channels_per_peer=2 * MAX_TENDED) as pair:
        stuck = [await pair.open(1000 + each) for each in range(MAX_TENDED)]
        pair.clock.advance(1)
        late = await pair.open(2000)
        for channel_id in (*stuck, late):
            await pair.chains["payer"].start_close(channel_id, CosignedState.known(0))
        # The window of one is over, those of the others are not.
        for channel_id in stuck:
            found = world.blocks.state.channels[channel_id]
            world.blocks.state.channels[channel_id] = replace(
                found, deadline_s=found.deadline_s + 10 * WINDOW_S
            )
        async with pair.watching("payee"):
            await pair.until("payee", stuck[0], "disputed")
            await pair.until("payee", late, "disputed")
            await pair.travel(WINDOW_S + 1)
            await pair.until("payee", late, "settled")


async def test_a_number_that_fits_nowhere_is_refused(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        terms = (await pair.payee.get(channel_id)).terms
        key = keys_in(world.directory)["payer"]
        part = Withdrawal(2**64 - 1, Minor(250), Minor(0), Minor(250))
        digest = withdrawal_digest(
            terms.chain_id, terms.contract, terms.channel_id, part
        )
        signed = SignedWithdrawal(part, key.sign(digest).signature)
        with pytest.raises(WireError, match="18446744073709551615"):
            await pair.payee.on_channel_withdraw(
                PAYER.peer_id, wire.encode_channel_withdraw(channel_id, signed)
            )
        end = FinalState(2**64 - 1, Minor(250))
        digest = close_digest(terms.chain_id, terms.contract, terms.channel_id, end)
        final = SignedFinal(end, key.sign(digest).signature)
        with pytest.raises(WireError, match="18446744073709551615"):
            await pair.payee.on_channel_close(
                PAYER.peer_id, wire.encode_channel_close(channel_id, final)
            )


async def test_what_a_channel_owes_is_withdrawn_once_at_a_time(world):
    async with world.started(max_exposure=Minor(1000)) as pair:
        channel_id = await pair.open(2000)
        await pair.pay(channel_id, 600)
        asked = pair.back.sent
        # The payer takes the wish, and does not come to it.
        pair.chains["payer"].is_reachable = False
        async with pair.watching():
            await pair.eventually(lambda: len(asked) == 1)
            for _ in range(3):
                await pair.pay(channel_id, 10)
                await trio.sleep(0.05)
        assert len(asked) == 1


async def test_the_shortest_life_of_a_channel_leaves_time_to_propose_it(world):
    async with world.started(ttl_s=MIN_TTL_S) as pair:

        async def take_a_second() -> None:
            pair.clock.advance(1)

        pair.there.before = take_a_second
        assert (await pair.view("payee", await pair.open(1000))).phase == "open"
