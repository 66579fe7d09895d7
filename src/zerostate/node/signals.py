"""Ending a long-running process by SIGTERM or SIGINT, in bounded time."""

import gc
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import trio

DRAIN_S: Final = 5.0
"""A process that was told to end has ended after this, in seconds."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_logger: Final = logging.getLogger("zerostate.node")


@contextmanager
def cancel_on_signal(scope: trio.CancelScope) -> Iterator[None]:
    """Cancel `scope` on SIGTERM or SIGINT while the block runs, in the main thread.

    After the first signal the process has `DRAIN_S` to end. Further ones are logged,
    and ignored once the block is left, from where on garbage is not collected any more
    of what there is then. Without one, all is as before then.
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
        if is_told:
            # Python looks for garbage in all that was ever loaded before it ends:
            # 0.3 s of a core, which on a busy machine outlasts the alarm.
            gc.freeze()
