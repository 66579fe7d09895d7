import logging
import threading
from collections import deque

import pytest

from zerostate.telemetry.export import DropReason, SpanLedger
from zerostate.telemetry.export.batch import Batch
from zerostate.telemetry.export.drop_report import DropReport
from zerostate.telemetry.export.tally import Tally
from zerostate.testing.clocks import FakeClock


def account_of(ledger: SpanLedger, name: str = "otlp"):
    return ledger.account(name, "otlp_http_span_exporter", ("collector", 4318))


def values(ledger: SpanLedger) -> dict[tuple[str, str], object]:
    return {
        (point.name, str(point.attributes.get("error.type", ""))): point.value
        for point in ledger.metrics()
    }


def test_a_tally_counts_exactly_from_many_threads_while_it_is_read() -> None:
    tally = Tally()
    add = tally.add
    seen = []

    def work() -> None:
        for _ in range(5000):
            add()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(tally.value())
    for thread in threads:
        thread.join()

    assert tally.value() == 20_000
    assert seen == sorted(seen)


def test_a_tally_starts_anew_under_those_who_kept_its_add() -> None:
    tally = Tally()
    add = tally.add
    add()
    add()

    tally.reset(7)
    add()

    assert tally.value() == 8


def test_live_spans_are_those_that_have_not_ended() -> None:
    ledger = SpanLedger()
    for _ in range(3):
        ledger.started()
    ledger.ended()
    ledger.sampled_out()

    snapshot = ledger.snapshot()

    assert (snapshot.started, snapshot.live, snapshot.ended) == (3, 2, 1)
    assert snapshot.sampled_out == 1


def test_a_batch_is_settled_once() -> None:
    ledger = SpanLedger()
    account = account_of(ledger)
    for _ in range(5):
        ledger.started()
        ledger.ended()
    account.queued = 5
    batch = Batch(b"", 5, 1)

    assert account.exported(batch)
    assert not account.dropped(batch, DropReason.SHUTDOWN)
    assert not account.spooled(batch)
    assert not account.exported(batch)

    at = ledger.snapshot().destinations["otlp"]
    assert (at.exported, at.queued, at.spooled, at.dropped) == (5, 0, 0, {})
    assert ledger.snapshot().imbalance() == {}


@pytest.mark.parametrize(("claimed", "counted"), [(2, 2), (99, 5), (-1, 0)])
def test_a_receiver_cannot_reject_more_than_it_got(claimed: int, counted: int) -> None:
    ledger = SpanLedger()
    account = account_of(ledger)
    account.queued = 5

    account.exported(Batch(b"", 5, 1), rejected_spans=claimed)

    at = ledger.snapshot().destinations["otlp"]
    assert at.exported == 5 - counted
    assert sum(at.dropped.values()) == counted


def test_a_missing_span_is_found() -> None:
    ledger = SpanLedger()
    account_of(ledger)
    ledger.started()
    ledger.ended()

    assert ledger.snapshot().imbalance() == {"otlp": 1}


def test_a_span_that_slips_in_after_the_end_is_counted() -> None:
    ledger = SpanLedger()
    account_of(ledger)
    queue: deque[object] = deque()
    ledger.watch(queue, 10)
    ledger.close()
    ledger.started()
    ledger.ended()
    queue.append("late")

    snapshot = ledger.snapshot()

    assert snapshot.destinations["otlp"].dropped == {"shutdown": 1}
    assert snapshot.imbalance() == {}


def test_two_destinations_cannot_share_a_name() -> None:
    ledger = SpanLedger()
    account_of(ledger)

    with pytest.raises(ValueError, match="two destinations"):
        account_of(ledger)


def test_a_forked_child_starts_with_the_spans_that_are_open() -> None:
    ledger = SpanLedger()
    account = account_of(ledger)
    started = ledger.started
    for _ in range(3):
        started()
    ledger.ended()
    ledger.queue_was_full()
    account.queued = 1
    account.exported(Batch(b"", 1, 1))

    ledger.after_fork()

    snapshot = ledger.snapshot()
    assert (snapshot.started, snapshot.live, snapshot.ended) == (2, 2, 0)
    at = snapshot.destinations["otlp"]
    assert (at.exported, at.queued, at.dropped) == (0, 0, {})
    started()
    assert ledger.snapshot().started == 3


