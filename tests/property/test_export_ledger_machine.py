"""Whatever happens in whatever order: every span is accounted for, exactly once."""

import contextlib
import shutil
import tempfile
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from export_fakes import LOGGER, FakeTarget, destination, encode
from zerostate.telemetry.export import (
    DropReason,
    RetryConfig,
    SpanLedger,
    SpoolConfig,
)
from zerostate.telemetry.export.batch import Delivered, Outcome, Refused, Retryable
from zerostate.telemetry.export.delivery import Delivery
from zerostate.testing.clocks import FakeClock
from zerostate.units import NS_PER_S

CAPACITY = 20

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Delivered()),
    st.builds(Delivered, st.integers(0, 5)),
    st.just(Refused("400")),
    st.just(Retryable("503")),
    st.builds(Retryable, st.just("429"), retry_after_s=st.floats(0, 60)),
)


class LedgerMachine(RuleBasedStateMachine):
    """The pipeline's parts without its threads: one destination spools, one does not."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp(prefix="zerostate-test-")
        self.clock = FakeClock()
        self.ledger = SpanLedger()
        self.queue: deque[object] = deque()
        self.ledger.watch(self.queue, CAPACITY)
        self.targets = [FakeTarget(), FakeTarget()]
        self.deliveries = [self._delivery(0), self._delivery(1)]
        self.ended = 0

    def _delivery(self, number: int) -> Delivery:
        spool = SpoolConfig(directory=self.directory, max_bytes=300)
        config = destination(
            self.targets[number],
            f"d{number}",
            max_pending_bytes=100,
            max_request_bytes=100,
            retry=RetryConfig(initial_s=1, max_s=4, max_elapsed_s=3),
            spool=spool if number else None,
        )
        return Delivery(
            config,
            self.ledger.account(config.name, "fake_exporter", ("", 0)),
            clock=self.clock,
            logger=LOGGER,
            jitter=lambda: 1.0,
        )

    @rule(count=st.integers(1, 10))
    def spans_end(self, count: int) -> None:
        for _ in range(count):
            self.ledger.started()
            self.ledger.ended()
            self.ended += 1
            if len(self.queue) < CAPACITY:
                self.queue.append(self.ended)
            else:
                self.ledger.queue_was_full()

    @rule(count=st.integers(1, 10), bad=st.integers(0, 2))
    def encoder_works(self, count: int, bad: int) -> None:
        spans = self.ledger.take(count)
        bad = min(bad, len(spans))
        if bad:
            self.ledger.not_encoded(bad, DropReason.ENCODING)
        good = spans[bad:]
        if good:
            self.ledger.encoded(len(good))
            for delivery in self.deliveries:
                delivery.offer(encode(good).payload, len(good))

    @rule(which=st.integers(0, 1), script=st.lists(outcomes, max_size=3))
    def receiver_will_answer(self, which: int, script: list[Outcome]) -> None:
        self.targets[which].outcomes.extend(script)

    @rule(which=st.integers(0, 1))
    def destination_works(self, which: int) -> None:
        self.deliveries[which].step()

    @rule(which=st.integers(0, 1))
    def somebody_flushes(self, which: int) -> None:
        self.deliveries[which].hurry()

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(which=st.integers(0, 1))
    def somebody_shuts_down(self, which: int) -> None:
        self.deliveries[which].drain(self.clock.monotonic_ns() + 5 * NS_PER_S)

    @rule(which=st.integers(0, 1))
    def time_is_up(self, which: int) -> None:
        self.deliveries[which].abandon()

    @invariant()
    def every_span_is_accounted_for(self) -> None:
        snapshot = self.ledger.snapshot()
        assert snapshot.ended == self.ended
        assert snapshot.imbalance() == {}
        for at in snapshot.destinations.values():
            assert min(at.exported, at.queued, at.spooled, at.inflight) >= 0
            assert min(at.dropped.values(), default=0) >= 0
            assert at.pending_bytes <= 100

    def teardown(self) -> None:
        for delivery in self.deliveries:
            with contextlib.suppress(OSError):
                delivery.close()
        shutil.rmtree(self.directory)


LedgerMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None
)
TestLedger = LedgerMachine.TestCase
