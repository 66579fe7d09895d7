"""A node as the work of its process: until a signal ends it."""

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Final

import trio

from zerostate.node import app
from zerostate.node.config import NodeConfig
from zerostate.node.signals import cancel_on_signal

_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal to get when the parent dies."""


def run_until_signalled(
    config: NodeConfig, on_ready: Callable[[app.Ready], None]
) -> None:
    """Run one peer until SIGTERM or SIGINT; must be called in the main thread.

    Further ones change nothing, not even after the return: the process is then to end
    by itself, and `zerostate.node.signals.DRAIN_S` after the first signal it is gone in any case.

    Args:
        config: Its settings.
        on_ready: Called once it can be used; must be quick.

    Raises:
        ZeroStateError: It cannot start, or cannot go on; possibly in a group.
    """
    trio.run(_run, config, on_ready)


def die_with_parent(parent_pid: int) -> None:
    """End this process, by SIGTERM, when the one that started it ends (Linux).

    Args:
        parent_pid: The parent as it was at this process's start.

    Raises:
        SystemExit: The parent has ended already.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        # The parent died before the line above; nobody would tell us any more.
        raise SystemExit(1)


def ready_facts(config: NodeConfig, ready: app.Ready) -> dict[str, object]:
    """Return what others need to know of a node that can be used, as JSON."""
    return {
        "pid": os.getpid(),
        "peer_id": ready.peers.peer_id,
        "addresses": list(ready.peers.addresses),
        "control": str(config.control_socket),
        "ops": ready.ops_url,
    }


async def _run(config: NodeConfig, on_ready: Callable[[app.Ready], None]) -> None:
    async def tell_ready(ready: app.Ready) -> None:
        on_ready(ready)

    with trio.CancelScope() as scope, cancel_on_signal(scope):
        await app.run(config, tell_ready)
