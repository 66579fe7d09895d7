"""The foreign span processors of a provider, and their end, also when nobody asks."""

import atexit
import threading
import weakref
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, final

from zerostate.telemetry.locks import ForkSafeLock

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from zerostate.telemetry.recorder.core import RecorderCore

EXIT_TIMEOUT_S: Final = 5.0
"""Longest that all processors together hold up the end of a program that did not shut
down, in seconds: somebody may be waiting for its prompt."""


@final
class Processors:
    """What was added to one provider.

    Processors that nobody shuts down are shut down when the interpreter exits, if there
    still is a tracer or a span of the provider. None is shut down twice.
    """

    def __init__(self, core: "RecorderCore") -> None:
        self._core: Final = core
        self._lock: Final = ForkSafeLock()
        self._at_exit: Callable[[], None] | None = None

    def add(self, processor: "SpanProcessor") -> None:
        """Show `processor` the spans that start from now on."""
        with self._lock:
            self._core.processors += (processor,)
            if self._at_exit is None:
                self._at_exit = _exit_hook(weakref.ref(self._core))
                atexit.register(self._at_exit)

    def force_flush(self, timeout_s: float) -> bool:
        """Make all hand over what has ended; True if they did within `timeout_s`."""
        timeout_ms = int(timeout_s * 1000)
        flushes = [_flush(one, timeout_ms) for one in self._core.processors]
        return _run_all(self._core, flushes, timeout_s)

    def shutdown(self, timeout_s: float) -> bool:
        """Stop all, for good; True if they did within `timeout_s`."""
        with self._lock:
            if self._at_exit is not None:
                atexit.unregister(self._at_exit)
                self._at_exit = None
        return _stop_all(self._core, timeout_s)


def _exit_hook(core: "weakref.ref[RecorderCore]") -> Callable[[], None]:
    # Of the core, since that lives as long as anything that makes or holds spans.
    def at_exit() -> None:
        alive = core()
        if alive is not None:
            _stop_all(alive, EXIT_TIMEOUT_S)

    return at_exit


def _stop_all(core: "RecorderCore", timeout_s: float) -> bool:
    # No call in between: of two threads, or of a thread and the exit, one has them.
    processors, core.processors = core.processors, ()
    return _run_all(core, [_shutdown(one) for one in processors], timeout_s)


# Attributes of foreign objects are looked up in the thread too.


def _flush(processor: "SpanProcessor", timeout_ms: int) -> Callable[[], object]:
    return lambda: processor.force_flush(timeout_ms)


def _shutdown(processor: "SpanProcessor") -> Callable[[], object]:
    return lambda: processor.shutdown()  # noqa: PLW0108  # see above


def _run_all(
    core: "RecorderCore", works: Sequence[Callable[[], object]], timeout_s: float
) -> bool:
    """Run `works` at the same time, so that one that hangs takes no time from others.

    The SDK's own processors do not keep their timeouts (opentelemetry-python #4568), so
    that the wait is bounded here; daemon threads may go on after it.

    Returns:
        True if all were done within `timeout_s`, and none raised or returned False.
    """
    deadline_s = monotonic() + timeout_s
    runs = [_Run(core, work) for work in works]
    done = [run.is_done(deadline_s) for run in runs]
    return all(done)


@final
class _Run:
    """Foreign code in a thread of its own."""

    def __init__(self, core: "RecorderCore", work: Callable[[], object]) -> None:
        self._core: Final = core
        self._work: Final = work
        self._is_done = False
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="zerostate-processor", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as exc:  # no more threads, or the interpreter is ending
            self._thread = None
            core.once.failed(exc, "thread", "telemetry: a processor gets no thread")

    def _run(self) -> None:
        try:
            self._is_done = self._work() is not False
        except Exception as exc:  # noqa: BLE001  # top of a thread; foreign code; logged
            self._core.once.failed(exc, "processor", "telemetry: a processor raised")

    def is_done(self, deadline_s: float) -> bool:
        """Wait until `deadline_s` by the monotonic clock; True if it was done."""
        if self._thread is not None:
            self._thread.join(max(0.0, deadline_s - monotonic()))
        return self._is_done
