"""What keeps a worker in on this machine, found out by trying.

`confinement_report` starts a process that confines itself as a worker does and then
tries what a worker must not be able to do. ``python -I -m
zerostate.execution.confinement_report PARENT_PID`` is that process.
"""

import json
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.execution.confinement import (
    MAX_DATA_BYTES,
    MAX_FILE_BYTES,
    MAX_OPEN_FILES,
    allow_cpu_s,
    confine,
)
from zerostate.execution.seccomp import install

TIMEOUT_S: Final = 20.0
"""Longest wait for the process; it takes about 0.1 s."""

MAX_REPORT_BYTES: Final = 16 << 10
"""Longest report that is read."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that should keep a worker in."""

    name: str
    is_in_force: bool
    finding: str
    """For people."""


def confinement_report() -> tuple[Measure, ...]:
    """Return what keeps workers in on this machine, and what does not.

    Blocks for about 0.1 s. Never raises for what it finds: a process that cannot be
    started or says nothing is one measure that is not in force.
    """
    with tempfile.TemporaryDirectory(prefix="zerostate-confinement-") as directory:
        try:
            ended = subprocess.run(  # noqa: S603  # our own module, no shell
                [sys.executable, "-I", "-m", __name__, str(os.getpid())],
                cwd=directory,
                env={},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=True,
            )
            found = json.loads(ended.stdout[:MAX_REPORT_BYTES])
            return tuple(Measure(*one) for one in found)
        except (OSError, subprocess.SubprocessError, ValueError, TypeError) as exc:
            text = f"could not be tried: {type(exc).__name__}"
            return (Measure("a confined process", is_in_force=False, finding=text),)


def _measures(unfiltered: str) -> list[Measure]:
    return [
        Measure(
            "system call filter",
            is_in_force=not unfiltered,
            finding=unfiltered or "seccomp, an allow list",
        ),
        _refused("open a file", lambda: os.close(os.open("/", os.O_RDONLY))),
        _refused("make a socket", lambda: socket.socket().close()),
        _refused("start a process", _fork),
        _refused("run a program", lambda: os.execv("/", ["/"])),  # noqa: S606  # it must fail
        _refused("signal another process", lambda: os.kill(os.getppid(), 0)),
        _limited("open files", resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        _limited("memory", resource.RLIMIT_DATA, MAX_DATA_BYTES),
        _limited("file size", resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        _cpu_limited(),
        _limited("core file", resource.RLIMIT_CORE, 0),
        _empty_environment(),
    ]


def _empty_environment() -> Measure:
    # Python sets this one itself where there is no locale (PEP 538).
    given = sorted(os.environ.keys() - {"LC_CTYPE"})
    return Measure("empty environment", not given, f"{len(given)} variables")


def _refused(what: str, act: Callable[[], object]) -> Measure:
    try:
        act()
    except PermissionError:
        return Measure(f"cannot {what}", is_in_force=True, finding="refused")
    except OSError as exc:
        return Measure(f"cannot {what}", is_in_force=False, finding=str(exc))
    return Measure(f"cannot {what}", is_in_force=False, finding="it can")


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _limited(what: str, which: int, limit: int) -> Measure:
    soft, _ = resource.getrlimit(which)
    is_in_force = 0 <= soft <= limit
    return Measure(f"limit on {what}", is_in_force, f"{soft}")


def _cpu_limited() -> Measure:
    try:
        allow_cpu_s(TIMEOUT_S)
    except (OSError, ValueError) as exc:
        return Measure("limit on CPU time", is_in_force=False, finding=str(exc))
    # What this process has used so far is allowed too.
    most_s = math.ceil(time.process_time() + TIMEOUT_S)
    return _limited("CPU time", resource.RLIMIT_CPU, most_s)


def main() -> None:
    """Confine this process, try everything, and print what was found as JSON."""
    confine(int(sys.argv[1]))
    Path.cwd().rmdir()
    signal.alarm(int(TIMEOUT_S))
    found = _measures(install())
    rows = [(one.name, one.is_in_force, one.finding) for one in found]
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    main()
