"""A program that traces itself, for tests of its end: ``MODE URL [SPOOL]``."""

import logging
import multiprocessing
import os
import sys
import time

from export_fakes import Limits, encode
from zerostate.telemetry.export import (
    DestinationConfig,
    ExportPipeline,
    HttpTarget,
    RetryConfig,
    SpanLedger,
    SpoolConfig,
)

FORKS = 12
CHILD_FLUSH_S = 10


def put(pipeline, ledger, first: int, count: int) -> None:
    for span in range(first, first + count):
        ledger.started()
        ledger.ended()
        pipeline.put(span)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def child_work(pipeline, ledger) -> None:
    before = ledger.snapshot()
    put(pipeline, ledger, 5000, 7)
    say(f"child {before.ended} {before.queue_spans} {before.imbalance()}")


def fork_around_first_export(pipeline, ledger) -> None:
    """Fork while the threads do for the first time what they do."""
    put(pipeline, ledger, 50, 50)  # a batch is full: the export begins
    children = []
    for number in range(FORKS):
        child = os.fork()
        if child == 0:
            put(pipeline, ledger, 5000 + number, 1)
            os._exit(0 if pipeline.force_flush(CHILD_FLUSH_S) else 1)
        children.append(child)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    say(f"{FORKS} children, {failed} failed")


def main() -> None:
    mode, url, *directory = sys.argv[1:]
    ledger = SpanLedger()
    pipeline = ExportPipeline(
        encode,
        [
            DestinationConfig(
                target=HttpTarget(url=url),
                timeout_s=60,
                spool=SpoolConfig(directory=directory[0]) if directory else None,
                retry=RetryConfig(max_elapsed_s=0),
            )
        ],
        Limits(max_queue_spans=100, max_batch_spans=100),
        ledger,
        logging.getLogger("process"),
        exit_timeout_s=1.0,
    )
    put(pipeline, ledger, 0, 50)
    if mode == "fork":
        put(pipeline, ledger, 50, 49)
        child = os.fork()
        if child == 0:
            child_work(pipeline, ledger)
            sys.exit(0)
        os.waitpid(child, 0)
    elif mode == "multiprocessing":
        context = multiprocessing.get_context("fork")
        process = context.Process(target=child_work, args=(pipeline, ledger))
        process.start()
        process.join()
    elif mode == "first-export":
        fork_around_first_export(pipeline, ledger)
    elif mode == "raise":
        raise SystemExit(3)
    elif mode == "spool":
        while ledger.snapshot().destinations["otlp"].spooled < 50:
            pipeline.force_flush(0.01)
        say("spooled")
        time.sleep(60)  # until killed
    say(f"leaving {time.monotonic()}")


if __name__ == "__main__":
    main()
