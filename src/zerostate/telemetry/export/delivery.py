"""One destination's own queue, thread and retries."""

import threading
from collections import deque
from collections.abc import Callable
from logging import Logger
from typing import Final, final

from zerostate.clock import Clock
from zerostate.errors import ConfigError
from zerostate.telemetry.export.account import DestinationAccount
from zerostate.telemetry.export.batch import (
    Batch,
    Delivered,
    Outcome,
    Refused,
    Retryable,
    Transport,
)
from zerostate.telemetry.export.destination import DestinationConfig
from zerostate.telemetry.export.overflow import Overflow
from zerostate.telemetry.export.quiet_log import QuietLog
from zerostate.telemetry.export.seconds import MAX_WAIT_S
from zerostate.telemetry.export.snapshot import DropReason
from zerostate.units import NS_PER_S

DRAIN_ATTEMPTS: Final = 3
"""Failures in a row after which a shutdown stops trying: a program whose receiver is
gone should end within seconds, whatever its timeout."""

_AFTER_FAULT_S: Final = 5.0
"""Wait, in seconds, after a bug of ours, so that it cannot keep a core busy."""

_DISK_RETRY_S: Final = 5.0
"""Wait, in seconds, before a spool that could not be read is tried again."""

_LEAST_TIMEOUT_S: Final = 0.001
"""An attempt gets this long, in seconds, even if the time is up."""


