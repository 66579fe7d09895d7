"""Who holds a key, and who waits for it."""

import pytest
import trio
import trio.testing

from zerostate.errors import PaymentError
from zerostate.payment.locks import MAX_WAITING, KeyedLocks


async def test_a_key_has_one_holder_at_a_time_in_the_order_of_asking():
    locks = KeyedLocks()
    told = []

    async def hold(number):
        async with locks.hold("a"):
            told.append(("in", number))
            await trio.testing.wait_all_tasks_blocked()
            told.append(("out", number))

    async with trio.open_nursery() as nursery:
        async with locks.hold("a"):
            for number in range(5):
                nursery.start_soon(hold, number)
                await trio.testing.wait_all_tasks_blocked()
            async with locks.hold("b"):
                told.append("another key is free")
    assert told == [
        "another key is free",
        *((way, number) for number in range(5) for way in ("in", "out")),
    ]
    assert locks._held == {}, "nothing is kept of what nobody holds"


async def test_who_asks_while_it_is_handed_on_comes_after_those_who_wait():
    locks = KeyedLocks()
    order = []

    async def hold(number):
        async with locks.hold("a"):
            order.append(number)

    async with trio.open_nursery() as nursery:
        async with locks.hold("a"):
            nursery.start_soon(hold, 1)
            await trio.testing.wait_all_tasks_blocked()
        # It is the first one's already, which has not run yet.
        await hold(2)
    assert order == [1, 2]


async def test_who_gives_up_leaves_the_line_and_the_next_gets_the_key():
    locks = KeyedLocks()
    got = []

    async def hold(number, scope):
        with scope:
            async with locks.hold("a"):
                got.append(number)

    scopes = [trio.CancelScope() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        async with locks.hold("a"):
            for number, scope in enumerate(scopes):
                nursery.start_soon(hold, number, scope)
                await trio.testing.wait_all_tasks_blocked()
            scopes[0].cancel()
            await trio.testing.wait_all_tasks_blocked()
        # Handed to the second already: too late to take it away.
        scopes[1].cancel()
    assert got == [1, 2]
    assert locks._held == {}


async def test_a_key_is_free_again_after_a_failure():
    locks = KeyedLocks()
    with pytest.raises(ValueError, match="inside"):
        async with locks.hold("a"):
            raise ValueError("inside")
    async with locks.hold("a"):
        assert set(locks._held) == {"a"}


async def test_no_more_than_so_many_wait_but_for_what_is_urgent():
    locks = KeyedLocks()
    urgent = []

    async def wait(*, is_urgent):
        async with locks.hold("a", urgent=is_urgent):
            urgent.append(is_urgent)

    async with trio.open_nursery() as nursery:
        async with locks.hold("a"):
            for _ in range(MAX_WAITING):
                nursery.start_soon(lambda: wait(is_urgent=False))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(PaymentError, match=f"{MAX_WAITING} operations wait"):
                await wait(is_urgent=False)
            nursery.start_soon(lambda: wait(is_urgent=True))
            await trio.testing.wait_all_tasks_blocked()
    assert urgent == [False] * MAX_WAITING + [True]
