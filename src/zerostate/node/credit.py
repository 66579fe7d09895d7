"""How much an executor does for a requester before it is paid."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from zerostate.errors import UnpaidTasksError
from zerostate.ids import PeerId, TaskId
from zerostate.node.earnings import Earnings
from zerostate.payment import ExpectedStream


@final
class Credit:
    """Counts each requester's tasks that are under way, or done and not paid.

    Args:
        earnings: What is done, and whether it is paid.
        max_tasks: Most tasks of one requester at once.
    """

    def __init__(self, earnings: Earnings, *, max_tasks: int) -> None:
        self._earnings = earnings
        self._max = max_tasks
        self._under_way: dict[TaskId, PeerId] = {}

    async def look(self, requester: PeerId) -> None:
        """Find out what a requester has paid meanwhile, if it may matter for `check`.

        Raises:
            StoreError: The channels cannot be read.
        """
        if self._used(requester) >= self._max:
            await self._earnings.note_payments(requester)

    def check(self, requester: PeerId) -> None:
        """Refuse a requester's next task if too many are not paid; see `look`.

        Raises:
            UnpaidTasksError: They are.
        """
        used = self._used(requester)
        if used >= self._max:
            raise UnpaidTasksError(
                f"{used} tasks of yours are under way or not paid, and {self._max} are"
                " the most here: pay for what is done, then ask again"
            )

    @contextmanager
    def given(
        self, requester: PeerId, task_id: TaskId, stream: ExpectedStream | None
    ) -> Iterator[None]:
        """Count a task while it is under way, unless it is sure to cost nothing.

        Args:
            requester: Who is to pay.
            task_id: The task.
            stream: What it may cost; None if its manifest cannot be read.
        """
        if stream is not None and stream.max_total > 0:
            self._under_way[task_id] = requester
        try:
            yield
        finally:
            self._under_way.pop(task_id, None)

    def _used(self, requester: PeerId) -> int:
        under_way = {
            one for one, owner in self._under_way.items() if owner == requester
        }
        # A task whose receipt is signed and not yet sent is in both.
        return len(under_way | self._earnings.unpaid(requester))
