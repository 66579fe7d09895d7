import os
import random
import sys

import pytest

from zerostate.telemetry.recorder.ids import RandomIds, random_bits


def test_seeding_the_programs_random_does_not_make_ids_repeat(recording):
    def ids():
        random.seed(1)
        return recording.tracer.start_span("n").context

    first, second = ids(), ids()

    assert first.trace_id != second.trace_id
    assert first.span_id != second.span_id


def test_drawing_ids_does_not_disturb_the_programs_random(recording):
    random.seed(1)
    undisturbed = random.random()
    random.seed(1)
    recording.tracer.start_span("n")

    assert random.random() == undisturbed


def test_all_bits_of_the_ids_vary():
    traces = [RandomIds().generate_trace_id() for _ in range(200)]
    spans = [RandomIds().generate_span_id() for _ in range(200)]

    ones, anded = 0, (1 << 128) - 1
    for trace_id in traces:
        ones, anded = ones | trace_id, anded & trace_id
    assert (ones, anded) == ((1 << 128) - 1, 0)
    assert max(spans) < 1 << 64
    assert len(set(traces)) == len(set(spans)) == 200
    assert RandomIds().is_trace_id_random()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
# Python warns of a fork beside threads from 3.12 on; none of ours is running.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_draws_other_ids_than_its_parent():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, random_bits(128).to_bytes(16, "big"))
        finally:
            os._exit(0)
    parents = [random_bits(128) for _ in range(8)]
    os.waitpid(pid, 0)
    child = int.from_bytes(os.read(read, 16), "big")
    os.close(read)
    os.close(write)

    assert child not in parents
    assert child.bit_length() > 64
    sys.stdout.flush()
