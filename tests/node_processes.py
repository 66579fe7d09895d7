"""Runs ``zerostate node run`` as its users do, and asks how it is."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

COMMAND = (sys.executable, "-c", "from zerostate.cli import entry_point; entry_point()")
RUN = (*COMMAND, "node", "run", "--config")
WAIT_S = 30.0


@contextmanager
def running(*command, cwd=None):
    """Run a command until the block is left, then kill it if need be.

    What it wrote to stderr is written to ours, for the report of a test that fails.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        sys.stderr.write(process.communicate(timeout=WAIT_S)[1])


def ready_line(process):
    """Return what a node says when it can be used, or fail with its errors."""
    line = process.stdout.readline()
    if not line:
        pytest.fail(process.stderr.read())
    return json.loads(line)


def ask(url, path):
    answer = httpx.get(url + path, trust_env=False, timeout=10)
    return answer.status_code, answer


def ask_until(url, path, status):
    """Ask again and again until the answer has `status`; return the answer."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        got, answer = ask(url, path)
        if got == status:
            return answer
        time.sleep(0.05)  # real time of another process
    return pytest.fail(f"{path} never answered {status}: {answer.text}")


def ask_peers_until(url, holds):
    """Ask /health until ``holds(peers)`` is true; return what it says of peers."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        peers = ask(url, "/health")[1].json()["peers"]
        if peers and holds(peers):
            return peers
        time.sleep(0.05)  # real time of another process
    return pytest.fail(f"it never held: {peers}")


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    output, errors = process.communicate(timeout=WAIT_S)
    return process.returncode, output, errors
