"""One destination, driven step by step, in a time that the test owns."""

import logging
import math

import pytest

from export_bench import DOWN, Bench
from export_fakes import FakeTarget
from zerostate.telemetry.export import RetryConfig
from zerostate.telemetry.export.batch import Delivered, Refused, Retryable
from zerostate.telemetry.export.delivery import DRAIN_ATTEMPTS
from zerostate.telemetry.export.seconds import MAX_WAIT_S
from zerostate.units import NS_PER_S


def test_batches_are_sent_in_order_and_counted() -> None:
    target = FakeTarget()
    bench = Bench(target)
    bench.offer(1, 2)
    bench.offer(3)

    assert bench.work() is None

    assert target.received == [1, 2, 3]
    assert (bench.at.exported, bench.at.queued, bench.at.pending_bytes) == (3, 0, 0)


def test_a_failed_batch_is_tried_again_exponentially_later() -> None:
    target = FakeTarget.answering(DOWN, DOWN, DOWN)
    bench = Bench(target, retry=RetryConfig(initial_s=1, max_s=30))
    bench.offer(1)
    waits = []

    while (wait_s := bench.work()) is not None:
        waits.append(wait_s)
        bench.clock.advance(wait_s)

    assert waits == [1, 2, 4]
    assert target.received == [1]


def test_a_receivers_own_wish_to_wait_is_honoured() -> None:
    target = FakeTarget.answering(Retryable("429", retry_after_s=17))
    bench = Bench(target)
    bench.offer(1)

    assert bench.work() == 17
    bench.delivery.hurry()
    assert bench.work() == 17
    bench.clock.advance(17)
    assert bench.work() is None
    assert target.received == [1]


def test_hurry_cuts_our_own_wait_short_once() -> None:
    bench = Bench(FakeTarget.answering(DOWN, DOWN))
    bench.offer(1)
    bench.work()

    bench.delivery.hurry()

    assert bench.work() == 2
    assert bench.at.queued == 1


def test_a_batch_is_given_up_after_its_time_and_the_next_one_is_tried() -> None:
    target = FakeTarget.answering(DOWN, DOWN, DOWN)
    bench = Bench(target, retry=RetryConfig(initial_s=1, max_s=1, max_elapsed_s=2.5))
    bench.offer(1)
    bench.offer(2)

    while (wait_s := bench.work()) is not None:
        bench.clock.advance(wait_s)

    assert target.received == [2]
    assert bench.at.dropped == {"gave_up": 1}


def test_without_time_for_a_second_attempt_there_is_one() -> None:
    bench = Bench(FakeTarget.answering(DOWN), retry=RetryConfig(max_elapsed_s=0))
    bench.offer(1)

    bench.work()

    assert bench.at.dropped == {"gave_up": 1}


def test_a_refused_batch_is_not_tried_again() -> None:
    target = FakeTarget.answering(Refused("400", "HTTP 400: no"))
    bench = Bench(target)
    bench.offer(1, 2)
    bench.offer(3)

    assert bench.work() is None

    assert target.received == [3]
    assert bench.at.dropped == {"refused": 2}


def test_spans_that_the_receiver_rejected_are_counted(caplog) -> None:
    bench = Bench(FakeTarget.answering(Delivered(2, "too old")))
    bench.offer(1, 2, 3)

    bench.work()

    assert (bench.at.exported, bench.at.dropped) == (1, {"rejected": 2})
    assert [r.getMessage() for r in caplog.records] == ["telemetry: otlp: too old"]


def test_beyond_the_bound_in_bytes_new_batches_are_dropped() -> None:
    target = FakeTarget.answering(DOWN)
    bench = Bench(target, max_pending_bytes=50, max_request_bytes=50)
    bench.offer(1, 2, 3)
    bench.work()
    bench.offer(4, 5)
    bench.offer(6)

    assert bench.at.pending_bytes == 50
    assert bench.at.dropped == {"bytes_full": 1}
    bench.clock.advance(60)
    bench.work()
    assert target.received == [1, 2, 3, 4, 5]
    assert bench.at.pending_bytes == 0


