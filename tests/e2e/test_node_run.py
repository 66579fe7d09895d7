"""``zerostate node run`` as a process: what it says, how it is, and how it ends."""

import json
import signal
import sys
from pathlib import Path

import pytest

from node_processes import (
    RUN,
    WAIT_S,
    ask,
    ask_peers_until,
    ask_until,
    end,
    ready_line,
    running,
)

pytestmark = pytest.mark.e2e


def write_config(directory, **fields):
    directory.mkdir(exist_ok=True)
    path = directory / "node.json"
    settings = {
        "service_name": "peer-1",
        "data_dir": str(directory / "data"),
        "otlp_endpoint": "127.0.0.1:9",
        "ops_listen": "127.0.0.1:0",
        "die_with_parent": True,
        **fields,
    }
    path.write_text(json.dumps(settings))
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_what_a_person_needs_and_ends_when_told(tmp_path, number):
    with running(*RUN, write_config(tmp_path)) as node:
        told = [node.stdout.readline() for _ in range(5)]
        url = told[2].split()[-1]
        assert ask(url, "/healthz")[0] == ask(url, "/readyz")[0] == 200
        code, rest, errors = end(node, number)

    assert code == 0, errors
    assert told[0].startswith("Peer id")
    assert told[0].split()[-1] in told[1]
    assert told[3].split()[-1] == str(tmp_path / "data" / "control.sock")
    assert told[4] == "Ctrl-C ends it.\n"
    assert rest == ""
    for line in errors.splitlines():
        assert json.loads(line)["service"] == "peer-1"


def test_lines_of_json_tell_its_beginning_and_its_end(tmp_path):
    with running(*RUN, write_config(tmp_path, ops_listen=None), "--json") as node:
        ready = ready_line(node)
        code, rest, _ = end(node)

    assert ready["event"] == "ready"
    assert ready["pid"] == node.pid
    assert ready["ops"] is None
    assert ready["addresses"][0].endswith(ready["peer_id"])
    assert code == 0
    assert json.loads(rest) == {"event": "ended"}


def test_every_problem_of_the_settings_is_told(tmp_path):
    config = write_config(
        tmp_path,
        listen=["nowhere"],
        bootstrap=["/ip4/127.0.0.1/tcp/1"],
        ops_listen="example.org:80",
        max_conections=3,
    )
    with running(*RUN, config, "--json") as node:
        output, errors = node.communicate(timeout=WAIT_S)

    assert node.returncode == 2
    message = json.loads(output)["error"]["message"]
    for part in (
        "listen.0: ",
        "bootstrap.0: ",
        "ops_listen: ",
        "max_conections: there is no such setting; did you mean max_connections?",
    ):
        assert part.replace(".0", "") in message
    assert errors.startswith("error: ")


def test_a_second_node_on_the_same_directory_is_refused(tmp_path):
    config = write_config(tmp_path)
    with running(*RUN, config, "--json") as first:
        ready = ready_line(first)
        with running(*RUN, config) as second:
            output, errors = second.communicate(timeout=WAIT_S)
        assert ask(ready["ops"], "/healthz")[0] == 200
        assert Path(ready["control"]).exists()

    assert second.returncode == 3
    assert output == ""
    assert f"(process {first.pid})" in errors


def test_a_port_that_is_taken_is_told(tmp_path):
    with running(*RUN, write_config(tmp_path / "a"), "--json") as first:
        taken = ready_line(first)["ops"].removeprefix("http://")
        config = write_config(tmp_path / "b", ops_listen=taken)
        with running(*RUN, config, "--json") as second:
            output, _ = second.communicate(timeout=WAIT_S)

    assert second.returncode == 3
    assert json.loads(output)["error"]["code"] == "port_in_use"


def test_it_is_ready_once_a_bootstrap_peer_was_reached(tmp_path):
    with running(*RUN, write_config(tmp_path / "a"), "--json") as node:
        address = ready_line(node)["addresses"][0]
        end(node)
    again = write_config(tmp_path / "a", listen=[address.partition("/p2p/")[0]])
    config = write_config(tmp_path / "b", bootstrap=[address], health_interval_s=1)
    with running(*RUN, config, "--json") as node:
        url = ready_line(node)["ops"]
        answer = ask_until(url, "/readyz", 503)
        assert "bootstrap" in answer.json()["reasons"][0]
        assert ask(url, "/healthz")[0] == 200

        with running(*RUN, again, "--json") as bootstrap:
            found = ready_line(bootstrap)["peer_id"]
            ask_until(url, "/readyz", 200)
            reports = ask_peers_until(url, lambda peers: peers["reports"])["reports"]
    (report,) = reports
    assert report["peer_id"] == found
    # One machine, one clock: the true offset is none.
    assert abs(report["clock_offset_ns"]) <= report["clock_error_ns"]
    assert 0 < report["round_trip_s"] < 5


def test_it_says_so_while_its_loop_stands_still(tmp_path):
    config = write_config(tmp_path, loop_stuck_after_s=1.0)
    program = Path(__file__).parent / "node_that_blocks.py"
    with running(sys.executable, program, config) as node:
        url = ready_line(node)["ops"]
        ask_until(url, "/healthz", 200)

        node.stdin.write("5\n")
        node.stdin.flush()
        stuck = ask_until(url, "/healthz", 503)
        metrics = ask(url, "/metrics")
        assert "has not turned for" in stuck.json()["reasons"][0]
        assert ask(url, "/readyz")[0] == ask(url, "/health")[0] == 503
        assert metrics[0] == 200

        assert node.stdout.readline() == "turns again\n"
        ask_until(url, "/healthz", 200)
