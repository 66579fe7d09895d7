"""A delivery, and a whole pipeline, on a bench: what the tests of both share."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from export_fakes import LOGGER, FakeTarget, Limits, destination, encode
from zerostate.telemetry.export import ExportPipeline, SpanLedger
from zerostate.telemetry.export.batch import Retryable
from zerostate.telemetry.export.delivery import Delivery
from zerostate.testing.clocks import FakeClock
from zerostate.units import NS_PER_S

DOWN = Retryable("503", "HTTP 503")


class Bench:
    """A delivery with its ledger and clock."""

    def __init__(self, target: FakeTarget, **settings) -> None:
        self.ledger = SpanLedger()
        self.clock = FakeClock()
        self.queue: deque[object] = deque()
        self.ledger.watch(self.queue, 100)
        config = destination(target, **settings)
        self.delivery = Delivery(
            config,
            self.ledger.account(config.name, "fake_exporter", ("", 0)),
            clock=self.clock,
            logger=LOGGER,
            jitter=lambda: 1.0,
        )

    def offer(self, *spans: int) -> None:
        for _ in spans:
            self.ledger.started()
            self.ledger.ended()
        self.queue.extend(spans)
        self.ledger.encoded(len(self.ledger.take(len(spans))))
        payload = b"".join(b"%010d" % span for span in spans)
        self.delivery.offer(payload, len(spans))

    def step(self) -> float | None:
        wait_s = self.delivery.step()
        assert self.ledger.snapshot().imbalance() == {}
        return wait_s

    def work(self) -> float | None:
        """Step until there is something to wait for."""
        for _ in range(100):
            wait_s = self.step()
            if wait_s != 0:
                return wait_s
        raise AssertionError("never at rest")

    def now_s(self) -> float:
        return self.clock.monotonic_ns() / NS_PER_S

    @property
    def at(self):
        return self.ledger.snapshot().destinations["otlp"]


@contextmanager
def pipeline_to(
    *targets: FakeTarget, encoder=encode, limits: Limits | None = None, **settings
) -> Iterator[tuple[ExportPipeline, SpanLedger]]:
    ledger = SpanLedger()
    pipeline = ExportPipeline(
        encoder,
        [destination(t, f"d{n}", **settings) for n, t in enumerate(targets)],
        limits or Limits(),
        ledger,
        LOGGER,
    )
    try:
        yield pipeline, ledger
    finally:
        pipeline.shutdown(5)
        assert ledger.snapshot().imbalance() == {}
