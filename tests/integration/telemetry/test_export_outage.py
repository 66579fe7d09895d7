"""The receiver goes away under load, and comes back: where is every span?"""

import resource
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from export_fakes import LOGGER, Limits
from export_receiver import Receiver
from zerostate.telemetry.export import (
    DestinationConfig,
    Encoded,
    ExportPipeline,
    HttpTarget,
    SpanLedger,
    SpoolConfig,
)

SPANS_PER_S = 5000
BYTES_PER_SPAN = 218
"""What the usual span encodes to."""
TICK_S = 0.01
PAYLOAD = b"x" * (BYTES_PER_SPAN - 10)
MAX_GROWTH_BYTES = 100 * 1024 * 1024
"""Two destinations' bounds (8 MiB each), what the receiver keeps, and slack."""


def encode(spans) -> Encoded:
    return Encoded(b"".join(b"%010d%b" % (span, PAYLOAD) for span in spans))


@dataclass
class Load:
    """Ends spans at a steady pace on the caller's thread."""

    pipeline: ExportPipeline
    ledger: SpanLedger
    made: int = 0

    def run(self, seconds: float) -> None:
        pause = Event()
        began, first = monotonic(), self.made
        while (passed_s := monotonic() - began) < seconds:
            due = first + int(passed_s * SPANS_PER_S)
            while self.made < due:
                self.ledger.started()
                self.ledger.ended()
                self.pipeline.put(self.made)
                self.made += 1
            assert self.ledger.snapshot().imbalance() == {}
            pause.wait(TICK_S)


def spans_at(receivers: list[Receiver], path: str) -> list[int]:
    return [
        int(request.body[at : at + 10])
        for receiver in receivers
        for request in receiver.requests
        if request.path == path
        for at in range(0, len(request.body), BYTES_PER_SPAN)
    ]


@pytest.mark.parametrize(
    "outage_s",
    [10, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(300)])],
)
def test_every_span_of_an_outage_is_accounted_for(
    outage_s: float, tmp_path: Path
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with Receiver() as receiver:
        base = f"http://127.0.0.1:{receiver.port}"
        ledger = SpanLedger()
        configs = [
            DestinationConfig(name="memory", target=HttpTarget(url=base + "/memory")),
            DestinationConfig(
                name="spool",
                target=HttpTarget(url=base + "/spool"),
                spool=SpoolConfig(directory=str(tmp_path)),
            ),
        ]
        pipeline = ExportPipeline(encode, configs, Limits(delay_s=0.5), ledger, LOGGER)
        load = Load(pipeline, ledger)
        load.run(1)
    load.run(outage_s)
    at = ledger.snapshot().destinations
    assert at["spool"].spooled > 0
    assert sum(at["memory"].dropped.values()) > 0
    assert all(d.pending_bytes <= 8 * 1024 * 1024 for d in at.values())

    with Receiver(port=receiver.port) as back:
        pipeline.force_flush(1)
        load.run(1)
        pipeline.force_flush(30)
        deadline = monotonic() + 60
        while ledger.snapshot().destinations["spool"].spooled:
            assert monotonic() < deadline
            pipeline.force_flush(0.1)
            Event().wait(TICK_S)
        began = monotonic()
        assert pipeline.shutdown(5)
        assert monotonic() - began < 5
        in_memory = spans_at([receiver, back], "/memory")
        on_disk = spans_at([receiver, back], "/spool")

    snapshot = ledger.snapshot()
    assert snapshot.ended == load.made
    assert snapshot.imbalance() == {}
    at = snapshot.destinations
    assert set(at["memory"].dropped) <= {"bytes_full", "queue_full"}
    assert at["memory"].exported == len(set(in_memory))
    # What the encoder had no time for is gone for both; the rest the spool has saved.
    assert set(at["spool"].dropped) <= {"queue_full"}
    assert at["spool"].exported == len(set(on_disk))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if outage_s == 10:  # the receiver in this process keeps all it was sent
        assert after - before < MAX_GROWTH_BYTES
