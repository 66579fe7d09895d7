"""node.control: requests and answers on a real Unix socket."""

import json
import logging
import os
import resource
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from zerostate.errors import PeerLostError
from zerostate.node.control import (
    ACCEPT_PAUSE_S,
    MAX_CONNECTIONS,
    MAX_REQUEST_BYTES,
    CommandError,
    ControlServer,
)


async def echo(params, progress):
    await progress("half", "half way")
    return {"got": dict(params)}


async def lose(params, progress):
    raise PeerLostError("gone")


async def report(params, progress):
    raise CommandError("trap", "it trapped", {"trace_id": "ab"})


async def crash(params, progress):
    raise ZeroDivisionError("boom")


class Work:
    """A method that tells, on being told to, and can be seen to end."""

    def __init__(self):
        self.begun, self.may_go_on, self.ended = (trio.Event() for _ in range(3))
        self.is_cancelled = self.is_done = False

    async def __call__(self, params, progress):
        self.begun.set()
        try:
            await self.may_go_on.wait()
            for _ in range(3):
                await progress("half", "half way")
            self.is_done = True
        except trio.Cancelled:
            self.is_cancelled = True
            raise
        finally:
            self.ended.set()
        return {}


METHODS = {"echo": echo, "lose": lose, "report": report, "crash": crash}


@pytest.fixture
async def client(tmp_path, nursery):
    path = tmp_path / "control.sock"
    await nursery.start(ControlServer(path, METHODS).serve)
    async with await trio.open_unix_socket(str(path)) as stream:
        yield stream


async def ask(client, line):
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    await client.send_all(data + b"\n")
    replies, buffer = [], b""
    with trio.fail_after(5):
        while True:
            chunk = await client.receive_some()
            assert chunk, "the connection was closed"
            buffer += chunk
            replies = [json.loads(part) for part in buffer.split(b"\n")[:-1]]
            if replies and ("result" in replies[-1] or "error" in replies[-1]):
                return replies


async def test_progress_comes_before_the_result(client):
    replies = await ask(client, {"id": 7, "method": "echo", "params": {"a": 1}})

    assert replies == [
        {"id": 7, "progress": {"stage": "half", "text": "half way"}},
        {"id": 7, "result": {"got": {"a": 1}}},
    ]


async def test_an_error_of_ours_is_answered_with_its_code(client):
    (reply,) = await ask(client, {"id": 1, "method": "lose"})

    assert reply["error"] == {"code": "peer_lost", "message": "gone", "data": {}}


async def test_a_command_error_brings_what_is_known(client):
    (reply,) = await ask(client, {"id": 1, "method": "report"})

    assert reply["error"]["code"] == "trap"
    assert reply["error"]["data"] == {"trace_id": "ab"}


async def test_a_bug_is_answered_and_the_node_stays_up(client, caplog):
    (reply,) = await ask(client, {"id": 1, "method": "crash"})
    (again,) = await ask(client, {"id": 2, "method": "lose"})

    assert reply["error"]["code"] == "internal"
    assert "ZeroDivisionError" in caplog.text
    assert again["id"] == 2


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[" * 100_000,
        b"[]",
        b'{"method": "none"}',
        b'{"method": 1}',
        b'{"method":"echo","params":1}',
    ],
)
async def test_what_is_no_request_is_answered_with_what_is_wrong(client, line):
    (reply,) = await ask(client, line)

    assert reply["error"]["code"] == "invalid_query"


async def test_an_endless_line_ends_the_connection(client):
    with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
        while True:
            await client.send_all(b"x" * (MAX_REQUEST_BYTES // 4))


async def test_the_socket_is_private_and_gone_afterwards(tmp_path):
    path = tmp_path / "control.sock"
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(path, METHODS).serve)
        assert path.stat().st_mode & 0o077 == 0
        nursery.cancel_scope.cancel()

    assert not path.exists()


@pytest.fixture
async def begin(tmp_path, nursery):
    """Return how to let somebody begin some work: the stream of that caller."""
    work, path = Work(), tmp_path / "control.sock"
    methods = {**METHODS, "work": work, "lasting": work}
    server = ControlServer(path, methods, outlasting={"lasting"})
    await nursery.start(server.serve)

    async def begin(method="work"):
        stream = await trio.open_unix_socket(str(path))
        await stream.send_all(json.dumps({"method": method}).encode() + b"\n")
        with trio.fail_after(5):
            await work.begun.wait()
        return stream

    begin.work = work
    return begin


async def test_what_a_caller_who_is_gone_has_asked_for_is_called_off(begin):
    caller = await begin()
    await caller.aclose()

    with trio.fail_after(5):
        await begin.work.ended.wait()
    assert begin.work.is_cancelled


async def test_a_caller_who_is_gone_after_having_said_more_is_noticed(begin):
    caller = await begin()
    await caller.send_all(b'{"id": 2, "method": "lose"}\n')
    await wait_all_tasks_blocked(0.01)
    await caller.aclose()

    with trio.fail_after(5):
        await begin.work.ended.wait()
    assert begin.work.is_cancelled


async def test_who_only_has_nothing_more_to_say_gets_its_answer(begin):
    async with await begin() as caller:
        await caller.send_all(b'{"id": 2, "method": "lose"}\n')
        await caller.send_eof()
        await wait_all_tasks_blocked(0.01)
        begin.work.may_go_on.set()

        heard = b""
        with trio.fail_after(5):
            async for chunk in caller:
                heard += chunk
    replies = [json.loads(line) for line in heard.splitlines()]
    assert [list(reply)[1] for reply in replies] == [
        *["progress"] * 3,
        "result",
        "error",
    ]
    assert replies[-1]["id"] == 2


async def test_some_work_goes_on_when_its_caller_is_gone(begin):
    caller = await begin("lasting")
    await caller.aclose()
    await wait_all_tasks_blocked(0.01)
    begin.work.may_go_on.set()

    with trio.fail_after(5):
        await begin.work.ended.wait()
    assert begin.work.is_done


def open_files():
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


@contextmanager
def no_file_left():
    """Leave this process no room for one more file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_files()) + 2, hard))
        while True:
            try:
                stack.callback(os.close, os.dup(0))
            except OSError:
                break
        yield


async def test_without_a_file_left_the_node_stays_up_and_says_so_once(
    tmp_path, nursery, caplog
):
    path = tmp_path / "control.sock"
    await nursery.start(ControlServer(path, METHODS).serve)
    client = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    with no_file_left():
        await client.connect(str(path))
        await trio.sleep(2.5 * ACCEPT_PAUSE_S)

    async with trio.SocketStream(client) as stream:
        (reply,) = await ask(stream, {"id": 1, "method": "lose"})
    assert reply["error"]["code"] == "peer_lost"
    told = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(told) == 1
    assert "Too many open files" in told[0].message


async def test_connections_beyond_the_limit_wait_without_taking_a_file(
    tmp_path, nursery
):
    path = str(tmp_path / "control.sock")
    await nursery.start(ControlServer(tmp_path / "control.sock", METHODS).serve)
    before = len(open_files())
    beyond = 3
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await trio.open_unix_socket(path))
            for _ in range(MAX_CONNECTIONS + beyond)
        ]
        await wait_all_tasks_blocked()
        assert len(open_files()) - before == len(clients) + MAX_CONNECTIONS

        await clients[0].aclose()
        (reply,) = await ask(clients[MAX_CONNECTIONS], {"id": 5, "method": "lose"})
        assert reply["id"] == 5
