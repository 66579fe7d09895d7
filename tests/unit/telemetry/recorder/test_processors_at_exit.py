"""What becomes of foreign processors that nobody shuts down, in real processes."""

import subprocess
import sys
import threading
from time import monotonic

import pytest
from opentelemetry.sdk.trace import SpanProcessor

PROGRAM = """
import sys, threading
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import *
from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.telemetry.recorder import RecorderProvider, SpanLimits
from zerostate.telemetry.sampling import AlwaysOn

class Exporter(SpanExporter):
    def export(self, spans):
        print("exported", *(span.name for span in spans), flush=True)
        return SpanExportResult.SUCCESS
    def shutdown(self):
        print("stopped", flush=True)

class Hanging(SpanProcessor):
    def shutdown(self):
        threading.Event().wait()

class Raising(SpanProcessor):
    def shutdown(self):
        raise ValueError

provider = RecorderProvider(resource={}, sampler=AlwaysOn(), sink=None,
    ledger=SpanLedger(), limits=SpanLimits())
tracer = provider.get_tracer("a")
case = sys.argv[1]
if case == "hanging":
    provider.add_span_processor(Hanging())
if case == "raising":
    provider.add_span_processor(Raising())
provider.add_span_processor(BatchSpanProcessor(Exporter()))
tracer.start_span("x").end()
if case == "shut down":
    provider.shutdown(5)
if case == "without the provider":
    del provider
"""


@pytest.mark.parametrize(
    "case",
    [
        "plain",
        "shut down",
        "without the provider",
        "raising",
        pytest.param("hanging", marks=pytest.mark.slow),  # waits EXIT_TIMEOUT_S
    ],
)
def test_the_end_of_a_program_brings_the_last_spans_out_once(case):
    started_s = monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, case],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.stdout.splitlines() == ["exported x", "stopped"]
    assert ("a processor raised" in done.stderr) == (case == "raising")
    assert monotonic() - started_s < 20


class Stopped(SpanProcessor):
    def __init__(self):
        self.times = 0

    def shutdown(self):
        self.times += 1


def test_processors_are_shut_down_once_however_often_the_provider_is(recording):
    first, second = Stopped(), Stopped()
    recording.provider.add_span_processor(first)
    assert recording.provider.shutdown()
    recording.provider.add_span_processor(second)

    assert recording.provider.shutdown()
    assert recording.provider.shutdown()

    assert (first.times, second.times) == (1, 1)


def test_a_processor_that_hangs_takes_no_time_from_the_others(recording):
    release = threading.Event()

    class Hanging(SpanProcessor):
        def shutdown(self):
            release.wait()

    stopped = Stopped()
    recording.provider.add_span_processor(Hanging())
    recording.provider.add_span_processor(stopped)

    assert recording.provider.shutdown(0.05) is False
    release.set()
    assert stopped.times == 1


def test_what_is_no_processor_at_all_harms_nobody(recording):
    recording.provider.add_span_processor(object())

    recording.tracer.start_span("n").end()

    assert recording.names == ["n"]
    assert recording.provider.force_flush() is False
    assert recording.provider.shutdown() is False


def test_without_a_thread_the_processor_is_left_and_that_is_told(recording, caplog):
    stopped = Stopped()
    recording.provider.add_span_processor(stopped)
    before = threading.stack_size(64 << 40)  # more than there is address space for
    try:
        assert recording.provider.shutdown() is False
    finally:
        threading.stack_size(before)

    assert stopped.times == 0
    assert recording.provider.misuse == {"thread": 1}
    assert len(caplog.records) == 1
