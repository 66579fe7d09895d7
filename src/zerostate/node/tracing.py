"""The spans of a task's story, one typed method each. Words, not deeds."""

from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.trace import Span, TracerProvider

from zerostate.ids import PeerId, TaskId
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry import LayerTracer


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
