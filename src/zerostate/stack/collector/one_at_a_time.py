"""Work that never piles up: one piece at a time, after a wait that is bounded."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar, final

from zerostate.stack.collector.held_bytes import BusyError

MAX_WAIT_S: Final = 5.0
"""Longest wait for a turn, in seconds: half of what exporters give a request by
default, so that they are told to come back rather than left to give up."""

_Result = TypeVar("_Result")


def _nothing() -> None:
    return None


@final
class OneAtATime:
    """Runs work one piece at a time, first come first served.

    More at once would gain nothing, for one interpreter decodes no faster with more
    threads, and would multiply the memory that decoding takes.
    """

    def __init__(self, max_wait_s: float = MAX_WAIT_S) -> None:
        """Let nobody wait longer than `max_wait_s` seconds for the turn."""
        self._turn = asyncio.Semaphore(1)
        self._max_wait_s = max_wait_s

    async def run(
        self, work: Callable[[], _Result], *, first: Callable[[], None] = _nothing
    ) -> _Result:
        """Return what `work` returns in a thread; its errors are raised here.

        Cancellation: work not begun never begins. Work under way goes on to its end,
        and the next waits for it.

        Args:
            work: What to do in the thread.
            first: Called on the event loop when the turn has come. If it raises, the
                work is left out.

        Raises:
            BusyError: The turn did not come in time; the work was left out.
        """
        await self._take_turn()
        try:
            first()
            running = asyncio.get_running_loop().run_in_executor(None, work)
        except BaseException:
            self._turn.release()
            raise
        running.add_done_callback(lambda _: self._turn.release())
        # Unshielded, a cancelled caller would end the turn while the thread works on.
        return await asyncio.shield(running)

    async def run_here(self, work: Callable[[], _Result]) -> _Result:
        """Return what short `work` returns, run on the event loop.

        Between two pieces the event loop does whatever else there is to do, however
        many wait.

        Raises:
            BusyError: The turn did not come in time; the work was left out.
        """
        await self._take_turn()
        try:
            # Others that are ready go first, and find the turn taken.
            await asyncio.sleep(0)
            return work()
        finally:
            self._turn.release()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise BusyError("too many spans at once; try again later") from error
