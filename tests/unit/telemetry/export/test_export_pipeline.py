"""The whole pipeline with its threads; the network alone is a fake."""

import gc
import logging
import threading
import weakref

import pytest
from opentelemetry import context

from export_bench import pipeline_to
from export_fakes import (
    BYTES_PER_SPAN,
    LOGGER,
    FakeTarget,
    FakeTransport,
    Limits,
    destination,
    encode,
    put_all,
)
from zerostate.errors import ConfigError
from zerostate.telemetry.export import Encoded, ExportPipeline, SpanLedger
from zerostate.telemetry.export.batch import Outcome, Refused, Retryable

LONG_S = 20
"""Longer than any test may take, so that only what is meant to wakes a thread."""


class HeldTransport(FakeTransport):
    """Keeps each request until it is let go or aborted."""

    def __init__(self, target: "HeldTarget") -> None:
        super().__init__(target)
        self._held = target

    def send(self, body: bytes, timeout_s: float) -> Outcome:
        self._held.is_sending.set()
        assert self._held.may_answer.wait(LONG_S)
        if self._held.is_aborted:
            return Retryable("connection")
        return super().send(body, timeout_s)

    def abort(self) -> None:
        super().abort()
        self._held.may_answer.set()


class HeldTarget(FakeTarget):
    def __init__(self) -> None:
        super().__init__()
        self.is_sending = threading.Event()
        self.may_answer = threading.Event()

    def open(self) -> HeldTransport:
        return HeldTransport(self)


def test_spans_are_encoded_once_and_reach_every_destination() -> None:
    one, two = FakeTarget(), FakeTarget()
    sizes = []

    def counted(spans) -> Encoded:
        sizes.append(len(spans))
        return encode(spans)

    with pipeline_to(one, two, encoder=counted) as (pipeline, ledger):
        put_all(pipeline, ledger, range(1300))

        assert pipeline.force_flush(LONG_S)

        assert one.received == two.received == list(range(1300))
        assert sum(sizes) == 1300
        assert max(sizes) <= 512
        for at in ledger.snapshot().destinations.values():
            assert (at.exported, at.queued, at.dropped) == (1300, 0, {})


def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    target = HeldTarget()

    with pipeline_to(target) as (pipeline, ledger):
        put_all(pipeline, ledger, range(512))

        assert target.is_sending.wait(LONG_S)
        target.may_answer.set()


def test_a_partial_batch_waits_for_the_delay_only() -> None:
    target = HeldTarget()

    with pipeline_to(target, limits=Limits(delay_s=0.01)) as (pipeline, ledger):
        put_all(pipeline, ledger, range(3))

        assert target.is_sending.wait(LONG_S)
        target.may_answer.set()
        assert pipeline.force_flush(LONG_S)
        assert target.received == [0, 1, 2]


def test_a_full_queue_drops_the_newest_and_counts_them() -> None:
    stuck = threading.Event()

    def encoder(spans) -> Encoded:
        assert stuck.wait(LONG_S)
        return encode(spans)

    target = FakeTarget()
    limits = Limits(max_queue_spans=100, max_batch_spans=10)
    with pipeline_to(target, encoder=encoder, limits=limits) as (pipeline, ledger):
        put_all(pipeline, ledger, range(500))
        snapshot = ledger.snapshot()
        assert snapshot.imbalance() == {}
        dropped = snapshot.destinations["d0"].dropped["queue_full"]
        assert 390 <= dropped <= 400  # the encoder may have taken a batch meanwhile
        stuck.set()
        assert not pipeline.force_flush(0)
        assert pipeline.force_flush(LONG_S)
        assert len(target.received) == 500 - dropped
        assert target.received[:100] == list(range(100))


def test_a_slow_destination_does_not_hold_up_another() -> None:
    slow, quick = HeldTarget(), FakeTarget()

    with pipeline_to(slow, quick) as (pipeline, ledger):
        put_all(pipeline, ledger, range(2000))
        assert not pipeline.force_flush(0.05)

        pipeline._deliveries[1].wait_for(4, LONG_S)
        assert quick.received == list(range(2000))
        slow.may_answer.set()
        assert pipeline.force_flush(LONG_S)
        assert slow.received == list(range(2000))


