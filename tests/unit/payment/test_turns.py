"""Turns: what is ready together does not all run before the rest of the program."""

import pytest
import trio
import trio.testing

from zerostate.payment.turns import Turns


async def taken_by(turns: Turns, count: int, seen: list[int]) -> None:
    """Let `count` tasks take a turn at once; note how many did between two passes."""
    done = 0

    async def take() -> None:
        nonlocal done
        await turns.take()
        done += 1

    async def look() -> None:
        before = done
        while done < count:
            await trio.lowlevel.checkpoint()
            seen.append(done - before)
            before = done

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        for _ in range(count):
            nursery.start_soon(take)


async def test_a_few_work_at_a_time_and_others_in_between(autojump_clock):
    seen: list[int] = []
    await taken_by(Turns(max_in_row=4), 30, seen)
    assert sum(seen) == 30
    # The order within a pass is random, so two rows can come between two looks.
    assert max(seen) <= 8
    assert len([took for took in seen if took]) >= 4


async def test_turns_come_in_the_order_of_asking(autojump_clock):
    turns, order = Turns(max_in_row=1), []

    async def take(number: int) -> None:
        await turns.take()
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(take, number)
            await trio.lowlevel.cancel_shielded_checkpoint()
    assert order == list(range(6))


@pytest.mark.parametrize("cancelled", range(7))
async def test_whoever_gives_up_keeps_nobody_waiting(autojump_clock, cancelled):
    turns, done = Turns(max_in_row=2), set()

    async def take(number: int, scope: trio.CancelScope) -> None:
        with scope:
            await turns.take()
            done.add(number)

    scopes = [trio.CancelScope() for _ in range(7)]
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            for number, scope in enumerate(scopes):
                nursery.start_soon(take, number, scope)
            scopes[cancelled].cancel()
        assert done == set(range(7)) - {cancelled}
        await turns.take()


async def test_turns_can_be_taken_again_after_everybody_has(autojump_clock):
    turns = Turns(max_in_row=2)
    for _ in range(3):
        with trio.fail_after(1):
            await taken_by(turns, 5, [])
            await turns.take()
