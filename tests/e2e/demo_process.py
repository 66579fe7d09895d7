"""Runs ``zerostate demo`` as its users do, and knows what it leaves behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
TASKS = REPOSITORY / "examples" / "tasks"

LIMIT_S = 60.0
"""Longest run of one demo here, in seconds; this machine may be busy with others."""


class Demo:
    """A running demo."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.progress: list[str] = []

    def wait_for(self, text: str) -> str:
        """Read progress until a line holds `text`; return that line."""
        for line in self.process.stderr:
            self.progress.append(line)
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in:\n{''.join(self.progress)}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self) -> tuple[int, str]:
        """Return exit code and standard output, once it has ended."""
        # Not communicate(): it would lose what `wait_for` has read ahead.
        with ThreadPoolExecutor(1) as other:
            errors = other.submit(self.process.stderr.read)
            out = "" if self.process.stdout.closed else self.process.stdout.read()
            self.progress.append(errors.result(LIMIT_S))
        return self.process.wait(LIMIT_S), out

    def pid_of(self, service: str) -> int:
        """Return the pid of a peer, as progress told it last.

        A demo whose port was taken after its look at it starts all its processes anew.
        """
        for line in reversed(self.progress):
            if found := re.search(rf" {service} is ready \(pid (\d+)", line):
                return int(found.group(1))
        raise AssertionError(f"{service} was not ready:\n{''.join(self.progress)}")

    def ui(self) -> str:
        """Return the page's address, as progress told it last; see `pid_of`."""
        lines = [line for line in self.progress if " stack is ready " in line]
        return lines[-1].split()[-1].rstrip(")")

    def processes_left(self) -> list[str]:
        """Return the command lines of processes that this demo started and left."""
        mark = f"ZEROSTATE_PARENT_PID={self.process.pid}\0".encode()
        left = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes() + b"\0":
                    left.append((folder / "cmdline").read_text().replace("\0", " "))
        return left


@contextmanager
def demo(data_home: Path, *options: str) -> Iterator[Demo]:
    """Start ``zerostate demo`` with traces below `data_home`; kill it at the end."""
    environ = {
        **os.environ,
        "XDG_DATA_HOME": str(data_home),
        # What a demo that was killed leaves behind goes with the test's own files.
        "TMPDIR": str(data_home),
    }
    command = [
        sys.executable,
        "-c",
        "from zerostate.cli import entry_point; entry_point()",
    ]
    with subprocess.Popen(
        [*command, "demo", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=environ,
        start_new_session=True,
    ) as process:
        running = Demo(process)
        try:
            yield running
        finally:
            process.kill()


def run_json(data_home: Path, *options: str) -> tuple[int, dict[str, Any], Demo]:
    """Run ``demo --once --json``; return exit code, the object, and the ended demo."""
    with demo(data_home, "--once", "--json", *options) as running:
        code, out = running.finish()
    assert out.count("\n") == 1, out
    return code, json.loads(out), running


def span_named(report: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the one span of that name."""
    [span] = [each for each in report["spans"] if each["name"] == name]
    return span
