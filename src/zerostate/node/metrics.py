"""A node's metrics in Prometheus's text format."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

import zerostate
from zerostate.node.ops import Ops
from zerostate.node.vitals import Vitals
from zerostate.p2p.health import ROUND_TRIP_BOUNDS_S
from zerostate.telemetry.export.metrics import KINDS, MetricKind, MetricPoint
from zerostate.telemetry.export.snapshot import Histogram
from zerostate.units import NS_PER_S

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus's text exposition format."""

MAX_PEER_SERIES: Final = 256
"""Peers with series of their own, at most: those with the smallest ids. All are in the
numbers without a peer."""

MAX_EVENT_SERIES: Final = 512
"""Counters of one layer that become series, at most, the first by name."""


def render_metrics(ops: Ops) -> bytes:
    """Return all metrics; those of the layers are missing until the node listens."""
    telemetry = ops.telemetry.metrics()
    registry = CollectorRegistry()
    registry.register(
        _Given([*_node(ops), *_layers(ops.vitals), *_telemetry(telemetry)])
    )
    return generate_latest(registry)


class _Given(Collector):
    """Hands out metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _node(ops: Ops) -> Iterator[Metric]:
    pulse = ops.pulse
    yield InfoMetricFamily(
        "zerostate_node", "This node's program", {"version": zerostate.__version__}
    )
    yield GaugeMetricFamily(
        "zerostate_node_loop_lag_seconds",
        "By how much the event loop's last tick was late",
        pulse.lag_s(),
    )
    yield GaugeMetricFamily(
        "zerostate_node_loop_worst_lag_seconds",
        "By how much the latest of the last minute's ticks was late",
        pulse.worst_lag_s(),
    )
    yield GaugeMetricFamily(
        "zerostate_node_loop_silence_seconds",
        "For how long the event loop has not ticked",
        pulse.silence_s(),
    )
    yield CounterMetricFamily(
        "zerostate_node_failed_ticks",
        "Ticks at which the node's own numbers could not be taken",
        ops.failed_ticks,
    )


def _layers(vitals: Vitals | None) -> Iterator[Metric]:
    if vitals is None:
        return
    yield GaugeMetricFamily(
        "zerostate_node_snapshot_timestamp_seconds",
        "When the numbers of p2p and guild were taken",
        vitals.at_unix_ns / NS_PER_S,
    )
    yield GaugeMetricFamily(
        "zerostate_p2p_connected_peers", "Peers connected", len(vitals.connected)
    )
    yield _events("zerostate_p2p_events", "What peers did", vitals.p2p_counts)
    yield _round_trips(vitals)
    yield from _clocks(vitals)
    yield GaugeMetricFamily(
        "zerostate_guild_guilds", "Open guilds that this peer is in", vitals.guilds
    )
    yield _events("zerostate_guild_events", "What guilds did", vitals.guild_counts)
    yield GaugeMetricFamily(
        "zerostate_payment_debts", "Tasks done and still to be paid", vitals.debts
    )
    if vitals.unpaid is not None:
        yield GaugeMetricFamily(
            "zerostate_payment_unpaid_tasks",
            "Tasks done for others and not known to be paid",
            vitals.unpaid.tasks,
        )
    yield _events(
        "zerostate_payment_events",
        "What became of money matters in the background",
        vitals.payment_counts,
    )


def _events(name: str, text: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        name, f"{text}, by the counter's name", labels=["event"]
    )
    for event in sorted(counts)[:MAX_EVENT_SERIES]:
        family.add_metric([event], counts[event])
    return family


def _round_trips(vitals: Vitals) -> Metric:
    counts, sum_s = vitals.round_trips.counts, vitals.round_trips.sum_s
    return HistogramMetricFamily(
        "zerostate_p2p_round_trip_seconds",
        "Pings of health checks that were answered",
        _cumulative(ROUND_TRIP_BOUNDS_S, counts),
        sum_s,
    )


def _clocks(vitals: Vitals) -> Iterator[Metric]:
    offset = GaugeMetricFamily(
        "zerostate_p2p_clock_offset_seconds",
        "A connected peer's clock minus ours, by what that peer says",
        labels=["peer_id"],
    )
    error = GaugeMetricFamily(
        "zerostate_p2p_clock_error_seconds",
        "The true offset is within this of the measured one",
        labels=["peer_id"],
    )
    for peer_id in sorted(vitals.health)[:MAX_PEER_SERIES]:
        report = vitals.health[peer_id]
        if report.clock_offset_ns is not None and report.clock_error_ns is not None:
            offset.add_metric([peer_id], report.clock_offset_ns / NS_PER_S)
            error.add_metric([peer_id], report.clock_error_ns / NS_PER_S)
    yield offset
    yield error


def _telemetry(points: Iterable[MetricPoint]) -> Iterator[Metric]:
    by_name: dict[str, list[MetricPoint]] = {}
    for point in points:
        by_name.setdefault(point.name, []).append(point)
    for kind in KINDS:
        yield _family(kind, by_name.get(kind.name, []))


def _family(kind: MetricKind, points: list[MetricPoint]) -> Metric:
    # Names as OpenTelemetry's Prometheus compatibility specification makes them.
    name = kind.name.replace(".", "_") + ("_seconds" if kind.unit == "s" else "")
    keys = sorted({key for point in points for key in point.attributes})
    labels = [key.replace(".", "_") for key in keys]
    if kind.instrument == "histogram":
        histogram = HistogramMetricFamily(name, kind.description, labels=labels)
        for point in points:
            if isinstance(point.value, Histogram):
                buckets = _cumulative(point.value.bounds, point.value.counts)
                histogram.add_metric(_values(point, keys), buckets, point.value.sum)
        return histogram
    made = CounterMetricFamily if kind.instrument == "counter" else GaugeMetricFamily
    family = made(name, kind.description, labels=labels)
    for point in points:
        if isinstance(point.value, int):
            family.add_metric(_values(point, keys), point.value)
    return family


def _values(point: MetricPoint, keys: list[str]) -> list[str]:
    return [str(point.attributes.get(key, "")) for key in keys]


def _cumulative(
    bounds: tuple[float, ...], counts: tuple[int, ...]
) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
