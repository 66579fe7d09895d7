"""Runs a module of ours as a process that dies with the one that started it.

``python -m zerostate.cli.child MODULE [ARGUMENT ...]``
"""

import ctypes
import os
import runpy
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
"""``prctl`` option: the signal to get when the parent dies (linux/prctl.h)."""

PARENT_VARIABLE: Final = "ZEROSTATE_PARENT_PID"
"""Environment variable with the pid of the process that starts this one."""


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process as soon as its parent has died.

    Also after ``kill -9`` of the parent, which leaves it no chance to clean up. Linux
    only; the parent is the thread that forked, so that has to be a lasting one.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        # It died before the request above was in force.
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run the module named on the command line as ``__main__``."""
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
