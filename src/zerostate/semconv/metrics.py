"""Metric names.

Written by tools/generate_semconv.py from registry/*.yaml; do not edit.
"""

from typing import Final

from zerostate.semconv.model import MetricSpec

REGISTERED: Final[tuple[MetricSpec, ...]] = (
    MetricSpec("otel.sdk.span.started", "counter", "{span}", "Spans started."),
    MetricSpec(
        "otel.sdk.span.live",
        "updowncounter",
        "{span}",
        "Recorded spans that have not ended.",
    ),
    MetricSpec(
        "otel.sdk.processor.span.queue.size",
        "updowncounter",
        "{span}",
        "Ended spans that wait for export.",
    ),
    MetricSpec(
        "otel.sdk.processor.span.queue.capacity",
        "updowncounter",
        "{span}",
        "Ended spans that may wait for export.",
    ),
    MetricSpec(
        "otel.sdk.processor.span.processed",
        "counter",
        "{span}",
        "Ended spans handed to export, or lost before it.",
    ),
    MetricSpec(
        "otel.sdk.exporter.span.exported",
        "counter",
        "{span}",
        "Spans whose export is over, successful or not.",
    ),
    MetricSpec(
        "otel.sdk.exporter.span.inflight",
        "updowncounter",
        "{span}",
        "Spans whose export is under way.",
    ),
    MetricSpec(
        "otel.sdk.exporter.operation.duration",
        "histogram",
        "s",
        "Duration of one export.",
    ),
)
"""Every metric that ZeroState emits."""
