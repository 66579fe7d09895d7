"""What a worker process gives up before it touches a stranger's module.

WebAssembly is the wall; this is the fence behind it. Linux only.
"""

import ctypes
import math
import os
import resource
import signal
import sys
import time
from typing import Final

MAX_OPEN_FILES: Final = 64
"""Most file descriptors: pipes, and what the engine opens at start."""

MAX_FILE_BYTES: Final = 64 << 10
"""Largest file: the worker writes none but its error text."""

MAX_DATA_BYTES: Final = 3 << 30
"""Most writable private memory, in bytes: a module's memory at its largest (1 GiB) and
room to compile (14 MB of code took 436 MB). Not RLIMIT_AS: the engine reserves 4 GiB
of address space a memory."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def confine(parent_pid: int) -> None:
    """Die with the parent, and give up what a worker does not need.

    Must run before anything else in the worker. Ends the process when the parent is
    gone already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent has gone")
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for which, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_DATA, MAX_DATA_BYTES),
    ):
        _, hard = resource.getrlimit(which)
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(which, (bound, bound))


def allow_cpu_s(seconds: float) -> None:
    """Let this process use `seconds` more of CPU; the kernel ends it beyond that."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    bound = math.ceil(time.process_time() + seconds)
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (bound, hard))
