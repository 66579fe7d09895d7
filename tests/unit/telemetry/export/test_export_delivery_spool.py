"""One destination with a spool, driven step by step, in a time that the test owns."""

from pathlib import Path

import pytest

from export_bench import DOWN, Bench
from export_fakes import FakeTarget
from zerostate.telemetry.export import RetryConfig, SpoolConfig
from zerostate.telemetry.export.batch import Refused
from zerostate.units import NS_PER_S


@pytest.fixture
def spooled(tmp_path: Path) -> dict[str, object]:
    return {
        "spool": SpoolConfig(directory=str(tmp_path), max_bytes=1 << 20),
        "retry": RetryConfig(initial_s=1, max_s=1, max_elapsed_s=0.5),
    }


def test_what_would_be_lost_is_spooled_and_sent_later(spooled) -> None:
    target = FakeTarget.answering(*[DOWN] * 5)
    bench = Bench(target, **spooled, max_pending_bytes=20, max_request_bytes=20)
    bench.offer(1, 2)
    bench.offer(3)  # no room in memory
    bench.work()  # 1 and 2 are given up

    assert (bench.at.spooled, bench.at.queued, bench.at.dropped) == (3, 0, {})
    while (wait_s := bench.work()) is not None:
        bench.clock.advance(wait_s)
    assert sorted(target.received) == [1, 2, 3]
    assert (bench.at.exported, bench.at.spooled) == (3, 0)
    bench.delivery.close()


def test_memory_and_disk_take_turns(spooled) -> None:
    target = FakeTarget.answering(DOWN, DOWN)
    bench = Bench(target, **spooled)
    bench.offer(1)
    bench.step()
    bench.clock.advance(1)
    bench.offer(2)
    bench.step()  # both are on disk
    bench.clock.advance(1)
    for span in (3, 4, 5):
        bench.offer(span)

    bench.work()

    assert target.received == [3, 1, 4, 2, 5]
    bench.delivery.close()


def test_a_restart_delivers_what_the_last_process_left(spooled) -> None:
    first = Bench(FakeTarget.answering(*[DOWN] * 5), **spooled)
    first.offer(1, 2)
    first.offer(3)
    first.delivery.abandon()
    assert first.at.spooled == 3
    first.delivery.close()

    target = FakeTarget()
    second = Bench(target, **spooled)
    assert second.delivery.has_backlog
    assert second.at.recovered.found == 3
    second.work()

    assert target.received == [1, 2, 3]
    recovered = second.at.recovered
    assert (recovered.exported, recovered.waiting, recovered.dropped) == (3, 0, {})
    assert (second.at.exported, second.at.spooled) == (0, 0)
    second.delivery.close()


def test_a_corrupt_batch_is_counted_and_the_next_one_sent(
    spooled, tmp_path: Path
) -> None:
    bench = Bench(FakeTarget.answering(DOWN, DOWN), **spooled)
    bench.offer(1, 2)
    bench.step()
    bench.clock.advance(1)
    bench.offer(3)
    bench.step()
    bench.clock.advance(1)
    min(tmp_path.glob("otlp/000/*.otlp")).write_bytes(b"rotten")

    bench.work()

    assert (bench.at.exported, bench.at.dropped) == (1, {"spool_corrupt": 2})
    bench.delivery.close()


def test_the_oldest_on_disk_makes_room_and_is_counted(tmp_path: Path) -> None:
    spool = SpoolConfig(directory=str(tmp_path), max_bytes=80)
    bench = Bench(
        FakeTarget.answering(*[DOWN] * 9),
        spool=spool,
        max_request_bytes=20,
        max_pending_bytes=20,
    )
    bench.offer(1, 2)  # in memory
    for span in (3, 5, 7, 9):
        bench.offer(span)  # 26 bytes each on disk

    assert (bench.at.spooled, bench.at.dropped) == (3, {"spool_full": 1})
    assert bench.ledger.snapshot().imbalance() == {}
    bench.delivery.close()


def test_a_refused_batch_from_disk_is_deleted(spooled, tmp_path: Path) -> None:
    bench = Bench(FakeTarget.answering(DOWN, Refused("400")), **spooled)
    bench.offer(1)
    bench.step()
    bench.clock.advance(1)

    bench.work()

    assert bench.at.dropped == {"refused": 1}
    assert list(tmp_path.glob("otlp/000/*.otlp")) == []
    bench.delivery.close()


def test_a_batch_from_disk_goes_back_when_all_is_abandoned(spooled) -> None:
    bench = Bench(FakeTarget.answering(*[DOWN] * 9), **spooled)
    bench.offer(1)
    bench.work()
    bench.clock.advance(1)
    bench.work()  # tried from disk, and failed

    bench.delivery.abandon()

    assert (bench.at.spooled, bench.at.inflight, bench.at.dropped) == (1, 0, {})
    bench.delivery.close()


def test_a_disk_that_refuses_is_a_counted_loss(spooled, tmp_path: Path, caplog) -> None:
    bench = Bench(FakeTarget.answering(DOWN), **spooled)
    bench.delivery.close()
    for place in tmp_path.glob("otlp/*"):
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
    bench.offer(1)

    bench.work()

    assert bench.at.dropped == {"gave_up": 1}
    assert "spool" in caplog.text


def test_a_deleted_batch_is_counted_and_the_next_ones_are_sent(
    spooled, tmp_path: Path
) -> None:
    target = FakeTarget.answering(DOWN)
    bench = Bench(target, **spooled, max_pending_bytes=10, max_request_bytes=10)
    bench.offer(0)  # in memory; the others have no room
    for span in (1, 2, 3):
        bench.offer(span)
    sorted(tmp_path.glob("otlp/000/*.otlp"))[1].unlink()

    while (wait_s := bench.work()) is not None:
        bench.clock.advance(wait_s)

    assert sorted(target.received) == [0, 1, 3]
    assert bench.at.dropped == {"spool_corrupt": 1}
    assert bench.at.spooled == 0
    bench.delivery.close()


def test_the_books_do_not_end_with_files_that_are_gone(spooled, tmp_path: Path) -> None:
    target = FakeTarget()
    bench = Bench(target, **spooled, max_pending_bytes=10, max_request_bytes=10)
    bench.offer(0)
    for span in (1, 2):
        bench.offer(span)
    min(tmp_path.glob("otlp/000/*.otlp")).unlink()

    bench.delivery.drain(bench.clock.monotonic_ns() + NS_PER_S)
    bench.work()

    assert target.received == [0]
    assert (bench.at.spooled, bench.at.dropped) == (1, {"spool_corrupt": 1})
    bench.delivery.close()


def test_a_batch_put_back_whose_file_is_gone_is_lost(spooled, tmp_path: Path) -> None:
    bench = Bench(FakeTarget.answering(*[DOWN] * 9), **spooled)
    bench.offer(1)
    bench.work()
    bench.clock.advance(1)
    bench.work()  # tried from disk, and failed
    next(tmp_path.glob("otlp/000/*.otlp")).unlink()

    bench.delivery.abandon()

    assert (bench.at.spooled, bench.at.dropped) == (0, {"spool_corrupt": 1})
    assert bench.ledger.snapshot().imbalance() == {}
    bench.delivery.close()