def test_each_destination_has_its_own_ledger() -> None:
    good, bad = FakeTarget(), FakeTarget.answering(Refused("401"))

    with pipeline_to(good, bad) as (pipeline, ledger):
        put_all(pipeline, ledger, range(10))

        assert not pipeline.force_flush(LONG_S)

        at = ledger.snapshot().destinations
        assert (at["d0"].exported, at["d0"].dropped) == (10, {})
        assert (at["d1"].exported, at["d1"].dropped) == (0, {"refused": 10})


def test_a_span_that_cannot_be_encoded_is_counted() -> None:
    target = FakeTarget()

    def encoder(spans) -> Encoded:
        good = [span for span in spans if span % 2]
        return Encoded(encode(good).payload, len(spans) - len(good))

    with pipeline_to(target, encoder=encoder) as (pipeline, ledger):
        put_all(pipeline, ledger, range(10))
        pipeline.force_flush(LONG_S)

        at = ledger.snapshot().destinations["d0"]
        assert (at.exported, at.dropped) == (5, {"encoding": 5})
        assert target.received == [1, 3, 5, 7, 9]


def test_nothing_is_sent_when_nothing_could_be_encoded() -> None:
    target = FakeTarget()

    with pipeline_to(target, encoder=lambda s: Encoded(b"", len(s))) as (p, ledger):
        put_all(p, ledger, range(3))
        p.force_flush(LONG_S)

        assert target.bodies == []
        assert ledger.snapshot().destinations["d0"].dropped == {"encoding": 3}


def test_an_encoder_that_raises_costs_its_batch_and_no_more(caplog) -> None:
    target = FakeTarget()

    def encoder(spans) -> Encoded:
        if spans[0] == 0:
            raise RuntimeError("bug")
        return encode(spans)

    with pipeline_to(target, encoder=encoder) as (pipeline, ledger):
        put_all(pipeline, ledger, range(3))
        assert not pipeline.force_flush(LONG_S)
        put_all(pipeline, ledger, range(3, 6))
        assert pipeline.force_flush(LONG_S)

        assert target.received == [3, 4, 5]
        assert ledger.snapshot().destinations["d0"].dropped == {"encoding": 3}
    assert "3 spans not encoded" in caplog.text


def test_a_transport_that_raises_costs_its_batch_and_no_more(caplog) -> None:
    class Broken(FakeTransport):
        def send(self, body: bytes, timeout_s: float) -> Outcome:
            raise RuntimeError("bug")

    class BrokenTarget(FakeTarget):
        def open(self) -> Broken:
            return Broken(self)

    with pipeline_to(BrokenTarget()) as (pipeline, ledger):
        put_all(pipeline, ledger, range(3))
        pipeline.force_flush(LONG_S)

        assert ledger.snapshot().destinations["d0"].dropped == {"internal": 3}
    assert "export failed" in caplog.text


def test_a_batch_too_large_for_one_request_is_split() -> None:
    target = FakeTarget()
    bound = 3 * BYTES_PER_SPAN

    with pipeline_to(target, max_request_bytes=bound) as (pipeline, ledger):
        put_all(pipeline, ledger, range(10))
        assert pipeline.force_flush(LONG_S)

    assert target.received == list(range(10))
    assert max(len(body) for body in target.bodies) <= bound


def test_one_span_too_large_for_any_request_is_counted() -> None:
    target = FakeTarget()

    def encoder(spans) -> Encoded:
        return Encoded(b"".join(b"%010d" % s * (9 if s == 4 else 1) for s in spans))

    with pipeline_to(target, encoder=encoder, max_request_bytes=50) as (p, ledger):
        put_all(p, ledger, range(8))
        p.force_flush(LONG_S)

        assert ledger.snapshot().destinations["d0"].dropped == {"too_large": 1}
    assert target.received == [0, 1, 2, 3, 5, 6, 7]


def test_shutdown_hands_over_what_is_left_and_counts_what_comes_later() -> None:
    target = FakeTarget()

    with pipeline_to(target) as (pipeline, ledger):
        put_all(pipeline, ledger, range(700))
        assert pipeline.shutdown(LONG_S)
        assert pipeline.shutdown(LONG_S)
        assert pipeline.force_flush(LONG_S)
        put_all(pipeline, ledger, range(5))

        assert target.received == list(range(700))
        at = ledger.snapshot().destinations["d0"]
        assert (at.exported, at.queued, at.dropped) == (700, 0, {"shutdown": 5})


