"""One thread that stops whatever runs too long, instead of one for each run."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Final, final


@final
class Watchdog:
    """Calls back when a block takes too long; one block at a time.

    The thread starts with the first block and lives as long as the process. It is woken
    only for a block that ends sooner than it would look up anyway, so that blocks which
    end in time cost a lock each.
    """

    def __init__(self) -> None:
        self._condition = Condition()
        self._is_started = False
        self._looks_up_at = math.inf
        self._deadline = math.inf
        self._on_passed: Callable[[], None] | None = None

    @contextmanager
    def guard(self, seconds: float, on_passed: Callable[[], None]) -> Iterator[None]:
        """Call `on_passed`, from the thread, if the block takes more than `seconds`.

        Once the block is left, it is not called any more.
        """
        self._arm(time.monotonic() + seconds, on_passed)
        try:
            yield
        finally:
            with self._condition:
                self._deadline = math.inf
                self._on_passed = None

    def _arm(self, deadline: float, on_passed: Callable[[], None]) -> None:
        with self._condition:
            if not self._is_started:
                self._is_started = True
                Thread(target=self._watch, name="deadline", daemon=True).start()
            self._deadline = deadline
            self._on_passed = on_passed
            if deadline < self._looks_up_at:
                self._condition.notify()

    def _watch(self) -> None:
        with self._condition:
            while True:
                self._looks_up_at = self._deadline
                left_s = self._deadline - time.monotonic()
                if left_s > 0:
                    self._condition.wait(None if left_s == math.inf else left_s)
                    continue
                self._deadline = math.inf
                if self._on_passed is not None:
                    self._on_passed()


WATCHDOG: Final = Watchdog()
"""The one of this process, which runs one module at a time."""
