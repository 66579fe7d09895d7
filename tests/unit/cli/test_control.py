"""The control socket's client against a socket."""

import asyncio
import contextlib
import json

import pytest

from zerostate.cli.control import ControlClient, ControlError
from zerostate.errors import NodeNotRunningError, PeerLostError, ProcessError


def ask(
    tmp_path,
    replies,
    *,
    timeout_s=5.0,
    method="submit",
    params=None,
    unreachable=PeerLostError,
):
    """Call a server that sends `replies`; returns the outcome and what it was sent."""
    path = tmp_path / "control.sock"
    seen = []
    progress = []

    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        seen.append(json.loads(await reader.readline()))
        for reply in replies:
            if reply is None:
                await reader.read()
                break
            writer.write(reply if isinstance(reply, bytes) else _line(reply))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def run():
        server = await asyncio.start_unix_server(serve, path)
        try:
            client = ControlClient("executor", path, unreachable=unreachable)
            return await client.call(
                method,
                params or {},
                timeout_s=timeout_s,
                on_progress=lambda *told: progress.append(told),
            )
        finally:
            server.close()
            await asyncio.gather(*serving)

    try:
        return asyncio.run(run())
    finally:
        assert seen == [{"id": 1, "method": method, "params": params or {}}]
        ask.progress = progress


def _line(reply):
    return json.dumps(reply).encode() + b"\n"


def test_the_result_is_returned_and_progress_is_told(tmp_path):
    replies = [
        {"id": 1, "progress": {"stage": "task", "text": "x", "data": {"task_id": "t"}}},
        {"id": 1, "progress": {"stage": "guild.formed", "text": "2 joined"}},
        {"id": 1, "result": {"trace_id": "ab"}},
    ]

    assert ask(tmp_path, replies, params={"members": 2}) == {"trace_id": "ab"}
    assert ask.progress == [
        ("task", "x", {"task_id": "t"}),
        ("guild.formed", "2 joined", {}),
    ]


def test_an_error_carries_code_message_and_data(tmp_path):
    error = {"code": "trap", "message": "unreachable", "data": {"trace_id": "ab"}}

    with pytest.raises(ControlError) as caught:
        ask(tmp_path, [{"id": 1, "error": error}])

    assert caught.value.reported.code == "trap"
    assert caught.value.data == {"trace_id": "ab"}


def test_an_error_without_data_is_an_error_too(tmp_path):
    with pytest.raises(ControlError) as caught:
        ask(tmp_path, [{"id": 1, "error": {"code": "trap", "message": "x"}}])

    assert caught.value.data == {}


def test_a_node_that_dies_before_it_answers_is_lost(tmp_path):
    with pytest.raises(PeerLostError, match="executor went away during 'submit'"):
        ask(tmp_path, [])


def test_a_node_of_the_users_own_that_dies_is_not_called_a_peer(tmp_path):
    with pytest.raises(NodeNotRunningError, match="executor went away during"):
        ask(tmp_path, [], unreachable=NodeNotRunningError)


def test_a_node_that_does_not_answer_is_given_up(tmp_path):
    with pytest.raises(ProcessError, match=r"within 0\.5 s"):
        ask(tmp_path, [None], timeout_s=0.5)


@pytest.mark.parametrize(
    "reply",
    [
        b"not json\n",
        b"[" * 60_000 + b"\n",
        b"[1]\n",
        b'{"id": 1}\n',
        b"x" * (2 << 20) + b"\n",
    ],
)
def test_nonsense_is_refused(tmp_path, reply):
    with pytest.raises(ProcessError, match="executor answered 'submit'"):
        ask(tmp_path, [reply])


def test_a_socket_that_is_not_there_is_a_lost_peer(tmp_path):
    client = ControlClient("executor", tmp_path / "none.sock")

    with pytest.raises(PeerLostError, match=r"no node answers at .*none\.sock"):
        asyncio.run(client.call("info", {}, timeout_s=1))
