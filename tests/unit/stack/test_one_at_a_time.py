import asyncio
import threading

import pytest

from zerostate.stack.collector.held_bytes import BusyError
from zerostate.stack.collector.one_at_a_time import OneAtATime

_PATIENCE_S = 30.0


class _Work:
    """Work that goes on until it is let go, and tells when it was begun."""

    def __init__(self):
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._let_go = threading.Event()

    def __call__(self):
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._let_go.wait(_PATIENCE_S)
        return threading.current_thread()

    def let_go(self):
        self._let_go.set()


def test_work_runs_in_a_thread_and_the_next_waits_for_it():
    async def run():
        one = OneAtATime()
        first, second = _Work(), _Work()
        tasks = [asyncio.create_task(one.run(work)) for work in (first, second)]
        await first.begun.wait()
        second.let_go()
        assert not second.begun.is_set()
        first.let_go()
        threads = await asyncio.gather(*tasks)
        assert second.begun.is_set()
        assert threading.main_thread() not in threads

    asyncio.run(run())


def test_a_cancelled_caller_leaves_the_turn_to_the_work_still_going_on():
    async def run():
        one = OneAtATime()
        first, second = _Work(), _Work()
        turns = []
        cancelled = asyncio.create_task(one.run(first))
        await first.begun.wait()
        following = asyncio.create_task(
            one.run(second, first=lambda: turns.append("second"))
        )
        cancelled.cancel()
        await asyncio.wait([cancelled])
        for _ in range(10):
            await asyncio.sleep(0)
        assert turns == []
        first.let_go()
        second.let_go()
        await following
        assert turns == ["second"]

    asyncio.run(run())


def test_cancelled_work_that_waits_is_never_begun():
    async def run():
        one = OneAtATime()
        first, begun = _Work(), []
        running = asyncio.create_task(one.run(first))
        await first.begun.wait()
        waiting = asyncio.create_task(one.run(lambda: begun.append(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        first.let_go()
        await running
        await one.run(lambda: None)
        assert begun == []

    asyncio.run(run())


def test_errors_reach_the_caller_and_end_the_turn():
    def refuse():
        raise LookupError("no room")

    async def run():
        one = OneAtATime()
        begun = []
        with pytest.raises(LookupError):
            await one.run(lambda: begun.append(1), first=refuse)
        assert begun == []
        with pytest.raises(LookupError):
            await one.run(refuse)
        assert await one.run(lambda: 7) == 7

    asyncio.run(run())


def test_who_waits_too_long_is_turned_away():
    async def run():
        one = OneAtATime(max_wait_s=0.01)
        first = _Work()
        running = asyncio.create_task(one.run(first))
        await first.begun.wait()
        with pytest.raises(BusyError, match="try again later"):
            await one.run(lambda: None)
        with pytest.raises(BusyError, match="try again later"):
            await one.run_here(lambda: None)
        first.let_go()
        await running
        assert await one.run_here(lambda: 7) == 7

    asyncio.run(run())
