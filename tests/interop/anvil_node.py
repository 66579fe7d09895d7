"""Anvil, a chain that is not ours, in a process of its own, and its package."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from held_ports import held_ports
from requirements import REQUIRED_VARIABLE

FOLDER: Final = Path(__file__).with_name("anvil")
LOCK: Final = FOLDER / "package-lock.json"
PROGRAM: Final = FOLDER / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
INSTALLED: Final = FOLDER / "node_modules" / ".package-lock.json"

INSTALL_TIMEOUT_S: Final = 180
START_TIMEOUT_S: Final = 20


def anvil_program() -> Path:
    """Return the pinned anvil, or end the test.

    Installs the locked package if it is not there; that takes npm and, unless npm has
    it in its cache, the network.
    """
    if not _is_installed():
        _install()
    return PROGRAM


@contextmanager
def running_anvil(program: Path, *arguments: str) -> Iterator[str]:
    """Run anvil on a free port inside the block; its address is given."""
    with held_ports(1) as [port]:
        process = subprocess.Popen(
            [program, "--port", str(port), "--accounts", "1", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)


def _wait_for(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("anvil did not start")


def _is_installed() -> bool:
    if not INSTALLED.exists() or not PROGRAM.exists():
        return False
    wanted = json.loads(LOCK.read_text())["packages"]
    del wanted[""]
    return json.loads(INSTALLED.read_text())["packages"] == wanted


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        _give_up("anvil is not installed, and there is no npm")
    try:
        subprocess.run(
            [npm, "ci", "--prefer-offline", "--loglevel=error"],
            cwd=FOLDER,
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        _give_up(f"npm ci took over {INSTALL_TIMEOUT_S} s")
    except subprocess.CalledProcessError as exc:
        _give_up(f"npm ci failed: {exc.stderr.strip()[-300:]}")
    if not PROGRAM.exists():
        _give_up("npm ci left no anvil")


def _give_up(reason: str) -> None:
    if "node" in os.environ.get(REQUIRED_VARIABLE, "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