def test_the_metrics_have_opentelemetrys_names() -> None:
    ledger = SpanLedger()
    account = account_of(ledger)
    ledger.watch(deque(["waiting"]), 2048)
    for _ in range(12):
        ledger.started()
    for _ in range(11):
        ledger.ended()
    ledger.sampled_out()
    ledger.queue_was_full()
    ledger.came_after_shutdown()
    account.queued = 8
    account.exported(Batch(b"", 5, 1), rejected_spans=2)
    batch = Batch(b"", 3, 2)
    account.sending(batch)
    account.took(0.02, "")
    account.took(700, "timeout")

    found = values(ledger)

    duration = found.pop(("otel.sdk.exporter.operation.duration", ""))
    failure = found.pop(("otel.sdk.exporter.operation.duration", "timeout"))
    assert found == {
        ("otel.sdk.span.started", ""): 1,  # sampled out; the recorded come first
        ("otel.sdk.span.live", ""): 1,
        ("otel.sdk.processor.span.queue.size", ""): 1,
        ("otel.sdk.processor.span.queue.capacity", ""): 2048,
        ("otel.sdk.processor.span.processed", ""): 8,
        ("otel.sdk.processor.span.processed", "queue_full"): 1,
        ("otel.sdk.processor.span.processed", "already_shutdown"): 1,
        ("otel.sdk.exporter.span.exported", ""): 3,
        ("otel.sdk.exporter.span.exported", "rejected"): 2,
        ("otel.sdk.exporter.span.inflight", ""): 3,
    }
    assert (duration.count, duration.sum) == (1, 0.02)
    assert duration.counts[2] == 1
    assert failure.counts[-1] == 1


def test_the_metrics_reach_a_meter_provider() -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    ledger = SpanLedger()
    account = account_of(ledger)
    ledger.started()
    ledger.observe(provider)
    account.took(0.25, "503")

    data = reader.get_metrics_data()
    provider.shutdown()

    assert data is not None
    metrics = {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert metrics["otel.sdk.span.started"][0].value == 1
    assert metrics["otel.sdk.span.live"][0].value == 1
    [duration] = metrics["otel.sdk.exporter.operation.duration"]
    assert (duration.sum, duration.attributes["error.type"]) == (0.25, "503")
    assert duration.attributes["server.address"] == "collector"
    assert duration.attributes["server.port"] == 4318


def test_drops_are_one_line_a_minute_with_counts(caplog) -> None:
    ledger, clock = SpanLedger(), FakeClock()
    account = account_of(ledger)
    report = DropReport(ledger, clock, logging.getLogger("test.drops"))
    report.report()
    for _ in range(3):
        ledger.queue_was_full()
    account.queued = 2
    account.dropped(Batch(b"", 2, 1), DropReason.REFUSED)

    report.report()
    ledger.queue_was_full()
    clock.advance(59)
    report.report()
    clock.advance(1)
    report.report()
    report.report(is_last=True)

    assert [record.getMessage() for record in caplog.records] == [
        "telemetry: spans dropped: queue_full=3, otlp refused=2",
        "telemetry: spans dropped: queue_full=1",
    ]


def test_the_last_drops_are_logged_at_once(caplog) -> None:
    ledger = SpanLedger()
    report = DropReport(ledger, FakeClock(), logging.getLogger("test.drops"))
    ledger.queue_was_full()
    report.report()
    ledger.queue_was_full()

    report.report(is_last=True)

    assert len(caplog.records) == 2


def test_spans_that_are_not_exported_are_counted_without_the_lock() -> None:
    ledger = SpanLedger()
    account_of(ledger)
    ledger.started()
    ledger.ended()

    with ledger.lock:  # as when a finaliser ends a span while the ledger is read
        ledger.dropped(DropReason.NOT_SAMPLED)

    snapshot = ledger.snapshot()
    assert snapshot.destinations["otlp"].dropped == {"not_sampled": 1}
    assert snapshot.imbalance() == {}