def test_a_failure_and_its_end_are_each_one_line(caplog) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(FakeTarget.answering(DOWN, DOWN, DOWN))
    bench.offer(1)

    while (wait_s := bench.work()) is not None:
        bench.clock.advance(wait_s)

    assert [record.getMessage() for record in caplog.records] == [
        "telemetry: otlp does not take spans: HTTP 503",
        "telemetry: otlp takes spans again",
    ]


def test_a_drain_stops_when_all_is_sent() -> None:
    target = FakeTarget()
    bench = Bench(target)
    bench.offer(1)

    bench.delivery.drain(bench.clock.monotonic_ns() + 10 * NS_PER_S)
    bench.work()

    assert bench.delivery.is_stopped
    assert target.received == [1]


def test_a_drain_gives_up_on_a_receiver_that_is_gone() -> None:
    bench = Bench(FakeTarget.answering(*[DOWN] * 50))
    bench.offer(1)
    bench.offer(2)
    bench.work()

    bench.delivery.drain(bench.clock.monotonic_ns() + 30 * NS_PER_S)
    for _ in range(DRAIN_ATTEMPTS):
        bench.clock.advance(bench.work() or 0)

    assert bench.delivery.is_stopped
    assert bench.at.dropped == {"shutdown": 2}
    assert bench.now_s() < 30


def test_a_drain_does_not_wait_for_what_comes_too_late() -> None:
    bench = Bench(FakeTarget.answering(Retryable("503", retry_after_s=60)))
    bench.offer(1)
    bench.work()

    bench.delivery.drain(bench.clock.monotonic_ns() + 5 * NS_PER_S)
    bench.work()

    assert bench.delivery.is_stopped
    assert bench.at.dropped == {"shutdown": 1}


def test_what_comes_after_the_end_is_counted() -> None:
    bench = Bench(FakeTarget())
    bench.delivery.abandon()

    bench.offer(1)

    assert bench.at.dropped == {"shutdown": 1}


def test_abandoning_breaks_off_the_attempt_under_way() -> None:
    target = FakeTarget()
    bench = Bench(target)

    bench.delivery.abandon()

    assert target.is_aborted


def test_waiting_for_a_mark_ends_when_no_earlier_batch_is_in_memory() -> None:
    bench = Bench(FakeTarget())
    bench.offer(1)
    mark = bench.delivery.mark()
    bench.offer(2)

    assert not bench.delivery.wait_for(mark, 0)
    bench.step()
    assert bench.delivery.wait_for(mark, 0)
    assert not bench.delivery.wait_for(bench.delivery.mark(), 0)


def test_a_complaint_is_repeated_once_a_minute(caplog) -> None:
    bench = Bench(FakeTarget.answering(*[Refused("401", "HTTP 401")] * 12))

    for span in range(10):
        bench.offer(span)
        bench.work()
    assert len(caplog.records) == 1
    bench.clock.advance(60)
    for span in range(2):
        bench.offer(span)
        bench.work()

    assert [record.getMessage() for record in caplog.records] == [
        "telemetry: otlp does not take spans: HTTP 401"
    ] * 2
    assert bench.at.dropped == {"refused": 12}


@pytest.mark.parametrize("endless", [math.inf, 1e10])
def test_a_batch_is_tried_for_ever_where_the_policy_says_so(endless: float) -> None:
    target = FakeTarget.answering(*[DOWN] * 10)
    bench = Bench(target, retry=RetryConfig(max_s=endless, max_elapsed_s=endless))
    bench.offer(1)

    for _ in range(10):
        wait_s = bench.work()
        assert wait_s is not None
        bench.clock.advance(wait_s)
    assert bench.work() is None

    assert target.received == [1]


@pytest.mark.parametrize("endless", [math.inf, 1e10])
def test_an_attempt_gets_a_timeout_that_sockets_know(endless: float) -> None:
    target = FakeTarget()
    bench = Bench(target, timeout_s=endless)
    bench.offer(1)
    bench.work()

    assert target.timeouts == [MAX_WAIT_S]
