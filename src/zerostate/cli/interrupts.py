"""Being told to stop: Ctrl-C, SIGTERM, a closed terminal, a closed pipe."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, final

from zerostate.cli.failures import Failure

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@final
class StopRequest:
    """Whether we were told to stop, and by what."""

    def __init__(
        self, on_first: Callable[[], None], on_second: Callable[[], None]
    ) -> None:
        self._on_first = on_first
        self._on_second = on_second
        self.reason: Failure | None = None

    def by_signal(self, number: signal.Signals) -> None:
        """Note a signal: the first begins the end, a second one forces it."""
        if self.reason is not None:
            self._on_second()
            return
        if number is signal.SIGINT:
            self.reason = Failure("interrupted", "interrupted")
        else:
            self.reason = Failure("terminated", f"ended by {number.name}")
        self._on_first()

    def by_closed_output(self) -> None:
        """Note that nobody reads our standard output any more."""
        if self.reason is None:
            self.reason = Failure("terminated", "standard output was closed")
            self._on_first()


@contextmanager
def stop_requests(
    on_first: Callable[[], None], on_second: Callable[[], None]
) -> Iterator[StopRequest]:
    """Call back on signals while the block runs; needs the running event loop.

    Args:
        on_first: Begins an orderly end.
        on_second: Called for each further signal; ends everything at once.
    """
    loop = asyncio.get_running_loop()
    request = StopRequest(on_first, on_second)
    for number in _SIGNALS:
        loop.add_signal_handler(number, request.by_signal, number)
    watched = _watch_output(loop, request)
    try:
        yield request
    finally:
        if watched is not None:
            loop.remove_reader(watched)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _watch_output(loop: asyncio.AbstractEventLoop, request: StopRequest) -> int | None:
    """Learn of it when the reader of our output goes away; None if it is no pipe."""
    try:
        descriptor = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return None
    except (OSError, ValueError):
        return None

    def closed() -> None:
        loop.remove_reader(descriptor)
        request.by_closed_output()

    # The writing end of a pipe polls as readable when its reader has gone.
    loop.add_reader(descriptor, closed)
    return descriptor