@final
class Delivery:
    """Sends encoded batches to one destination, in the order in which they came.

    `offer`, `hurry`, `drain`, `abandon` and `wait_for` are for other threads; `step` is
    the work of its own, which a test may do instead.
    """

    def __init__(
        self,
        config: DestinationConfig,
        account: DestinationAccount,
        *,
        clock: Clock,
        logger: Logger,
        jitter: Callable[[], float],
    ) -> None:
        """Open transport and spool.

        Raises:
            ConfigError: One of them cannot be used as configured.
        """
        self._config = config
        self._account = account
        self._clock = clock
        self._logger = logger
        self._quiet = QuietLog(logger, clock)
        self._jitter = jitter
        self._transport: Transport | None = config.target.open()
        self._overflow = Overflow(config, account, self._quiet)
        self._reset()

    def _reset(self) -> None:
        self.changed = threading.Condition()
        self._pending: deque[Batch] = deque()
        self._pending_bytes = 0
        self._current: Batch | None = None
        self._offered = 0
        self._failures = 0
        self._not_before_ns = 0
        self._was_told_to_wait = False
        self._is_hurried = False
        self._is_spool_next = False
        self._drain_until_ns: int | None = None
        self._drain_failures = 0
        self._is_woken = False
        self.is_stopped = False

    @property
    def name(self) -> str:
        """The destination's name."""
        return self._config.name

    @property
    def has_spool(self) -> bool:
        """Whether batches can go to disk."""
        return self._config.spool is not None

    @property
    def has_backlog(self) -> bool:
        """Whether an earlier process left batches on disk."""
        return self._overflow.has_entries

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in memory."""
        with self.changed:
            return self._current is None and not self._pending

    def offer(self, payload: bytes, spans: int) -> None:
        """Take a batch that the ledger has as queued here.

        Never blocks on the network; without room in memory, writes to the spool.
        """
        size = len(payload)
        with self.changed:
            self._offered += 1
            batch = Batch(payload, spans, self._offered)
            if self.is_stopped:
                self._account.dropped(batch, DropReason.SHUTDOWN)
                return
            has_room = self._pending_bytes + size <= self._config.max_pending_bytes
            if has_room:
                self._pending.append(batch)
                self._hold(size)
                self._wake()
                return
        self._overflow.save_or_drop(batch, DropReason.BYTES_FULL)

    def _hold(self, change_bytes: int) -> None:
        self._pending_bytes += change_bytes
        self._account.holds_bytes(change_bytes)

    def _wake(self) -> None:
        self._is_woken = True
        self.changed.notify_all()

    def run(self) -> None:
        """Work until stopped: the body of the destination's thread."""
        while not self.is_stopped:
            try:
                wait_s = self.step()
            except Exception:  # top of a thread: telemetry must not break its program
                self._logger.exception("telemetry: %s: export failed", self.name)
                wait_s = _AFTER_FAULT_S
                if self._current is not None:
                    self._drop(self._current, DropReason.INTERNAL)
            with self.changed:
                if wait_s != 0 and not self._is_woken and not self.is_stopped:
                    self.changed.wait(wait_s)
                self._is_woken = False

    def step(self) -> float | None:
        """Do what there is to do now.

        Returns:
            Seconds until there is more: 0 at once, None when something is offered.
        """
        batch = self._take()
        if batch is None:
            return self._rest()
        wait_s = self._wait_s()
        if wait_s > 0:
            until_ns = self._drain_until_ns
            if until_ns is not None and self._not_before_ns >= until_ns:
                self.abandon()
                return 0
            return wait_s
        self._is_hurried = False
        self._settle(batch, self._attempt(batch))
        return 0

    def _take(self) -> Batch | None:
        with self.changed:
            if self._current is not None or self.is_stopped:
                return self._current
            is_draining = self._drain_until_ns is not None
            if is_draining or not self._is_spool_next:
                self._take_pending()
            if self._has_current() or is_draining:
                return self._current
        return self._take_from_disk()

    def _take_from_disk(self) -> Batch | None:
        loaded = self._overflow.load()
        with self.changed:
            self._is_spool_next = False
            if loaded is None:
                self._take_pending()
            elif self.is_stopped:
                self._overflow.keep(loaded)
            else:
                self._current = loaded
            return self._current

    def _take_pending(self) -> None:
        if self._pending:
            self._current = self._pending.popleft()

    def _has_current(self) -> bool:
        return self._current is not None

    def _rest(self) -> float | None:
        if self._drain_until_ns is not None:
            self._overflow.forget_missing()  # the last word of the books is true
        with self.changed:
            if self._drain_until_ns is not None and not self._pending:
                self.is_stopped = True
            self.changed.notify_all()
        return _DISK_RETRY_S if self._overflow.has_entries else None

    def _wait_s(self) -> float:
        if self._is_hurried and not self._was_told_to_wait:
            return 0
        return (self._not_before_ns - self._clock.monotonic_ns()) / NS_PER_S

    def _open(self) -> Transport | None:
        if self._transport is None:
            try:
                self._transport = self._config.target.open()
            except ConfigError as error:
                self._quiet.warning("config", "telemetry: %s: %s", self.name, error)
        return self._transport

    def _attempt(self, batch: Batch) -> Outcome:
        began_ns = self._clock.monotonic_ns()
        if batch.first_attempt_ns is None:
            batch.first_attempt_ns = began_ns
        transport = self._open()
        if transport is None:
            return Retryable("config")
        self._account.sending(batch)
        try:
            if batch.body is None:
                batch.body = transport.prepare(batch.payload)
        except ValueError as error:
            return Refused("encoding", str(error))
        outcome = transport.send(batch.body, self._timeout_s())
        took_s = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
        error_type = "" if isinstance(outcome, Delivered) else outcome.error_type
        self._account.took(took_s, error_type)
        return outcome

    def _timeout_s(self) -> float:
        until_ns = self._drain_until_ns
        timeout_s = min(self._config.timeout_s, MAX_WAIT_S)
        if until_ns is None:
            return timeout_s
        left_s = (until_ns - self._clock.monotonic_ns()) / NS_PER_S
        return min(timeout_s, max(left_s, _LEAST_TIMEOUT_S))

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        if isinstance(outcome, Retryable):
            self._failed(batch, outcome)
            return
        if isinstance(outcome, Refused):
            self._report_failure(outcome)
            self._drop(batch, DropReason.REFUSED)
            return
        if self._failures:
            self._logger.info("telemetry: %s takes spans again", self.name)
        if outcome.message:
            self._quiet.warning(
                "partial", "telemetry: %s: %s", self.name, outcome.message
            )
        self._failures = self._drain_failures = 0
        self._not_before_ns = 0
        self._is_spool_next = batch.entry is None
        if self._account.exported(batch, outcome.rejected_spans):
            self._overflow.done(batch)
        self._let_go(batch)

    def _drop(self, batch: Batch, reason: DropReason) -> None:
        if self._account.dropped(batch, reason):
            self._overflow.done(batch)
        self._let_go(batch)

    def _failed(self, batch: Batch, outcome: Retryable) -> None:
        self._report_failure(outcome)
        self._failures += 1
        told_s = outcome.retry_after_s
        wait_s = self._config.retry.wait_s(self._failures, self._jitter())
        if told_s is not None:
            wait_s = max(wait_s, told_s)
        now_ns = self._clock.monotonic_ns()
        self._not_before_ns = now_ns + round(wait_s * NS_PER_S)
        self._was_told_to_wait = told_s is not None
        if self._drain_until_ns is not None:
            self._drain_failures += 1
            if self._drain_failures >= DRAIN_ATTEMPTS:
                self.abandon()
            return
        first_ns = now_ns if batch.first_attempt_ns is None else batch.first_attempt_ns
        elapsed_s = (self._not_before_ns - first_ns) / NS_PER_S
        # What is on disk already stays there, and is tried for as long as it takes.
        if batch.entry is None and elapsed_s > self._config.retry.max_elapsed_s:
            self._overflow.save_or_drop(batch, DropReason.GAVE_UP)
            self._let_go(batch)

    def _report_failure(self, outcome: Retryable | Refused) -> None:
        if self._failures == 0:
            self._quiet.warning(
                outcome.error_type,
                "telemetry: %s does not take spans: %s",
                self.name,
                outcome.message or outcome.error_type,
            )

    def _let_go(self, batch: Batch) -> None:
        with self.changed:
            if self._current is batch:
                self._current = None
                if batch.entry is None:
                    self._hold(-len(batch.payload))
            self.changed.notify_all()

    def mark(self) -> int:
        """Return the number of the batch offered last, for `wait_for`."""
        with self.changed:
            return self._offered

    def hurry(self) -> None:
        """Do not wait for the next attempt, unless the receiver asked for the wait."""
        with self.changed:
            self._is_hurried = True
            self._wake()

    def wait_for(self, mark: int, timeout_s: float) -> bool:
        """Wait until no batch up to `mark` is in memory; False if that takes longer."""
        with self.changed:
            return self.changed.wait_for(lambda: self._is_past(mark), timeout_s)

    def _is_past(self, mark: int) -> bool:
        if self.is_stopped:
            return True
        current = self._current
        if current is not None and current.entry is None and current.number <= mark:
            return False
        return not self._pending or self._pending[0].number > mark

    def drain(self, until_ns: int) -> None:
        """Send what is in memory, then stop.

        Args:
            until_ns: When, on the monotonic clock, attempts must have ended.
        """
        with self.changed:
            self._drain_until_ns = until_ns
            self._drain_failures = 0
            self._is_hurried = True
            self._wake()

    def abandon(self) -> None:
        """Stop now: what is in memory goes to the spool, or is lost and counted.

        An attempt under way is broken off; whether it succeeded is not known, and it
        counts as not delivered.
        """
        with self.changed:
            self.is_stopped = True
            left = [self._current] if self._current is not None else []
            left += self._pending
            self._pending.clear()
            self._current = None
            self._hold(-self._pending_bytes)
            self.changed.notify_all()
        for batch in left:
            if batch.entry is None:
                self._overflow.save_or_drop(batch, DropReason.SHUTDOWN)
            else:
                self._overflow.keep(batch)
        transport = self._transport
        if transport is not None:
            transport.abort()

    def close(self) -> None:
        """Release connection and spool, once nothing is sent any more."""
        if self._transport is not None:
            self._transport.close()
        self._overflow.close()

    def after_fork(self) -> None:
        """Start anew, in a forked child: what the parent holds is the parent's."""
        if self._transport is not None:
            self._transport.leave_to_parent()
            self._transport = None
        self._overflow.after_fork()
        self._reset()
