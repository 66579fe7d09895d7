"""From an ended span to every destination."""

import atexit
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging import Logger
from typing import Any, Final, Generic, TypeVar, cast, final

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,
    attach,
    set_value,
)

from zerostate.clock import Clock, SystemClock
from zerostate.errors import ConfigError
from zerostate.telemetry.export.batch import BatchLimits, Encoded
from zerostate.telemetry.export.delivery import Delivery
from zerostate.telemetry.export.destination import DestinationConfig
from zerostate.telemetry.export.drop_report import DropReport
from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.telemetry.export.retry import random_ratio
from zerostate.telemetry.export.seconds import (
    MAX_WAIT_S,
    is_seconds,
    is_some_seconds,
    wait_s,
)
from zerostate.telemetry.export.snapshot import DropReason
from zerostate.units import NS_PER_S

DEFAULT_TIMEOUT_S: Final = 30.0
"""Longest a flush or shutdown takes, in seconds, where the caller does not say."""

DEFAULT_EXIT_TIMEOUT_S: Final = 5.0
"""Longest a program's end is held up, in seconds."""

_SPOOL_SHARE: Final = 0.2
"""Of a shutdown's timeout, what is kept for writing to the spool."""

_MAX_SPOOL_S: Final = 1.0
"""At most this long, in seconds."""

_NEVER: Final = 1 << 62
"""More spans than any queue holds."""

_FIRST: Final = 100
"""Of multiprocessing's finalisers, the highest priority runs first."""

SpanT = TypeVar("SpanT")


