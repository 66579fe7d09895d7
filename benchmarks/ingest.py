"""How fast a stack takes spans over OTLP/HTTP, durably: `python benchmarks/ingest.py`.

One stack process, `CONNECTIONS` senders in this process, batches of `BATCH_SPANS` spans
with 8 attributes, each answered after fdatasync. CPU is the stack's alone, user and
system. The senders share the machine, so that spans/s is what both together reach.
"""

import gzip
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from zerostate.stack.otlp import (
    Resource,
    ResourceSpans,
    Scope,
    ScopeSpans,
    Span,
    encode_protobuf,
    resource_spans_to_json,
)

BATCH_SPANS = 512
PAYLOADS = 32
CONNECTIONS = 4
RUN_S = 3.0
PROTOBUF = "application/x-protobuf"

Sample = tuple[int, list[float]]


def make_batch(seed: int) -> list[ResourceSpans]:
    """Return one batch: traces of 8 spans, a tree each."""
    spans = []
    for number in range(BATCH_SPANS):
        trace = seed * BATCH_SPANS + number // 8 + 1
        start_ns = time.time_ns()
        parent = (number - 1).to_bytes(8, "big") if number % 8 > 1 else b""
        spans.append(
            Span(
                trace_id=trace.to_bytes(16, "big"),
                span_id=(number + 1).to_bytes(8, "big"),
                parent_span_id=parent,
                name=f"operation-{number % 19}",
                kind=1 + number % 5,
                start_ns=start_ns,
                end_ns=start_ns + 1_000_000,
                attributes=(
                    ("order.id", f"order-{trace:x}"),
                    ("user.id", f"user-{number * 7919 % 10_000}"),
                    ("network.peer.port", 1024 + number * 31 % 28_000),
                    ("http.request.method", "GET"),
                    ("http.response.status_code", 200),
                    ("url.path", f"/api/v1/{number % 19}"),
                    ("cache.hit", number % 2 == 0),
                    ("ratio", 0.25),
                ),
            )
        )
    resource = Resource((("service.name", f"service-{seed % 5}"),))
    return [ResourceSpans(resource, (ScopeSpans(Scope("bench", "1"), tuple(spans)),))]


def send(port: int, bodies: list[bytes], headers: dict[str, str]) -> Sample:
    """Send until the time is over; return requests made and their latencies in ms."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    end = time.perf_counter() + RUN_S
    latencies_ms = []
    sent = 0
    while time.perf_counter() < end:
        began = time.perf_counter()
        connection.request("POST", "/v1/traces", bodies[sent % len(bodies)], headers)
        response = connection.getresponse()
        response.read()
        if response.status != http.client.OK:
            raise SystemExit(f"the stack answered {response.status}")
        latencies_ms.append((time.perf_counter() - began) * 1e3)
        sent += 1
    connection.close()
    return sent, latencies_ms


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(ready: dict[str, str], bodies: list[bytes], headers: dict[str, str]) -> str:
    """Return the cells of one row of the table."""
    port, pid = int(ready["otlp_http"].rpartition(":")[2]), int(ready["pid"])
    samples: list[Sample] = []
    threads = [
        threading.Thread(target=lambda: samples.append(send(port, bodies, headers)))
        for _ in range(CONNECTIONS)
    ]
    before_s, began = cpu_s(pid), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    spans = sum(count for count, _ in samples) * BATCH_SPANS
    used_us = (cpu_s(pid) - before_s) * 1e6
    latencies_ms = sorted(one for _, many in samples for one in many)
    p50 = statistics.median(latencies_ms)
    p99 = latencies_ms[int(len(latencies_ms) * 0.99)]
    return f"{spans / took_s:>9,.0f} {used_us / spans:>12.1f} {p50:>8.1f} {p99:>8.1f}"


def main() -> None:
    """Measure each way of sending and print a table."""
    batches = [make_batch(seed) for seed in range(PAYLOADS)]
    protobuf = [encode_protobuf(one) for one in batches]
    texts = [json.dumps(resource_spans_to_json(one)).encode() for one in batches]
    shrink = gzip.compress
    ways = {
        "protobuf": (protobuf, {"Content-Type": PROTOBUF}),
        "protobuf, gzip": (
            [shrink(one) for one in protobuf],
            {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"},
        ),
        "JSON, gzip": (
            [shrink(one) for one in texts],
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ),
    }
    print(
        f"{'OTLP/HTTP':<16} {'spans/s':>9} {'cpu us/span':>12} {'p50 ms':>8} {'p99 ms':>8}"
    )
    with tempfile.TemporaryDirectory() as data:
        ports = ["--otlp-http", "0", "--otlp-grpc", "0", "--ui", "0", "--ready-json"]
        command = [sys.executable, "-m", "zerostate.stack", "--data", data, *ports]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stack:
            if stack.stdout is None:
                raise SystemExit("the stack has no output")
            ready = json.loads(stack.stdout.readline())
            for name, (bodies, headers) in ways.items():
                print(f"{name:<16} {measure(ready, bodies, headers)}", flush=True)
            stack.terminate()


if __name__ == "__main__":
    main()
