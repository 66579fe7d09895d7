import sys
import threading

import pytest

from zerostate.telemetry.recorder import SpanLimits

THREADS = 8
ATTRIBUTES = 1500


@pytest.fixture
def frequent_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work):
    """Run `work(number)` in `THREADS` threads; return what they raised."""
    failures = []
    barrier = threading.Barrier(THREADS)

    def run(number):
        barrier.wait()
        try:
            work(number)
        except Exception as exc:  # noqa: BLE001  # the test's result
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("limit", [0, 1, 128])
def test_a_full_span_takes_attributes_of_many_threads(make_recording, limit):
    span = make_recording(SpanLimits(max_attributes=limit)).tracer.start_span("n")

    def work(number):
        for index in range(ATTRIBUTES):
            span.set_attribute(f"{number}.{index}", index)
            span.set_attributes({f"{number}.{index}.more": "x"})

    assert in_threads(work) == []
    kept = len(span.attributes)
    assert kept <= limit
    assert kept + span.dropped_attributes == 2 * THREADS * ATTRIBUTES


@pytest.mark.usefixtures("frequent_switches")
def test_a_span_can_be_read_while_others_write(make_recording):
    span = make_recording(SpanLimits(max_attributes=8)).tracer.start_span("n")

    def work(number):
        for index in range(ATTRIBUTES // 5):
            span.set_attribute(f"{number}.{index}", index)
            assert len(dict(span.attributes)) <= 8 + THREADS

    assert in_threads(work) == []
