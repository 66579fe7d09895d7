"""``python -m zerostate.node`` as a process: what it says, and how it ends."""

import json
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.e2e


def start(tmp_path, **fields):
    config = tmp_path / "node.json"
    settings = {
        "service_name": "peer-1",
        "data_dir": str(tmp_path / "data"),
        "otlp_endpoint": "127.0.0.1:9",
        "die_with_parent": True,
        **fields,
    }
    config.write_text(json.dumps(settings))
    return subprocess.Popen(
        [sys.executable, "-m", "zerostate.node", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_tells_when_it_is_ready_and_drains_when_told_to_end(tmp_path):
    with start(tmp_path) as node:
        ready = json.loads(node.stdout.readline())
        socket = tmp_path / "data" / "control.sock"
        assert socket.exists()
        node.send_signal(signal.SIGTERM)
        _, errors = node.communicate(timeout=20)

    assert node.returncode == 0, errors
    assert ready["event"] == "ready"
    assert ready["pid"] == node.pid
    assert ready["control"] == str(socket)
    assert ready["addresses"][0].endswith(f"/p2p/{ready['peer_id']}")
    assert not socket.exists()
    for line in errors.splitlines():
        assert json.loads(line)["service"] == "peer-1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_however_often_it_is_told_to_end_it_drains(tmp_path, number):
    with start(tmp_path) as node:
        json.loads(node.stdout.readline())
        while node.poll() is None:
            node.send_signal(number)
            time.sleep(0.005)  # real time of another process
        _, errors = node.communicate(timeout=20)

    assert node.returncode == 0, errors
    assert not (tmp_path / "data" / "control.sock").exists()
    for line in errors.splitlines():
        assert json.loads(line)["service"] == "peer-1"


def test_settings_that_cannot_be_used_are_told_as_one_line(tmp_path):
    with start(tmp_path, known=["nobody"], unknown=1) as node:
        output, _ = node.communicate(timeout=20)

    (line,) = output.splitlines()
    failed = json.loads(line)
    assert node.returncode == 1
    assert failed["event"] == "failed"
    assert failed["error"]["code"] == "config"
    assert "known" in failed["error"]["message"]
    assert "unknown" in failed["error"]["message"]


def test_a_port_in_use_is_told(tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    with start(first) as holder:
        address = json.loads(holder.stdout.readline())["addresses"][0]
        listen = address.partition("/p2p/")[0]
        with start(tmp_path, listen=[listen]) as node:
            output, _ = node.communicate(timeout=20)
        holder.send_signal(signal.SIGTERM)
        holder.communicate(timeout=20)

    assert json.loads(output)["error"]["code"] == "port_in_use"
    assert node.returncode == 1
