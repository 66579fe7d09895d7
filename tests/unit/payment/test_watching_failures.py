"""What becomes of a close by an old state when something fails just then."""

import pytest
import trio
import trio.testing

from chain_parties import MemoryWorld
from zerostate.errors import ChainUnreachableError, ReorganisedError
from zerostate.payment.contract import CosignedState
from zerostate.payment.locks import MAX_WAITING


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


async def close_by_an_old_state(pair, channel_id):
    await pair.chains["payer"].start_close(channel_id, CosignedState.known(0))


def fail_once_after_events(chain, error: BaseException, call: str = "channel"):
    """Let the first `call` after a page of events was read fail."""
    seen = {"events": False, "failed": False}

    def before(name: str) -> None:
        if name == "events":
            seen["events"] = True
        elif name == call and seen["events"] and not seen["failed"]:
            seen["failed"] = True
            raise error

    chain.before = before
    return seen


async def test_a_node_that_fails_while_a_close_is_looked_at_is_asked_again(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        await close_by_an_old_state(pair, channel_id)
        seen = fail_once_after_events(
            pair.chains["payee"], ChainUnreachableError("away for a moment")
        )
        async with pair.watching("payee"):
            await pair.eventually(lambda: seen["failed"])
            await pair.eventually(lambda: world.on_chain(channel_id).nonce == 1)
        assert pair.payee.failures["chain_unreachable"] >= 1


async def test_a_close_that_was_told_before_a_crash_is_answered_after_it(world):
    class Crash(BaseException):
        """The process is gone."""

    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        await close_by_an_old_state(pair, channel_id)
        fail_once_after_events(pair.chains["payee"], Crash())
        with pytest.raises(BaseExceptionGroup):
            await pair.payee.watch()
    async with world.started() as pair, pair.watching("payee"):
        await pair.eventually(lambda: world.on_chain(channel_id).nonce == 1)


async def test_a_close_is_answered_however_many_wait_for_the_channel(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        locks = pair.payee._ledger.locks

        async def wait() -> None:
            async with locks.hold(channel_id):
                pass

        async with trio.open_nursery() as nursery:
            async with locks.hold(channel_id):
                for _ in range(MAX_WAITING):
                    nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                assert len(locks._held[channel_id]) == MAX_WAITING
                await close_by_an_old_state(pair, channel_id)
                nursery.start_soon(pair.payee.watch)
                await pair.eventually(lambda: pair.payee._watching._hearing)
            await pair.eventually(lambda: world.on_chain(channel_id).nonce == 1)
            nursery.cancel_scope.cancel()


async def test_a_channel_that_is_busy_holds_up_no_other(world):
    async with world.started() as pair:
        busy, other = await pair.open(1000), await pair.open(2000)
        for channel_id in (busy, other):
            await pair.pay(channel_id, 250)
        # As an operation that waits for the chain or the other end, for minutes.
        async with pair.payee._ledger.locks.hold(busy):
            await close_by_an_old_state(pair, busy)
            await close_by_an_old_state(pair, other)
            async with pair.watching("payee"):
                await pair.eventually(lambda: world.on_chain(other).nonce == 1)
        assert world.on_chain(busy).nonce == 0
        async with pair.watching("payee"):
            await pair.eventually(lambda: world.on_chain(busy).nonce == 1)


async def test_a_node_with_two_minds_does_not_hold_us_for_ever(world):
    async with world.started() as pair:
        await pair.open(1000)

        def before(name: str) -> None:
            if name == "events":
                raise ReorganisedError("block 1 is not what it was")

        pair.chains["payee"].before = before
        async with pair.watching("payee"):
            await pair.eventually(lambda: pair.payee.failures["reorganised"] >= 2)
