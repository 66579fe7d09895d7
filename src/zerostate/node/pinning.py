"""To which trace a task belongs: the one of its first signed request, for good."""

from collections import OrderedDict
from typing import Final, final

from zerostate.ids import PeerId

MAX_PINNED_TASKS: Final = 10_000
"""Tasks whose trace is remembered; the one pinned first is forgotten first."""


@final
class TaskTraces:
    """The traces of the tasks that this peer runs or has run elsewhere.

    Otherwise whoever sends a later message for a task could draw this peer's work on it
    into a trace of its choice, apart from the one that the receipt names.
    """

    def __init__(self, *, limit: int = MAX_PINNED_TASKS) -> None:
        self._limit = limit
        self._traces: OrderedDict[tuple[PeerId, str], str] = OrderedDict()

    def pin(self, requester: PeerId, task_id: str, trace_id: str) -> bool:
        """Return whether the task belongs to that trace; the first one named is it.

        Args:
            requester: Whose task it is: one peer's tasks do not bind another's.
            task_id: Which task.
            trace_id: 32 hex digits; empty, for a message that carries none, belongs to
                any task and pins nothing.
        """
        if not trace_id or (requester, task_id) in self._traces:
            return self.agrees(requester, task_id, trace_id)
        self._traces[requester, task_id] = trace_id
        if len(self._traces) > self._limit:
            self._traces.popitem(last=False)
        return True

    def agrees(self, requester: PeerId, task_id: str, trace_id: str) -> bool:
        """Return whether nothing is known against the task's being in that trace."""
        return not trace_id or self._traces.get((requester, task_id)) in (
            None,
            trace_id,
        )
