"""What comes later for a task, in another trace than the task's, gets a link."""

import pytest

from task_world import open_world
from zerostate.errors import RemoteError
from zerostate.execution.examples import sha256_module
from zerostate.node import messages_pb2 as pb


async def test_an_executor_cannot_draw_its_requester_into_another_trace(tmp_path):
    async with open_world(tmp_path) as world:
        report = await world.run(sha256_module())
        executor = world.layers["executor"].peers
        requester = world.layers["requester"].peers
        world.recorders["requester"].clear()
        tracer = world.recorders["executor"].provider.get_tracer("test")
        late = pb.TaskAccept(task_id=report.task_id).SerializeToString()
        with (
            tracer.start_as_current_span("another trace") as other,
            pytest.raises(RemoteError, match="does not execute"),
        ):
            await executor.request(requester.peer_id, "task_accept", late)

    (handled,) = [
        span
        for span in world.recorders["requester"].spans
        if span.name == "p2p.message.task_accept"
    ]
    assert handled.parent is None
    (link,) = handled.links
    assert link.context.trace_id == other.get_span_context().trace_id
    assert link.attributes["zerostate.link.trust"] == "counterpart"


async def test_what_an_executor_sends_in_time_is_part_of_the_task(tmp_path):
    async with open_world(tmp_path) as world:
        report = await world.run(sha256_module())

        names = {
            span.name: span
            for span in world.recorders["requester"].spans
            if span.kind.name == "SERVER"
        }
        for name in ("p2p.message.task_accept", "p2p.message.task_result"):
            assert f"{names[name].context.trace_id:032x}" == report.trace_id
