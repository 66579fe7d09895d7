"""A crash of one party between any two steps: what both signed is what is paid."""

from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import trio

from chain_parties import WINDOW_S, MemoryWorld
from zerostate.errors import PeerUnreachableError, ZeroStateError
from zerostate.units import Minor

POINTS = range(1, 60, 2)


class CrashError(Exception):
    """The process is gone at this very moment."""


@dataclass
class Fuse:
    """Burns at the `left`-th step, and then nothing happens in its scope any more."""

    left: int
    burnt: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def step(self, _name: str = "") -> None:
        self.left -= 1
        if self.left <= 0:
            self.burnt = True
            self.scope.cancel()
            raise CrashError


def lay(pair, name: str, fuse: Fuse) -> None:
    """Put the fuse at each call of a party to the chain, before and after it."""
    chain = pair.chains[name]
    chain.before = chain.after = fuse.step

    async def step() -> None:
        fuse.step()

    # What the payer sends, it sends; what the payee sees and answers, it does.
    pair.there.before = pair.there.after = step


async def let_recover(world: MemoryWorld, channel_id) -> None:
    """Start both again, and let them look after the channel until it is settled."""
    async with world.started() as pair, pair.watching():
        if (await pair.view("payer", channel_id)).phase == "open":
            # The crash came before the payer had begun; who wanted that asks again.
            await pair.payer.close(channel_id)
        with trio.fail_after(20):
            while True:
                views = [await pair.view(name, channel_id) for name in pair.chains]
                if all(view.phase == "settled" for view in views):
                    return
                await trio.sleep(0.01)
                if world.on_chain(channel_id).deadline_s > world.blocks.time_s:
                    await world.travel(WINDOW_S + 1)


@pytest.mark.parametrize("name", ["payer", "payee"])
async def test_a_crash_at_any_step_of_closing_together_loses_nothing(tmp_path, name):
    survived = 0
    for point in POINTS:
        world = MemoryWorld(tmp_path / f"{name}-{point}")
        fuse = Fuse(point)
        with suppress(CrashError, ExceptionGroup), fuse.scope:
            async with world.started() as pair:
                channel_id = await pair.open(1000)
                await pair.pay(channel_id, 250)
                lay(pair, name, fuse)
                async with pair.watching("payee"):
                    await pair.payer.close(channel_id)
                    await pair.until("payee", channel_id, "settled")
        await let_recover(world, channel_id)
        assert (world.wallet("payer"), world.wallet("payee")) == (-250, 250), point
        survived += fuse.burnt
        if not fuse.burnt:
            break
    assert survived > 3


async def test_a_crash_at_any_step_of_opening_is_gone_on_with(tmp_path):
    survived = 0
    for point in POINTS:
        world = MemoryWorld(tmp_path / str(point))
        fuse = Fuse(point)
        with suppress(CrashError, ExceptionGroup), fuse.scope:
            async with world.started() as pair:
                lay(pair, "payer", fuse)
                await pair.open(1000)
        async with world.started() as pair:
            channel_id = await pair.open(1000)
            await pair.pay(channel_id, 250)
            assert len(await pair.payer.views()) == 1
        assert world.blocks.state.wallets[world.address("payer")] == 10**18 - 1000
        survived += fuse.burnt
        if not fuse.burnt:
            break
    assert survived > 3


async def test_a_crash_at_any_step_of_a_withdrawal_pays_it_out_once(tmp_path):
    survived = 0
    for point in POINTS:
        world = MemoryWorld(tmp_path / str(point))
        fuse = Fuse(point)
        with suppress(CrashError, ExceptionGroup), fuse.scope:
            async with world.started() as pair:
                channel_id = await pair.open(1000)
                await pair.pay(channel_id, 300)
                lay(pair, "payer", fuse)
                await pair.payer.withdraw(channel_id, to_payee=Minor(300))
        async with world.started() as pair, pair.watching():
            with trio.fail_after(20):
                while True:
                    with suppress(ZeroStateError):
                        await pair.pay(channel_id, 100)
                        break
                    await trio.sleep(0.01)
            await pair.payer.close(channel_id)
            await pair.until("payee", channel_id, "settled")
        assert (world.wallet("payer"), world.wallet("payee")) == (-400, 400), point
        survived += fuse.burnt
        if not fuse.burnt:
            break
    assert survived > 3


async def test_a_payee_that_signed_the_end_settles_without_the_payer(tmp_path):
    world = MemoryWorld(tmp_path)
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        # The payer's process ends when it is about to send the transaction.
        pair.chains["payer"].before = Fuse(1).step
        with suppress(CrashError, ExceptionGroup):
            await pair.payer.close(channel_id)
        async with pair.watching("payee"):
            await world.travel(120)
            await pair.until("payee", channel_id, "settled")
    assert world.wallet("payee") == 250


async def test_a_lost_answer_to_the_end_is_asked_for_again(tmp_path):
    world = MemoryWorld(tmp_path)
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)

        async def lose() -> None:
            pair.be_found()
            raise PeerUnreachableError("gone")

        pair.there.after = lose
        # It closes alone then; what the payee has signed is as good.
        assert await pair.payer.close(channel_id) is None
        async with pair.watching("payee"):
            await world.travel(120)
            await pair.until("payee", channel_id, "settled")
        settlement = await pair.payer.close(channel_id)
    assert (settlement.net, world.wallet("payer")) == (250, -250)
