"""What the telemetry library says of itself is registered too."""

from semconv_source import registry_tool
from zerostate.semconv import attributes as attr
from zerostate.telemetry import marks
from zerostate.telemetry.export.metrics import KINDS, metric_points
from zerostate.telemetry.export.snapshot import (
    DestinationSnapshot,
    Histogram,
    LedgerSnapshot,
    RecoveredSnapshot,
)
from zerostate.testing import SpanRecorder

REGISTRY = registry_tool().load()
TOOK = Histogram(bounds=(1.0,), counts=(1, 0), sum=0.5)


def a_ledger_in_which_everything_happened():
    destination = DestinationSnapshot(
        exported=3,
        queued=1,
        spooled=0,
        dropped={"rejected": 1},
        recovered=RecoveredSnapshot(),
        inflight=1,
        pending_bytes=100,
        component_type="otlp_http_span_exporter",
        server_address="127.0.0.1",
        server_port=4318,
        durations={"": TOOK, "timeout": TOOK},
    )
    return LedgerSnapshot(
        started=6,
        live=1,
        ended=5,
        sampled_out=2,
        queue_spans=1,
        queue_capacity=2048,
        encoding=0,
        destinations={"main": destination},
    )


def test_the_metrics_are_the_registered_ones():
    registered = {m.name: (m.kind, m.unit) for m in REGISTRY.metrics}

    assert {k.name: (k.instrument, k.unit) for k in KINDS} == registered


def test_metrics_carry_the_attributes_that_are_registered_for_them():
    points = list(
        metric_points(a_ledger_in_which_everything_happened(), {"shutdown": 1})
    )

    for metric in REGISTRY.metrics:
        registered = {use.key for use in metric.uses}
        required = {use.key for use in metric.uses if use.level == "required"}
        emitted = [set(p.attributes) for p in points if p.name == metric.name]
        assert set().union(*emitted) == registered, metric.name
        assert all(keys >= required for keys in emitted), metric.name


def test_the_marks_are_registered():
    (group,) = [group for group in REGISTRY.groups if group.name == "zerostate.marks"]

    recorder = SpanRecorder()
    with recorder.provider.get_tracer("t").start_as_current_span("marked") as span:
        marks.record_success(span, 1.5)
        marks.record_size(span, 2)
        marks.record_count(span, 3)

    assert recorder.named("marked").attributes == {
        attr.DURATION_MS: 1.5,
        attr.SIZE_BYTES: 2,
        attr.COUNT: 3,
    }
    assert {use.key for use in group.uses} == set(recorder.named("marked").attributes)