@final
class ExportPipeline(Generic[SpanT]):
    """Gathers ended spans, encodes them once, delivers them to each destination.

    One daemon thread encodes, one more a destination delivers; all start with the
    first span. `put` may be called from any thread, a signal handler or a finaliser.
    Survives a fork: the child begins empty, with threads of its own.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[SpanT]], Encoded],
        destinations: Sequence[DestinationConfig],
        batch: BatchLimits,
        ledger: SpanLedger,
        logger: Logger,
        *,
        exit_timeout_s: float = DEFAULT_EXIT_TIMEOUT_S,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random_ratio,
    ) -> None:
        """Open the destinations.

        Args:
            encode: Called on the encoder's thread, with at most one batch of spans.
            destinations: At least one, with different names.
            batch: Sizes and delay.
            ledger: Counts; its ``ended`` is to be called before each `put`.
            logger: Where the pipeline speaks of itself.
            exit_timeout_s: Longest the end of the program is held up, in seconds.
            clock: Of waits between attempts; a test may own it.
            jitter: Ratio by which waits are spread; a test may own it.

        Raises:
            ConfigError: A destination cannot be used as configured.
        """
        if not destinations:
            raise ConfigError("destinations: none; give at least one")
        names = [config.name for config in destinations]
        if len(set(names)) < len(names):
            raise ConfigError(f"destinations: a name occurs twice in {names}")
        if not is_some_seconds(batch.delay_s):
            raise ConfigError(f"batch.delay_s: {batch.delay_s} is not above 0")
        if not is_seconds(exit_timeout_s):
            raise ConfigError(f"exit_timeout_s: {exit_timeout_s} is not 0 or above")
        self._encode = encode
        self._clock = clock or SystemClock()
        self._ledger = ledger
        self._logger = logger
        self._exit_timeout_s = wait_s(exit_timeout_s, DEFAULT_EXIT_TIMEOUT_S)
        self._max_batch = batch.max_batch_spans
        self._delay_s = min(batch.delay_s, MAX_WAIT_S)
        self._max_request_bytes = min(c.max_request_bytes for c in destinations)
        self._queue: deque[SpanT] = deque()
        ledger.watch(cast("deque[object]", self._queue), batch.max_queue_spans)
        self._deliveries = [
            Delivery(
                config,
                ledger.account(
                    config.name, config.target.component_type, config.target.server
                ),
                clock=self._clock,
                logger=logger,
                jitter=jitter,
            )
            for config in destinations
        ]
        self._report = DropReport(ledger, self._clock, logger)
        self._capacity = batch.max_queue_spans
        self._shutdown_lock = threading.Lock()
        self._is_shut_down = False
        self._is_handed_over = True
        self._reset()
        _PIPELINES.add(self)
        self._at_exit = _exit_hook(weakref.ref(self))
        atexit.register(self._at_exit)
        if any(delivery.has_backlog for delivery in self._deliveries):
            self._start()

    def _reset(self) -> None:
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._gate = threading.Lock()
        self._gate.acquire()
        self._flushed = threading.Condition()
        self._flush_asked = 0
        self._flush_done = 0
        self._is_closing = False
        # The queue's length from which `put` calls for attention: at once while there
        # is no thread, then when a batch is full, and not again until it was taken.
        self._attention = 0

    def put(self, span: SpanT) -> None:
        """Take an ended span. Never raises, never blocks; what is not taken is counted.

        The queue's bound may be exceeded by one span for each other thread that puts at
        the same moment.
        """
        queue = self._queue
        length = len(queue)
        if length < self._capacity:
            queue.append(span)
            if length >= self._attention:
                self._call_for_attention(length + 1)
        else:
            self._refuse()

    def _refuse(self) -> None:
        if self._is_shut_down:
            self._ledger.came_after_shutdown()
            return
        self._ledger.queue_was_full()
        if not self._threads:
            self._start()

    def _call_for_attention(self, length: int) -> None:
        if not self._threads:
            self._start()
        if length >= self._max_batch:
            self._attention = _NEVER
            self._open_gate()

    def _open_gate(self) -> None:
        # A bare lock, not a condition: releasing it cannot deadlock with itself when a
        # signal handler or finaliser ends a span in the middle of another's end.
        with suppress(RuntimeError):  # it is open already
            self._gate.release()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._threads:
                return
            self._attention = self._max_batch - 1
            works = [("encode", self._run)]
            works += [(delivery.name, delivery.run) for delivery in self._deliveries]
            threads = [
                threading.Thread(
                    target=_suppressed, args=(w,), name=f"zerostate-{n}", daemon=True
                )
                for n, w in works
            ]
            for thread in threads:
                thread.start()
            self._threads = threads
            self._leave_with_multiprocessing()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._logger.warning("telemetry: cannot start exporting: %s", error)
        finally:
            self._starting.release()

    def _leave_with_multiprocessing(self) -> None:
        # A child of multiprocessing ends without running what atexit has.
        process = sys.modules.get("multiprocessing.process")
        util = sys.modules.get("multiprocessing.util")
        if process and util and process.parent_process() is not None:
            util.Finalize(None, self._at_exit, exitpriority=_FIRST)

    def _run(self) -> None:
        is_running = True
        while is_running:
            try:
                was_called = self._gate.acquire(timeout=self._delay_s)
                # Read before the work: a shutdown asked for after it has its turn.
                is_running = not self._is_closing
                self._cycle(is_due=not was_called or not is_running)
            except Exception:  # top of a thread: telemetry must not break its program
                self._logger.exception("telemetry: encoding failed")

    def _cycle(self, *, is_due: bool) -> None:
        ticket = self._flush_asked
        self._attention = self._max_batch - 1
        queue = self._queue
        is_flush = ticket > self._flush_done
        left = len(queue) if is_due or is_flush else 0
        while left > 0 or len(queue) >= self._max_batch:
            taken = self._export_batch()
            if not taken:
                break
            left -= taken
        if is_flush:
            with self._flushed:
                self._flush_done = ticket
                self._flushed.notify_all()
        self._report.report()

    def _export_batch(self) -> int:
        spans = cast("list[SpanT]", self._ledger.take(self._max_batch))
        if spans:
            self._export(spans)
        return len(spans)

    def _export(self, spans: Sequence[SpanT]) -> None:
        try:
            payload, skipped = self._encode(spans)
        except Exception:  # foreign code on our thread: logged, and counted as drops
            self._logger.exception("telemetry: %d spans not encoded", len(spans))
            self._ledger.not_encoded(len(spans), DropReason.ENCODING)
            return
        if len(payload) > self._max_request_bytes:
            self._export_halves(spans)
            return
        if skipped:
            self._ledger.not_encoded(skipped, DropReason.ENCODING)
        good = len(spans) - skipped
        if good > 0:
            self._ledger.encoded(good)
            for delivery in self._deliveries:
                delivery.offer(payload, good)

    def _export_halves(self, spans: Sequence[SpanT]) -> None:
        middle = len(spans) // 2
        if middle == 0:
            self._ledger.not_encoded(1, DropReason.TOO_LARGE)
            return
        self._export(spans[:middle])
        self._export(spans[middle:])

    def force_flush(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Hand over what has ended so far.

        Waits that a failure caused are cut short, those a receiver asked for are not.
        Never raises: at most `MAX_WAIT_S` are waited, and `DEFAULT_TIMEOUT_S` where
        `timeout_s` is no number.

        Returns:
            True if every destination took all of it within `timeout_s` seconds; False
            if spans are still on the way, or were spooled or dropped meanwhile.
        """
        if self._is_shut_down:
            return self._is_handed_over
        if not self._threads:
            return not self._queue
        until_ns = self._after_ns(wait_s(timeout_s, DEFAULT_TIMEOUT_S))
        lost = self._ledger.lost_or_spooled()
        if not self._flush_queue(until_ns):
            return False
        return self._flush_deliveries(until_ns) and (
            self._ledger.lost_or_spooled() == lost
        )

    def _flush_queue(self, until_ns: int) -> bool:
        with self._flushed:
            self._flush_asked += 1
            ticket = self._flush_asked
            self._open_gate()
            return self._flushed.wait_for(
                lambda: self._flush_done >= ticket, self._left_s(until_ns)
            )

    def _flush_deliveries(self, until_ns: int) -> bool:
        marks = [(delivery, delivery.mark()) for delivery in self._deliveries]
        for delivery, _ in marks:
            delivery.hurry()
        return all(
            delivery.wait_for(mark, self._left_s(until_ns)) for delivery, mark in marks
        )

    def _left_s(self, until_ns: int) -> float:
        return max((until_ns - self._clock.monotonic_ns()) / NS_PER_S, 0.0)

    def _after_ns(self, timeout_s: float) -> int:
        return self._clock.monotonic_ns() + round(timeout_s * NS_PER_S)

    def shutdown(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Hand over what is left, and stop. Safe to call twice, and from any thread.

        A receiver that is gone is tried a few times, not for the whole of `timeout_s`.
        What it did not take goes to the spool, or is lost and counted. Later spans are
        counted as dropped. `timeout_s` is taken as by `force_flush`.

        Returns:
            True if every destination took all of it within `timeout_s` seconds.
        """
        with self._shutdown_lock:
            if self._is_shut_down:
                return self._is_handed_over
            self._is_shut_down = True
            self._is_handed_over = False
        self._capacity = 0
        atexit.unregister(self._at_exit)
        lost = self._ledger.lost_or_spooled()
        total_s = wait_s(timeout_s, DEFAULT_TIMEOUT_S)
        is_done = self._drain(self._after_ns(total_s), total_s)
        self._ledger.close()
        self._report.report(is_last=True)
        self._is_handed_over = is_done and self._ledger.lost_or_spooled() == lost
        return self._is_handed_over

    def _drain(self, until_ns: int, timeout_s: float) -> bool:
        keeps_s = 0.0
        if any(delivery.has_spool for delivery in self._deliveries):
            keeps_s = min(timeout_s * _SPOOL_SHARE, _MAX_SPOOL_S)
        drain_ns = until_ns - round(keeps_s * NS_PER_S)
        is_encoded = not self._queue
        if self._threads:
            encoder, *deliverers = self._threads
            self._is_closing = True
            for delivery in self._deliveries:
                delivery.hurry()
            self._open_gate()
            encoder.join(self._left_s(drain_ns))
            is_encoded = not encoder.is_alive()
            for delivery in self._deliveries:
                delivery.drain(drain_ns)
            for thread in deliverers:
                thread.join(self._left_s(drain_ns))
        is_sent = all(delivery.is_empty for delivery in self._deliveries)
        self._abandon(until_ns)
        return is_encoded and is_sent

    def _abandon(self, until_ns: int) -> None:
        """Stop all that has not stopped by itself, within the time that is left."""
        late = [delivery for delivery in self._deliveries if not delivery.is_stopped]
        if any(d.has_spool and not d.is_empty for d in late):
            # A disk can hang: not on the thread that must come back in time.
            work = threading.Thread(
                target=_abandon_all, args=(late,), name="zerostate-abandon", daemon=True
            )
            try:
                work.start()
            except RuntimeError:  # the interpreter is ending
                _abandon_all(late)
            else:
                work.join(self._left_s(until_ns))
                if work.is_alive():
                    return
        else:
            _abandon_all(late)
        for delivery in self._deliveries:
            delivery.close()

    def _after_fork(self) -> None:
        self._ledger.after_fork()
        for delivery in self._deliveries:
            delivery.after_fork()
        self._report.after_fork()
        self._shutdown_lock = threading.Lock()
        self._reset()

    def exit(self) -> None:
        """Shut down within the time that the end of a program may take."""
        self.shutdown(self._exit_timeout_s)


def _abandon_all(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        delivery.abandon()


def _suppressed(work: Callable[[], None]) -> None:
    # For the whole of the thread: an export that is traced makes more to export.
    attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    work()


def _exit_hook(pipeline: "weakref.ref[ExportPipeline[SpanT]]") -> Callable[[], None]:
    def leave() -> None:
        if (alive := pipeline()) is not None:
            alive.exit()

    return leave


_PIPELINES: Final["weakref.WeakSet[ExportPipeline[Any]]"] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for pipeline in list(_PIPELINES):
        pipeline._after_fork()  # noqa: SLF001  # the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
