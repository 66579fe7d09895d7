"""A node as the work of its process: until a signal ends it."""

import ctypes
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import trio

from zerostate.node import app
from zerostate.node.config import NodeConfig

DRAIN_S: Final = 5.0
"""A node that was told to end has ended after this, in seconds."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal to get when the parent dies."""

_logger: Final = logging.getLogger("zerostate.node")


def run_until_signalled(
    config: NodeConfig, on_ready: Callable[[app.Ready], None]
) -> None:
    """Run one peer until SIGTERM or SIGINT; must be called in the main thread.

    Further ones change nothing, not even after the return: the process is then to end
    by itself, and `DRAIN_S` after the first signal it is gone in any case.

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


@contextmanager
def cancel_on_signal(scope: trio.CancelScope) -> Iterator[None]:
    """Cancel `scope` on SIGTERM or SIGINT while the block runs, in the main thread.

    After the first signal the process has `DRAIN_S` to end. Further ones are logged,
    and ignored once the block is left. Without one, all is as before then.
    """
    soon = trio.lowlevel.current_trio_token().run_sync_soon
    is_told = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_told
        if is_told:
            soon(_logger.warning, "already ending; it takes %g s at most", DRAIN_S)
            return
        is_told = True
        # What cannot be cancelled (a thread, a closing socket) must not keep the
        # process: the alarm's default action ends it.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, DRAIN_S)
        soon(scope.cancel)

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            # Python gives signals their default action, which kills, in the middle of
            # its own end; only those that are ignored it leaves alone.
            signal.signal(number, signal.SIG_IGN if is_told else handler)
