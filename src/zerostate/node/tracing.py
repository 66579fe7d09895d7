"""The spans of a task's story, one typed method each. Words, not deeds."""

from contextlib import AbstractContextManager
from typing import final

from opentelemetry.context import Context
from opentelemetry.trace import Span, TracerProvider

from zerostate.ids import PeerId, TaskId
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry import LayerTracer
from zerostate.telemetry.spans import error_type


class NodeTracer(LayerTracer):
    """Opens ``task.*`` spans."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("node", provider)

    def trace_task(self, task_id: TaskId) -> AbstractContextManager[Span]:
        """Cover one task, from guild formation to payment: the root of its trace."""
        return self.span(spans.TASK_RUN, {attr.TASK_ID: task_id}, context=Context())

    def trace_result(
        self, task_id: TaskId, *, executor: PeerId
    ) -> AbstractContextManager[Span]:
        """Cover the requester's wait for the result."""
        return self.span(
            spans.TASK_RESULT, {attr.TASK_ID: task_id, attr.PEER_ID: executor}
        )


@final
class TaskNotes:
    """What becomes known of a task while it runs, said on its root span."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def candidates(self, count: int) -> None:
        """Say how many members of the guild offer all that the task needs."""
        self._span.set_attribute(attr.TASK_CANDIDATES, count)

    def bids(self, count: int) -> None:
        """Say how many bids were within the task's terms."""
        self._span.set_attribute(attr.TASK_BIDS, count)

    def asked(self, count: int) -> None:
        """Say how many bidders have been asked so far."""
        self._span.set_attribute(attr.TASK_ASKED, count)

    def declined(self, executor: PeerId, failure: Exception) -> None:
        """Say that who was asked did not accept."""
        self._span.add_event(
            attr.EVENT_TASK_DECLINED,
            {attr.PEER_ID: executor, attr.ERROR_TYPE: error_type(failure)},
        )
