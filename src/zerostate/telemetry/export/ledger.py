"""Exact counts of what became of every span."""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, final

from zerostate.telemetry.export import metrics
from zerostate.telemetry.export.account import DestinationAccount
from zerostate.telemetry.export.metrics import MetricPoint
from zerostate.telemetry.export.snapshot import DropReason, LedgerSnapshot
from zerostate.telemetry.export.tally import Tally

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider


@final
class SpanLedger:
    """Counts spans from their start to their end at each destination.

    `started`, `ended` and `sampled_out` are for the traced threads: no lock, no Python
    frame, never blocking, and safe to keep as bound callables. All else takes a lock
    for microseconds and belongs to background threads and readers.
    """

    def __init__(self) -> None:
        self._started = Tally()
        self._ended = Tally()
        self._sampled_out = Tally()
        self._refused: dict[str, Tally] = {
            DropReason.QUEUE_FULL: Tally(),
            DropReason.SHUTDOWN: Tally(),
            DropReason.NOT_SAMPLED: Tally(),
        }
        self.started = self._started.add
        """Call when a recording span starts."""
        self.ended = self._ended.add
        """Call when a recording span has ended, just before it is given to the sink."""
        self.sampled_out = self._sampled_out.add
        """Call for a span that is not recorded."""
        self.queue_was_full = self._refused[DropReason.QUEUE_FULL].add
        """Call instead of queueing a span that ended."""
        self.came_after_shutdown = self._refused[DropReason.SHUTDOWN].add
        """Call instead of queueing a span that ended."""
        self.lock = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._accounts: dict[str, DestinationAccount] = {}
        self._queue: deque[object] = deque()
        self._capacity = 0
        self._is_closed = False
        self._encoding = 0

    def watch(self, queue: "deque[object]", capacity: int) -> None:
        """Count `queue` as the spans that wait; it holds at most `capacity`."""
        with self.lock:
            self._queue = queue
            self._capacity = capacity

    def account(
        self, name: str, component_type: str, server: tuple[str, int]
    ) -> DestinationAccount:
        """Open the account of the destination `name`.

        Raises:
            ValueError: There is one of that name.
        """
        with self.lock:
            if name in self._accounts:
                raise ValueError(f"two destinations are called {name!r}")
            account = DestinationAccount(self.lock, component_type, server)
            self._accounts[name] = account
            return account

    def dropped(self, reason: DropReason, spans: int = 1) -> None:
        """Count ended spans that go to no destination at all.

        For the reasons that a traced thread may have, without a lock: a finaliser may
        end a span on a thread that is reading the ledger.
        """
        if tally := self._refused.get(reason):
            for _ in range(spans):
                tally.add()
            return
        with self.lock:
            self._dropped[reason] += spans

    def take(self, max_spans: int) -> list[object]:
        """Move at most `max_spans` from the queue to the encoder, and return them."""
        with self.lock:
            queue = self._queue
            spans = [queue.popleft() for _ in range(min(max_spans, len(queue)))]
            self._encoding += len(spans)
            return spans

    def encoded(self, spans: int) -> None:
        """Move `spans` from the encoder to every destination's queue."""
        with self.lock:
            self._encoding -= spans
            for account in self._accounts.values():
                account.queued += spans

    def not_encoded(self, spans: int, reason: DropReason) -> None:
        """Drop `spans` that the encoder held."""
        with self.lock:
            self._encoding -= spans
            self._dropped[reason] += spans

    def close(self) -> None:
        """Count what is in the queue, and what still gets there, as shut out.

        A thread that looked before the end may put its span just after it.
        """
        with self.lock:
            self._is_closed = True
            self._sweep()

    def _sweep(self) -> None:
        while self._queue:
            self._queue.popleft()
            self._dropped[DropReason.SHUTDOWN] += 1

    def snapshot(self) -> LedgerSnapshot:
        """Return where every span is now."""
        with self.lock:
            if self._is_closed:
                self._sweep()
            before_export = self._before_export()
            waiting = len(self._queue)
            # Ended before started: a span cannot end before it starts, so `live` is
            # never negative, whatever other threads do in between.
            ended = self._ended.value()
            started = self._started.value()
            return LedgerSnapshot(
                started=started,
                live=started - ended,
                ended=ended,
                sampled_out=self._sampled_out.value(),
                queue_spans=waiting,
                queue_capacity=self._capacity,
                encoding=self._encoding,
                destinations={
                    name: account.snapshot(waiting + self._encoding, before_export)
                    for name, account in self._accounts.items()
                },
            )

    def _before_export(self) -> Counter[str]:
        total = Counter(self._dropped)
        for reason, tally in self._refused.items():
            if spans := tally.value():
                total[reason] += spans
        return total

    def drops(self) -> Mapping[tuple[str, str], int]:
        """Return all drops so far by (destination, reason), of every process's spans.

        The destination is "" for spans that were dropped before they reached one.
        """
        with self.lock:
            found = {("", r): n for r, n in self._before_export().items()}
            for name, account in self._accounts.items():
                for reason, spans in account.all_dropped().items():
                    found[name, reason] = spans
            return found

    def lost_or_spooled(self) -> int:
        """Return how many spans did not get through so far, over all destinations."""
        with self.lock:
            lost = self._before_export().total()
            return lost + sum(a.lost_or_spooled() for a in self._accounts.values())

    def metrics(self) -> Iterator[MetricPoint]:
        """Yield the ledger as OpenTelemetry's ``otel.sdk.*`` metrics."""
        snapshot = self.snapshot()
        with self.lock:
            before_export = self._before_export()
        return metrics.metric_points(snapshot, before_export)

    def observe(self, provider: "MeterProvider") -> None:
        """Report the ledger through `provider`, from now on."""
        histogram = metrics.observe(provider, self.metrics)
        with self.lock:
            for name, account in self._accounts.items():
                account.duration_s = metrics.recorder(
                    histogram, name, account.component_type, account.server
                )

    def after_fork(self) -> None:
        """Start anew, in a forked child.

        Spans that were open across the fork count as started here, since they may end
        here; all other counts are zero. Accounts stay open, and empty.
        """
        self.lock = threading.Lock()
        live = self._started.value() - self._ended.value()
        self._started.reset(live)
        for tally in (self._ended, self._sampled_out, *self._refused.values()):
            tally.reset()
        self._dropped.clear()
        self._queue.clear()
        self._encoding = 0
        for account in self._accounts.values():
            account.after_fork(self.lock)
