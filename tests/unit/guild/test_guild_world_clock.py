"""The clock of the guilds' tests, which stores on worker threads read too."""

import trio

from guild_world import TrioClock
from zerostate.units import NS_PER_S


async def test_the_clock_can_be_read_from_a_worker_thread():
    clock = TrioClock()
    clock.advance(3600)
    before_ns = clock.monotonic_ns()
    read_ns = await trio.to_thread.run_sync(clock.monotonic_ns)
    wall_ns = await trio.to_thread.run_sync(clock.wall_ns)

    assert before_ns <= read_ns <= clock.monotonic_ns()
    assert read_ns - round(trio.current_time() * NS_PER_S) <= 3600 * NS_PER_S
    assert wall_ns - 1_800_000_000 * NS_PER_S >= read_ns


async def test_the_clock_goes_as_trios_does(autojump_clock):
    clock = TrioClock()
    before_ns = clock.wall_ns()
    await trio.sleep(40)

    assert clock.wall_ns() - before_ns == 40 * NS_PER_S
