"""What ``/health`` tells an executor's operator of tasks that are not paid."""

import json
import os
import subprocess
import time

import pytest

from architecture.repository import ROOT
from node_processes import (
    COMMAND,
    RUN,
    WAIT_S,
    ask,
    ask_until,
    end,
    ready_line,
    running,
)

pytestmark = pytest.mark.e2e

MODULE = ROOT / "examples" / "tasks" / "sha256.wasm"
PRICE = {"price": {"base": 10, "per_gigafuel": 0, "max_total": 10}}


def save(directory, name, **settings):
    local = {"ops_listen": "127.0.0.1:0", "otlp_endpoint": "127.0.0.1:9"}
    named = {"service_name": name, "data_dir": f"{name}-data"}
    path = directory / f"{name}.json"
    path.write_text(json.dumps(named | local | settings))
    return path.name


def submit(directory):
    """Have alice pay bob for a task."""
    (directory / "manifest.json").write_text(json.dumps(PRICE))
    words = ("task", "submit", str(MODULE), "--input", "manifest.json", "--json")
    done = subprocess.run(
        (*COMMAND, *words, "--manifest", "manifest.json", "--node", "alice.json"),
        cwd=directory,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unpaid_until(url, tasks):
    """Ask until so many tasks are unpaid; return all that is told."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        told = ask(url, "/health")[1].json()["payments"]["unpaid"]
        if told["tasks"] == tasks:
            return told
        time.sleep(0.05)  # real time of another process
    return pytest.fail(f"still {told}")


def test_what_was_paid_is_not_told_as_unpaid_after_a_restart(tmp_path):
    with running(*RUN, save(tmp_path, "alice"), "--json", cwd=tmp_path) as alice:
        ready = ready_line(alice)
        bob = save(tmp_path, "bob", bootstrap=ready["addresses"], capabilities=["wasm"])
        with running(*RUN, bob, "--json", cwd=tmp_path) as first:
            ask_until(ready_line(first)["ops"], "/readyz", 200)
            told = submit(tmp_path)
            assert told["payment"]["verified"], told
            assert end(first)[0] == 0
        with running(*RUN, bob, "--json", cwd=tmp_path) as second:
            told = unpaid_until(ready_line(second)["ops"], 0)
            assert told == {"tasks": 0, "requesters": 0, "worst": []}
            assert ask(ready["ops"], "/health")[1].json()["payments"]["unpaid"] is None
            assert end(second)[0] == 0
