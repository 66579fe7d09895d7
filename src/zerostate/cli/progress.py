"""Tells the person who waits what goes on, on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, final

from zerostate.cli.failures import Failure, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


@final
class Progress:
    """One line for each step, with the seconds since the start before it.

    On a terminal a spinner stands below for what is going on now. Standard output is
    never touched: it is for the result. Nothing here fails when nobody reads.
    """

    def __init__(self) -> None:
        self._start_s: Final = time.monotonic()
        self._console: Console | None = None
        self._status: Status | None = None

    def step(self, text: str, *, elapsed_s: float | None = None) -> None:
        """Tell of something done, `elapsed_s` after a start that the caller knows."""
        if elapsed_s is None:
            elapsed_s = time.monotonic() - self._start_s
        self.line(f"{elapsed_s:6.2f} s  {one_line(text)}")

    def line(self, text: str) -> None:
        """Write a line as it is."""
        try:
            if self._console is not None:
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=sys.stderr, flush=True)
        except OSError:
            return

    def doing(self, text: str) -> None:
        """Say what is going on now; shown on a terminal only."""
        if self._status is not None:
            self._status.update(one_line(text))

    def tell_failure(self, failure: Failure) -> None:
        """Write the error, and the hint if there is one."""
        for text in failure.lines():
            self.line(text)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the spinner while the block runs, where there is a terminal."""
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console  # noqa: PLC0415  # only for a terminal

        self._console = Console(stderr=True)
        self._status = self._console.status("")
        self._status.start()
        try:
            yield
        finally:
            self._status.stop()
            self._status = self._console = None
