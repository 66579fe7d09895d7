"""Taking turns at the processor, so that the other end and the disk work meanwhile.

Trio runs every task that can run before it looks at the network and the disk again. A
hundred payments that come together would all be signed before the first of them went
on, and the other end, which then gets all of them at once, would do the same: only one
of the two would ever work, and the disk while both wait.
"""

from collections import deque
from typing import Final, final

import outcome
import trio

MAX_IN_ROW: Final = 16
"""Payments worked on before what they wait for is looked at: some four milliseconds, as
long as a disk takes to make something durable, and many times what looking costs."""


@final
class Turns:
    """Lets tasks go on, a few at a time, in the order of asking.

    One of each row leads: when its turn comes it calls the next row, which then comes
    after whatever else can run, and has the last of that row lead on.
    """

    def __init__(self, max_in_row: int = MAX_IN_ROW) -> None:
        self._max_in_row: Final = max_in_row
        self._waiting: Final[deque[trio.lowlevel.Task]] = deque()
        self._is_led = False

    async def take(self) -> None:
        """Wait for the caller's turn; a checkpoint.

        Cancellation: gives the place up.
        """
        if not self._is_led:
            self._is_led = True
            try:
                await trio.lowlevel.checkpoint()
            finally:
                self._call_next()
        elif await self._called():
            self._call_next()

    async def _called(self) -> bool:
        """Wait to be called; return whether to lead."""
        task = trio.lowlevel.current_task()
        self._waiting.append(task)

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._waiting.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        leads: bool = await trio.lowlevel.wait_task_rescheduled(give_up)
        return leads

    def _call_next(self) -> None:
        row = min(self._max_in_row, len(self._waiting))
        self._is_led = row > 0
        for left in reversed(range(row)):
            trio.lowlevel.reschedule(self._waiting.popleft(), outcome.Value(left == 0))
