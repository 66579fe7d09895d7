"""The ledger under OpenTelemetry's own names.

Names, units, attributes: semantic conventions, "SDK metrics" (status: development).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from zerostate.telemetry.export.snapshot import (
    DURATION_BOUNDS_S,
    DestinationSnapshot,
    DropReason,
    Histogram,
    LedgerSnapshot,
)

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.metrics import Histogram as HistogramInstrument

COMPONENT_TYPE: Final = "batching_span_processor"
COMPONENT_NAME: Final = "batching_span_processor/0"

_SCOPE: Final = "zerostate.telemetry"
_SPAN_UNIT: Final = "{span}"
_ALREADY_SHUTDOWN: Final = "already_shutdown"
"""What the conventions call a span that came after shutdown."""

Attributes = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class MetricKind:
    """One of the conventions' metrics."""

    name: str
    unit: str
    instrument: str
    """``counter``, ``updowncounter`` or ``histogram``."""
    description: str


class MetricPoint(NamedTuple):
    """One value of one metric."""

    name: str
    attributes: Attributes
    value: int | Histogram


STARTED: Final = MetricKind(
    "otel.sdk.span.started", _SPAN_UNIT, "counter", "Spans started"
)
LIVE: Final = MetricKind(
    "otel.sdk.span.live", _SPAN_UNIT, "updowncounter", "Recording spans not ended"
)
QUEUE_SIZE: Final = MetricKind(
    "otel.sdk.processor.span.queue.size", _SPAN_UNIT, "updowncounter", "Spans queued"
)
QUEUE_CAPACITY: Final = MetricKind(
    "otel.sdk.processor.span.queue.capacity",
    _SPAN_UNIT,
    "updowncounter",
    "Spans the queue holds at most",
)
PROCESSED: Final = MetricKind(
    "otel.sdk.processor.span.processed",
    _SPAN_UNIT,
    "counter",
    "Spans handed to the exporters, or dropped before",
)
EXPORTED: Final = MetricKind(
    "otel.sdk.exporter.span.exported",
    _SPAN_UNIT,
    "counter",
    "Spans whose export has finished, well or not",
)
INFLIGHT: Final = MetricKind(
    "otel.sdk.exporter.span.inflight",
    _SPAN_UNIT,
    "updowncounter",
    "Spans handed to the exporter and not finished",
)
DURATION: Final = MetricKind(
    "otel.sdk.exporter.operation.duration", "s", "histogram", "Export calls"
)

KINDS: Final = (
    STARTED,
    LIVE,
    QUEUE_SIZE,
    QUEUE_CAPACITY,
    PROCESSED,
    EXPORTED,
    INFLIGHT,
    DURATION,
)


def metric_points(
    snapshot: LedgerSnapshot, before_export: Mapping[str, int]
) -> Iterator[MetricPoint]:
    """Yield every metric of `snapshot`.

    Args:
        snapshot: The ledger.
        before_export: Drops before spans reach a destination, by reason.
    """
    recorded: Attributes = {"otel.span.sampling_result": "RECORD_AND_SAMPLE"}
    yield MetricPoint(STARTED.name, recorded, snapshot.started)
    if snapshot.sampled_out:
        dropped: Attributes = {"otel.span.sampling_result": "DROP"}
        yield MetricPoint(STARTED.name, dropped, snapshot.sampled_out)
    yield MetricPoint(LIVE.name, recorded, snapshot.live)
    component: Attributes = {
        "otel.component.type": COMPONENT_TYPE,
        "otel.component.name": COMPONENT_NAME,
    }
    yield MetricPoint(QUEUE_SIZE.name, component, snapshot.queue_spans)
    yield MetricPoint(QUEUE_CAPACITY.name, component, snapshot.queue_capacity)
    waiting = snapshot.queue_spans + snapshot.encoding
    handed_on = snapshot.ended - waiting - sum(before_export.values())
    yield MetricPoint(PROCESSED.name, component, max(handed_on, 0))
    for reason, spans in before_export.items():
        cause = _ALREADY_SHUTDOWN if reason == DropReason.SHUTDOWN else reason
        yield MetricPoint(PROCESSED.name, {**component, "error.type": cause}, spans)
    for name, at in snapshot.destinations.items():
        yield from _exporter_points(name, at, before_export)


def _exporter(
    name: str, component_type: str, server: tuple[str, int]
) -> dict[str, str | int]:
    where: dict[str, str | int] = {
        "otel.component.type": component_type,
        "otel.component.name": f"{component_type}/{name}",
    }
    if server[0]:
        where["server.address"] = server[0]
    if server[1]:
        where["server.port"] = server[1]
    return where


def _exporter_points(
    name: str, at: DestinationSnapshot, before_export: Mapping[str, int]
) -> Iterator[MetricPoint]:
    where = _exporter(name, at.component_type, (at.server_address, at.server_port))
    yield MetricPoint(EXPORTED.name, where, at.exported + at.recovered.exported)
    for reason in sorted(set(at.dropped) | set(at.recovered.dropped)):
        own = at.dropped.get(reason, 0) - before_export.get(reason, 0)
        spans = own + at.recovered.dropped.get(reason, 0)
        if spans > 0:
            yield MetricPoint(EXPORTED.name, {**where, "error.type": reason}, spans)
    yield MetricPoint(INFLIGHT.name, where, at.inflight)
    for error_type, histogram in at.durations.items():
        cause = {"error.type": error_type} if error_type else {}
        yield MetricPoint(DURATION.name, {**where, **cause}, histogram)


def observe(
    provider: "MeterProvider", points: Callable[[], Iterable[MetricPoint]]
) -> "HistogramInstrument":
    """Register an observable instrument for each metric but the histogram.

    Returns:
        The histogram's instrument, into which each duration is to be recorded: a
        histogram cannot be observed.
    """
    from opentelemetry.metrics import Observation  # noqa: PLC0415  # 1 MB, rarely used

    meter = provider.get_meter(_SCOPE)

    def reader(name: str) -> "Callable[[CallbackOptions], Iterable[Observation]]":
        def read(_: "CallbackOptions") -> "Iterable[Observation]":
            for point in points():
                if point.name == name and isinstance(point.value, int):
                    yield Observation(point.value, dict(point.attributes))

        return read

    for kind in KINDS:
        read = [reader(kind.name)]
        if kind.instrument == "counter":
            meter.create_observable_counter(
                kind.name, read, kind.unit, kind.description
            )
        elif kind.instrument == "updowncounter":
            meter.create_observable_up_down_counter(
                kind.name, read, kind.unit, kind.description
            )
    return meter.create_histogram(
        DURATION.name,
        DURATION.unit,
        DURATION.description,
        explicit_bucket_boundaries_advisory=DURATION_BOUNDS_S,
    )


def recorder(
    histogram: "HistogramInstrument",
    name: str,
    component_type: str,
    server: tuple[str, int],
) -> Callable[[float, str], None]:
    """Return what records one export call of the destination `name`."""
    where = _exporter(name, component_type, server)

    def record(duration_s: float, error_type: str) -> None:
        cause = {"error.type": error_type} if error_type else {}
        histogram.record(duration_s, {**where, **cause})

    return record
