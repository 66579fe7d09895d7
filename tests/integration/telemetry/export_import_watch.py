"""Exports once in many ways; prints what was imported by threads: ``PORT DIRECTORY``."""

import logging
import sys
import threading
from pathlib import Path

from export_fakes import Limits
from zerostate.telemetry.export import (
    Compression,
    DestinationConfig,
    Encoded,
    ExportPipeline,
    FileTarget,
    GrpcTarget,
    HttpTarget,
    RetryConfig,
    SpanLedger,
    SpoolConfig,
)

WAIT_S = 10
EMPTY_SCOPE_SPANS = b"\x0a\x00"
"""A request with one resource without spans, which every destination can carry."""


def encode(spans) -> Encoded:
    return Encoded(EMPTY_SCOPE_SPANS)


class Watch:
    """Of `sys.meta_path`: told each module that is not loaded yet."""

    def __init__(self) -> None:
        self.late: list[str] = []

    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            self.late.append(name)


def main() -> None:
    port, directory = sys.argv[1:]
    url = f"http://localhost:{port}/"
    targets = {
        "gzip": HttpTarget(url=url, compression=Compression.GZIP),
        "zstd": HttpTarget(url=url, compression=Compression.ZSTD),
        "gone": HttpTarget(url="http://127.0.0.1:1/"),
        "grpc": GrpcTarget(url="http://127.0.0.1:1"),
        "file": FileTarget(path=str(Path(directory, "spans.jsonl"))),
    }
    configs = [
        DestinationConfig(
            name=name,
            target=target,
            timeout_s=2,
            retry=RetryConfig(max_elapsed_s=0),
            spool=SpoolConfig(directory=directory) if name == "gone" else None,
        )
        for name, target in targets.items()
    ]
    ledger = SpanLedger()
    logger = logging.getLogger("watched")
    logger.setLevel(logging.CRITICAL)
    pipeline = ExportPipeline(encode, configs, Limits(), ledger, logger)
    watch = Watch()
    sys.meta_path.insert(0, watch)
    ledger.started()
    ledger.ended()
    pipeline.put(1)
    pipeline.force_flush(WAIT_S)
    pipeline.shutdown(WAIT_S)
    at = ledger.snapshot().destinations
    settled = [n for n, d in at.items() if d.exported or d.spooled or d.dropped]
    sys.stdout.write(f"{settled}\nlate: {watch.late}\n")


if __name__ == "__main__":
    main()
