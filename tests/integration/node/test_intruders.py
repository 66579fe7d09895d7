"""A member of the guild that was not asked to run the task speaks up all the same."""

import hashlib

import pytest

from task_world import IDENTITIES, open_world
from zerostate.errors import RemoteError
from zerostate.execution.examples import sha256_module
from zerostate.node import messages_pb2 as pb

REQUESTER = IDENTITIES["requester"].peer_id


@pytest.fixture
async def world(tmp_path):
    async with open_world(tmp_path) as world:
        yield world


@pytest.mark.parametrize(
    ("message_type", "body"),
    [
        ("task_accept", pb.TaskAccept()),
        ("task_result", pb.TaskResult(outcome="ok", output=b"forged")),
        ("task_result", pb.TaskResult(outcome="trap")),
    ],
)
async def test_only_the_executor_is_given_the_input_and_believed_the_result(
    world, message_type, body
):
    refused = []

    async def progress(stage, text, *_):
        if stage != "task.accepted":
            return
        body.task_id = text.rpartition(" ")[2]
        with pytest.raises(RemoteError) as failure:
            await world.layers["member"].peers.request(
                REQUESTER, message_type, body.SerializeToString()
            )
        refused.append(failure.value.remote_code)

    world.progress = progress
    report = await world.run(sha256_module())

    assert refused == ["not_a_member"]
    assert report.error_code is None, report.error_message
    assert report.output == hashlib.sha256(b"hello").hexdigest().encode()
    assert report.payment.verified
