"""Which running node a command means."""

import asyncio
import json
import socket

import pytest

from zerostate.cli.running_node import ask_node, control_socket
from zerostate.errors import ConfigError, NodeNotRunningError
from zerostate.node.config import NodeConfig


@pytest.fixture
def listening(tmp_path):
    """A socket where a node's is, with nobody who answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        yield tmp_path / "control.sock"


def test_a_data_directory_a_socket_and_a_settings_file_name_the_same_node(
    listening, tmp_path
):
    settings = tmp_path / "node.json"
    settings.write_text(json.dumps({"data_dir": str(tmp_path), "more": 1}))

    assert control_socket(tmp_path, {}) == listening
    assert control_socket(listening, {}) == listening
    assert control_socket(settings, {}) == listening


def test_the_environment_names_the_node_where_the_option_does_not(listening, tmp_path):
    assert control_socket(None, {"ZEROSTATE_NODE": str(tmp_path)}) == listening
    assert control_socket(tmp_path, {"ZEROSTATE_NODE": "/nowhere"}) == listening


@pytest.mark.parametrize("environ", [{}, {"ZEROSTATE_NODE": ""}])
def test_without_either_it_is_asked_which_node(environ):
    with pytest.raises(ConfigError, match="--node: which node"):
        control_socket(None, environ)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not json", "neither a directory nor a socket nor a node's settings"),
        (b"[" * 100_000, "neither a directory nor a socket"),
        (b"[]", "a node's settings name a data_dir"),
        (b'{"data_dir": 1}', "a node's settings name a data_dir"),
        (None, "No such file or directory"),
    ],
)
def test_what_names_no_node_is_refused(tmp_path, content, says):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=says):
        control_socket(path, {})


def test_a_directory_without_a_socket_has_no_running_node(tmp_path):
    with pytest.raises(NodeNotRunningError, match="no node runs on"):
        control_socket(tmp_path, {})


def test_a_socket_that_was_left_behind_has_no_running_node(tmp_path):
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))

    with pytest.raises(NodeNotRunningError, match="no node answers at"):
        asyncio.run(ask_node(path, "guild_list", {}, timeout_s=5))


def test_a_node_is_asked_on_one_connection(tmp_path):
    connections = []

    async def answer(reader, writer):
        connections.append(asyncio.current_task())
        await reader.readline()
        writer.write(b'{"id": 1, "result": {"so": "it is"}}\n')
        writer.close()
        await writer.wait_closed()

    async def run():
        path = tmp_path / "control.sock"
        async with await asyncio.start_unix_server(answer, path):
            got = await ask_node(path, "info", {}, timeout_s=5)
            await asyncio.gather(*connections)
            return got

    assert asyncio.run(run()) == {"so": "it is"}
    assert len(connections) == 1


def test_the_socket_is_where_the_node_puts_it(tmp_path):
    config = NodeConfig(service_name="node", data_dir=tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(config.control_socket))

        assert control_socket(tmp_path, {}) == config.control_socket
