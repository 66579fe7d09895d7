"""Memory of one way to trace, for `telemetry.py`: needs a process of its own.

    python benchmarks/telemetry_memory.py "ZeroState" | "OpenTelemetry SDK"

Prints the private memory that import and init add to an interpreter that has loaded
the OpenTelemetry API, and what each of 2048 spans with 5 attributes adds while it
waits in the queue. The receiver is a closed port: nothing leaves.
"""

import gc
import os
import sys
from pathlib import Path

QUEUED_SPANS = 2048


def private_bytes() -> int:
    """Return this process's private dirty memory (proc(5), smaps_rollup)."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise LookupError("smaps_rollup tells no Private_Dirty")


def our_tracer():
    """Return a tracer of ours that exports nothing for an hour."""
    from zerostate.telemetry import BatchConfig, TelemetryConfig, init_tracer

    batch = BatchConfig(
        max_queue_spans=2 * QUEUED_SPANS,
        max_batch_spans=2 * QUEUED_SPANS,
        delay_s=3600,
    )
    config = TelemetryConfig(
        service_name="bench", otlp_endpoint="127.0.0.1:9", batch=batch
    )
    return init_tracer(config).get_tracer("bench")


def sdk_tracer():
    """Return the SDK's, in the same state."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint="http://127.0.0.1:9/v1/traces")
    processor = BatchSpanProcessor(
        exporter,
        max_queue_size=2 * QUEUED_SPANS,
        max_export_batch_size=2 * QUEUED_SPANS,
        schedule_delay_millis=3_600_000,
    )
    provider.add_span_processor(processor)
    return provider.get_tracer("bench")


def main() -> None:
    """Print one line."""
    from opentelemetry import trace  # noqa: F401  # loaded before the measurement

    name = sys.argv[1]
    gc.collect()
    before = private_bytes()
    tracer = our_tracer() if name == "ZeroState" else sdk_tracer()
    gc.collect()
    started = private_bytes()
    for number in range(QUEUED_SPANS):
        with tracer.start_as_current_span("op") as span:
            span.set_attribute("http.request.method", "GET")
            span.set_attribute("url.path", f"/api/v1/items/{number}")
            span.set_attribute("http.response.status_code", 200 + number % 7)
            span.set_attribute("peer.latency", number * 0.001)
            span.set_attribute("cache.hit", True)
    gc.collect()
    queued = private_bytes()
    init_mb = (started - before) / 1e6
    span_bytes = (queued - started) / QUEUED_SPANS
    print(f"{name:<28} init {init_mb:>5.1f} MB, queued {span_bytes:>6.0f} bytes a span")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