def test_shutdown_before_the_first_span_starts_no_thread() -> None:
    before = threading.active_count()

    with pipeline_to(FakeTarget()) as (pipeline, _):
        assert pipeline.force_flush(0)
        assert pipeline.shutdown(0)
        assert threading.active_count() == before


def test_shutdown_keeps_its_timeout_and_settles_every_span() -> None:
    target = HeldTarget()

    with pipeline_to(target) as (pipeline, ledger):
        put_all(pipeline, ledger, range(700))
        assert target.is_sending.wait(LONG_S)

        assert not pipeline.shutdown(0.05)

        at = ledger.snapshot().destinations["d0"]
        assert (at.exported, at.queued, at.dropped) == (0, 0, {"shutdown": 700})


def test_shutdown_keeps_its_timeout_when_the_encoder_hangs() -> None:
    may_encode = threading.Event()

    def encoder(spans) -> Encoded:
        assert may_encode.wait(LONG_S)
        return encode(spans)

    with pipeline_to(FakeTarget(), encoder=encoder) as (pipeline, ledger):
        put_all(pipeline, ledger, range(700))

        assert not pipeline.shutdown(0.05)

        assert ledger.snapshot().imbalance() == {}
        encoder_thread = pipeline._threads[0]
        may_encode.set()
        encoder_thread.join(LONG_S)
        at = ledger.snapshot().destinations["d0"]
        assert (at.queued, at.dropped) == (0, {"shutdown": 700})


def test_shutdown_by_several_threads_at_once_is_one_shutdown() -> None:
    target = FakeTarget()

    with pipeline_to(target) as (pipeline, ledger):
        put_all(pipeline, ledger, range(100))
        threads = [
            threading.Thread(target=pipeline.shutdown, args=(LONG_S,)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert target.received == list(range(100))


def test_the_export_itself_is_not_traced() -> None:
    seen = []
    key = context._SUPPRESS_INSTRUMENTATION_KEY

    class Watching(FakeTransport):
        def send(self, body: bytes, timeout_s: float) -> Outcome:
            seen.append(context.get_value(key))
            return super().send(body, timeout_s)

    class WatchingTarget(FakeTarget):
        def open(self) -> Watching:
            return Watching(self)

    def encoder(spans) -> Encoded:
        seen.append(context.get_value(key))
        return encode(spans)

    with pipeline_to(WatchingTarget(), encoder=encoder) as (pipeline, ledger):
        put_all(pipeline, ledger, [1])
        pipeline.force_flush(LONG_S)

    assert seen == [True, True]
    assert context.get_value(key) is None


def test_a_span_that_ends_in_a_finaliser_within_an_end_does_no_harm() -> None:
    class Node:
        pass

    target = FakeTarget()
    with pipeline_to(target, limits=Limits(max_batch_spans=1)) as (pipeline, ledger):
        nodes = []
        for number in range(200):
            node = Node()
            weakref.finalize(node, put_all, pipeline, ledger, [number])
            node.itself = node
            nodes.append(node)
        del node
        nodes.clear()
        gc.collect()

        assert pipeline.force_flush(LONG_S)
        assert sorted(target.received) == list(range(200))


def test_many_threads_lose_and_double_nothing() -> None:
    target = FakeTarget()
    limits = Limits(max_queue_spans=1 << 20, max_batch_spans=64)

    with pipeline_to(target, limits=limits) as (pipeline, ledger):
        threads = [
            threading.Thread(
                target=put_all,
                args=(pipeline, ledger, range(at * 2000, (at + 1) * 2000)),
            )
            for at in range(6)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            pipeline.force_flush(0.01)
            ledger.snapshot()
        for thread in threads:
            thread.join()
        assert pipeline.force_flush(LONG_S)

        assert sorted(target.received) == list(range(12_000))


def test_drops_are_reported_at_the_end(caplog) -> None:
    with pipeline_to(FakeTarget.answering(Refused("400"))) as (pipeline, ledger):
        put_all(pipeline, ledger, range(3))
        pipeline.shutdown(LONG_S)

    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert lines[-1] == "telemetry: spans dropped: d0 refused=3"


def test_a_pipeline_needs_destinations_with_different_names() -> None:
    def build(*names: str) -> None:
        configs = [destination(FakeTarget(), name) for name in names]
        ExportPipeline(encode, configs, Limits(), SpanLedger(), LOGGER)

    with pytest.raises(ConfigError, match="at least one"):
        build()
    with pytest.raises(ConfigError, match="twice"):
        build("a", "a")
