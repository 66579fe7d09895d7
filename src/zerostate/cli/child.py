"""Runs a module of ours as a process that dies with the one that started it.

``python -m zerostate.cli.child MODULE [ARGUMENT ...]``
"""

import ctypes
import gc
import os
import runpy
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
"""``prctl`` option: the signal to get when the parent dies (linux/prctl.h)."""

PARENT_VARIABLE: Final = "ZEROSTATE_PARENT_PID"
"""Environment variable with the pid of the process that starts this one."""

GC_THRESHOLD: Final = 50_000
"""New objects between two garbage collections (Python's own default is 700).

Starting a peer makes half a million objects that all stay; looking among them for
garbage again and again is a tenth of its start.
"""


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process as soon as its parent has died.

    Also after ``kill -9`` of the parent, which leaves it no chance to clean up. Linux
    only; the parent is the thread that forked, so that has to be a lasting one. The
    module may then ask for another signal: a peer takes SIGTERM instead, to end its
    worker and its connections within a deadline of its own.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        # It died before the request above was in force.
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Run the module named on the command line as ``__main__``; return its exit code.

    Any other exception than SystemExit passes, for the interpreter to print.
    """
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    gc.set_threshold(GC_THRESHOLD)
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as exc:
        if isinstance(exc.code, str):
            raise
        return exc.code or 0
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The module has closed what it opened. Taking the interpreter down piece by piece
    # would take each peer another 0.3 s of a core (measured on the 2-core machine).
    os._exit(code)
