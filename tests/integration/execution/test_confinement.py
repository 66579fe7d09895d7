"""What a worker can still do, tried from inside; and what the report says of it."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zerostate.execution import seccomp
from zerostate.execution.confinement_report import confinement_report

FILTERED = pytest.mark.skipif(
    platform.machine() != seccomp.ARCHITECTURE, reason="no filter for this machine"
)


@FILTERED
def test_the_report_finds_every_measure_in_force_here():
    measures = confinement_report()

    assert [one for one in measures if not one.is_in_force] == []
    assert {one.name for one in measures} == {
        "system call filter",
        "cannot open a file",
        "cannot make a socket",
        "cannot start a process",
        "cannot run a program",
        "cannot signal another process",
        "limit on open files",
        "limit on memory",
        "limit on file size",
        "limit on CPU time",
        "limit on core file",
        "empty environment",
    }


SPIN = """
import sys
from zerostate.execution.confinement import allow_cpu_s, confine
confine(int(sys.argv[1]))
allow_cpu_s(0.1)
while True:
    pass
"""


def test_the_kernel_ends_what_uses_more_cpu_time_than_it_may():
    ended = subprocess.run(
        [sys.executable, "-I", "-c", SPIN, str(os.getpid())],
        env={},
        timeout=30,
        check=False,
    )

    assert ended.returncode == -signal.SIGXCPU


@FILTERED
@pytest.mark.parametrize("role", ["run", "compile"])
def test_both_kinds_of_workers_are_filtered(role, tmp_path):
    place = tmp_path / "cwd"
    place.mkdir()
    worker = subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-m",
            "zerostate.execution.worker",
            str(os.getpid()),
            role,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=place,
        env={},
    )
    with worker:
        worker.stdout.read(8)
        status = Path(f"/proc/{worker.pid}/status").read_text()
        worker.stdin.close()

    assert "Seccomp:\t2\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert worker.returncode == 0


TRIES = """
import errno, os, sys, threading
from zerostate.execution.confinement import confine
from zerostate.execution import seccomp
import ctypes, resource, socket
confine(int(sys.argv[1]))
libc = ctypes.CDLL(None, use_errno=True)
assert seccomp.install() == ""

def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    return errno.errorcode.get(ctypes.get_errno()) if result < 0 else "done"

SHARED = {shared}
for name, number in SHARED.items():
    print(name, call(number, 0, 0, 0, 0, 0, 0))
print("limits of another process", call(302, 1, 7, 0, 0))
print("own limits", call(302, 0, 7, 0, 0))
thread = threading.Thread(target=lambda: print("thread", "done"))
thread.start()
thread.join()
print("memory", "done" if len(bytearray(50_000_000)) else "")
"""
REFUSED = {
    "open": 2,
    "stat": 4,
    "socket": 41,
    "connect": 42,
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "kill": 62,
    "rename": 82,
    "unlink": 87,
    "ptrace": 101,
    "mount": 165,
    "openat": 257,
    "unshare": 272,
    "perf_event_open": 298,
    "process_vm_readv": 310,
    "memfd_create": 319,
    "bpf": 321,
    "execveat": 322,
    "io_uring_setup": 425,
    "pidfd_open": 434,
    "openat2": 437,
}


@FILTERED
def test_system_calls_are_refused_one_by_one_and_running_goes_on():
    script = TRIES.replace("{shared}", repr(REFUSED))

    ended = subprocess.run(
        [sys.executable, "-I", "-c", script, str(os.getpid())],
        capture_output=True,
        text=True,
        env={},
        check=False,
    )

    found = dict(line.rsplit(" ", 1) for line in ended.stdout.splitlines())
    assert found == {
        **dict.fromkeys(REFUSED, "EPERM"),
        "limits of another process": "EPERM",
        "own limits": "done",
        "thread": "done",
        "memory": "done",
    }, ended.stderr


def test_on_another_machine_the_report_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    assert seccomp.install() == "no filter for riscv64, only for x86_64"


async def test_the_runner_knows_whether_its_workers_are_filtered(runner):
    expected = "" if platform.machine() == seccomp.ARCHITECTURE else "no filter"

    assert runner.unfiltered.startswith(expected)
    assert bool(runner.unfiltered) == bool(expected)
