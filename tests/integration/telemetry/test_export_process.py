"""How a program's end and its forks treat what is in the queue."""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from export_fakes import LOGGER, FakeTarget, Limits, decode, destination, encode
from export_receiver import Hang, Receiver
from zerostate.telemetry.export import (
    DestinationConfig,
    ExportPipeline,
    HttpTarget,
    SpanLedger,
    SpoolConfig,
)

PROGRAM = Path(__file__).with_name("export_process.py")
IMPORT_WATCH = PROGRAM.with_name("export_import_watch.py")
TESTS = PROGRAM.parents[2]

# What this process imports, its children do too: the sources may be a changed copy.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}


def run(*arguments: str, program: Path = PROGRAM) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=ENVIRONMENT,
    )


def received(receiver: Receiver) -> list[int]:
    return sorted(s for request in receiver.requests for s in decode(request.body))


@pytest.mark.parametrize("mode", ["end", "raise"])
def test_a_programs_last_spans_are_sent_when_it_ends(mode: str) -> None:
    with Receiver() as receiver:
        result = run(mode, receiver.url)

        assert received(receiver) == list(range(50))
    assert result.returncode == (3 if mode == "raise" else 0)
    assert result.stderr == ""


def test_a_receiver_that_hangs_holds_a_programs_end_up_for_the_set_time_only() -> None:
    with Receiver(Hang()) as receiver:
        result = run("end", receiver.url)
        took_s = monotonic() - float(result.stdout.split()[1])

    assert 0.9 < took_s < 5
    assert "spans dropped: otlp shutdown=50" in result.stderr


@pytest.mark.parametrize("mode", ["fork", "multiprocessing"])
def test_a_forked_child_sends_its_own_spans_and_not_its_parents(mode: str) -> None:
    with Receiver() as receiver:
        result = run(mode, receiver.url)

        parents = list(range(99 if mode == "fork" else 50))
        assert received(receiver) == parents + list(range(5000, 5007))
    assert result.returncode == 0
    assert "child 0 0 {}" in result.stdout
    assert result.stderr == ""


def test_children_forked_around_the_first_export_can_export() -> None:
    with Receiver() as receiver:
        result = run("first-export", receiver.url)

        children = [span for span in received(receiver) if span >= 5000]
    assert children == list(range(5000, 5012))
    assert "12 children, 0 failed\n" in result.stdout


def test_no_thread_of_the_pipeline_imports_what_a_fork_could_leave_locked(
    tmp_path: Path,
) -> None:
    with Receiver() as receiver:
        result = run(str(receiver.port), str(tmp_path), program=IMPORT_WATCH)

    settled, late = result.stdout.splitlines()
    assert settled == "['gzip', 'zstd', 'gone', 'grpc', 'file']"
    assert late == "late: []"


def test_what_was_spooled_outlives_a_killed_process(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM), "spool", "http://127.0.0.1:1/", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "spooled\n"
        program.kill()

    with Receiver() as receiver:
        ledger = SpanLedger()
        config = DestinationConfig(
            target=HttpTarget(url=receiver.url),
            spool=SpoolConfig(directory=str(tmp_path)),
        )
        # Not one span is needed for the backlog to be sent.
        pipeline = ExportPipeline(encode, [config], Limits(), ledger, LOGGER)
        assert receiver.wait_for_requests(1)
        pipeline.shutdown(10)

        assert received(receiver) == list(range(50))
        recovered = ledger.snapshot().destinations["otlp"].recovered
        assert (recovered.found, recovered.exported) == (50, 50)


def test_a_fork_in_the_middle_of_everything_does_not_deadlock() -> None:
    with Receiver(*[Hang()] * 3) as receiver:
        ledger = SpanLedger()
        pipeline = ExportPipeline(
            encode,
            [
                destination(HttpTarget(url=receiver.url), "hangs"),
                destination(FakeTarget(), "fake"),
            ],
            Limits(max_queue_spans=64, max_batch_spans=8, delay_s=0.001),
            ledger,
            LOGGER,
        )
        for _ in range(10):
            for span in range(100):
                ledger.started()
                ledger.ended()
                pipeline.put(span)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = _use_in_child(pipeline, ledger)
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
        pipeline.shutdown(0.1)
        assert ledger.snapshot().imbalance() == {}
        assert ledger.snapshot().ended == 1000


def _use_in_child(pipeline: ExportPipeline, ledger: SpanLedger) -> int:
    if ledger.snapshot().ended or ledger.snapshot().queue_spans:
        return 2
    fake = pipeline._deliveries[1]._config.target
    fake.bodies.clear()
    ledger.started()
    ledger.ended()
    pipeline.put(1)
    if not pipeline._flush_queue(pipeline._clock.monotonic_ns() + 10**10):
        return 3
    if not pipeline._deliveries[1].wait_for(1, 10):
        return 4
    if fake.received != [1]:
        return 5
    pipeline.shutdown(0.01)
    return 6 if ledger.snapshot().imbalance() else 0
