"""What a span costs: ours beside the OpenTelemetry SDK's, and rivals' where installed.

All contenders run in this one process, in turn, round by round; a figure is the median
over the rounds, a ratio the median of the rounds' ratios, so that a slow moment of the
machine hits both sides. CPU time only: of the calling thread ("caller"), and of the
whole process until everything is exported ("total").

    python benchmarks/telemetry.py [ROUNDS]

Rivals (fastotel, ddtrace, logfire) are shown if they can be imported; ``make bench``
runs this in an environment that has them.
"""

import argparse
import gc
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SPANS = 256
ROUNDS = 40
WARM_UP_ROUNDS = 5
HERE = Path(__file__).parent

# Nobody's telemetry about itself, and nothing outside of this machine.
os.environ.setdefault("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")
os.environ.setdefault("DD_REMOTE_CONFIGURATION_ENABLED", "false")


@dataclass
class Contender:
    """One way to trace."""

    name: str
    run: Callable[[int], None]
    flush: Callable[[], object]
    caller_us: list[float] = field(default_factory=list)
    total_us: list[float] = field(default_factory=list)


def five_attributes(tracer) -> Callable[[int], None]:
    """Return what opens a span with 5 attributes, of which 2 differ each time."""

    def run(count: int) -> None:
        for number in range(count):
            with tracer.start_as_current_span("op") as span:
                span.set_attribute("http.request.method", "GET")
                span.set_attribute("url.path", f"/api/v1/items/{number}")
                span.set_attribute("http.response.status_code", 200)
                span.set_attribute("peer.latency", number * 0.001)
                span.set_attribute("cache.hit", True)

    return run


def baseline(count: int) -> None:
    """Do what the loop does without any tracing."""
    for number in range(count):
        f"/api/v1/items/{number}"  # the same work as the spans' loop
        number * 0.001  # ditto


def sdk(endpoint: str, *, gzip: bool = False, rate: float = 1.0) -> Contender:
    """Return the OpenTelemetry SDK with its batch processor and OTLP/HTTP."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        resource=Resource.create({"service.name": "bench"}),
        sampler=ParentBasedTraceIdRatio(rate),
        shutdown_on_exit=False,
    )
    compression = Compression.Gzip if gzip else Compression.NoCompression
    exporter = OTLPSpanExporter(
        endpoint=f"{endpoint}/v1/traces", compression=compression
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=1 << 20))
    tracer = provider.get_tracer("bench")
    name = "OpenTelemetry SDK" + (" gzip" if gzip else "") + _rate(rate)
    return Contender(name, five_attributes(tracer), provider.force_flush)


def ours(
    endpoint: str,
    *,
    gzip: bool = False,
    rate: float = 1.0,
    enabled: bool = True,
    queue: int = 1 << 20,
) -> Contender:
    """Return ZeroState with its defaults: sanitising on."""
    from zerostate.telemetry import BatchConfig, TelemetryConfig, init_tracer

    handle = init_tracer(
        TelemetryConfig(
            service_name="bench",
            otlp_endpoint=endpoint,
            compression="gzip" if gzip else "none",
            sampling_rate=rate,
            enabled=enabled,
            batch=BatchConfig(max_queue_spans=queue),
        )
    )
    tracer = handle.get_tracer("bench")
    name = "ZeroState" + (" gzip" if gzip else "") + _rate(rate)
    name += "" if enabled else " disabled"
    return Contender(name, five_attributes(tracer), handle.force_flush)


def no_op() -> Contender:
    """Return the API's own no-op tracer."""
    from opentelemetry.trace import NoOpTracer

    return Contender("API no-op tracer", five_attributes(NoOpTracer()), lambda: None)


def rivals(endpoint: str) -> Iterator[Contender]:
    """Yield the rivals that are installed here."""
    for make in (_fastotel, _ddtrace, _logfire):
        with suppress(ImportError):
            yield make(endpoint)


def _fastotel(endpoint: str) -> Contender:
    from fastotel import OTLPSpanProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create({"service.name": "bench"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    url = f"{endpoint}/v1/traces"
    provider.add_span_processor(OTLPSpanProcessor(endpoint=url, max_queue_size=1 << 20))
    tracer = provider.get_tracer("bench")
    return Contender("fastotel", five_attributes(tracer), provider.force_flush)


def _ddtrace(endpoint: str) -> Contender:
    os.environ["DD_TRACE_AGENT_URL"] = endpoint
    from ddtrace.trace import tracer

    def run(count: int) -> None:
        for number in range(count):
            with tracer.trace("op") as span:
                span.set_tag("http.request.method", "GET")
                span.set_tag("url.path", f"/api/v1/items/{number}")
                span.set_tag("http.response.status_code", 200)
                span.set_tag("peer.latency", number * 0.001)
                span.set_tag("cache.hit", True)

    return Contender("ddtrace", run, tracer.flush)


def _logfire(endpoint: str) -> Contender:
    import logfire
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    processor = BatchSpanProcessor(exporter, max_queue_size=1 << 20)
    own = logfire.configure(
        local=True,
        send_to_logfire=False,
        console=False,
        service_name="bench",
        additional_span_processors=[processor],
        inspect_arguments=False,
    )

    def run(count: int) -> None:
        for number in range(count):
            with own.span("op") as span:
                span.set_attribute("http.request.method", "GET")
                span.set_attribute("url.path", f"/api/v1/items/{number}")
                span.set_attribute("http.response.status_code", 200)
                span.set_attribute("peer.latency", number * 0.001)
                span.set_attribute("cache.hit", True)

    return Contender("logfire", run, own.force_flush)


def _rate(rate: float) -> str:
    return "" if rate else " sampled out"


def measure(contenders: list[Contender], rounds: int) -> None:
    """Run every contender once a round."""
    gc.collect()
    for number in range(rounds + WARM_UP_ROUNDS):
        base_us = _caller_us(lambda: baseline(SPANS))
        for contender in contenders:
            started_ns = time.process_time_ns()
            caller_us = _caller_us(lambda run=contender.run: run(SPANS))
            contender.flush()
            total_us = (time.process_time_ns() - started_ns) / SPANS / 1000
            if number >= WARM_UP_ROUNDS:
                contender.caller_us.append(caller_us - base_us)
                contender.total_us.append(total_us - base_us)


def _caller_us(work: Callable[[], None]) -> float:
    started_ns = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started_ns) / SPANS / 1000


def show(title: str, contenders: list[Contender], *, total: bool = True) -> None:
    """Print a table; ratios are to the first contender."""
    first = contenders[0]
    print(f"\n{title}")
    heading = f"{'':<28} {'caller µs':>9} {'x ' + first.name:>24}"
    print(heading + (f" {'total µs':>9} {'x':>7}" if total else ""))
    for each in contenders:
        caller = statistics.median(each.caller_us)
        ratio = _ratio(each.caller_us, first.caller_us)
        line = f"{each.name:<28} {caller:>9.2f} {ratio:>24.3f}"
        if total:
            line += f" {statistics.median(each.total_us):>9.2f}"
            line += f" {_ratio(each.total_us, first.total_us):>7.3f}"
        print(line)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(a / b for a, b in pairs if b > 0)


def show_memory() -> None:
    """Print private memory, each figure from a fresh process."""
    print("\nPrivate memory above the interpreter with the API loaded")
    for name in ("ZeroState", "OpenTelemetry SDK"):
        words = [sys.executable, str(HERE / "telemetry_memory.py"), name]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        print(done.stdout.rstrip())


def show_outage(endpoint: str, rounds: int) -> None:
    """Print what a span costs its caller while nobody takes what is exported."""
    up, down = ours(endpoint, queue=2048), ours("http://127.0.0.1:9", queue=2048)
    for number in range(rounds + WARM_UP_ROUNDS):
        base_us = _caller_us(lambda: baseline(SPANS))
        for contender in (up, down):
            caller_us = _caller_us(lambda run=contender.run: run(SPANS))
            if number >= WARM_UP_ROUNDS:
                contender.caller_us.append(caller_us - base_us)
    up.flush()
    print("\nCaller, collector up and down (default queue, spans dropped and counted)")
    for name, each in (("up", up), ("down", down)):
        ratio = _ratio(each.caller_us, up.caller_us)
        print(f"{name:<28} {statistics.median(each.caller_us):>9.2f} {ratio:>7.3f}")


def show_instructions(endpoint: str) -> None:
    """Print instructions a span, caller and export together, where valgrind is."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("\nInstructions a span: valgrind is not installed here")
        return
    print("\nInstructions a span, export included (callgrind)")
    counts = {}
    for name in ("OpenTelemetry SDK", "ZeroState"):
        few, many = (_instructions(valgrind, name, endpoint, n) for n in (256, 1280))
        counts[name] = (many - few) / 1024
        ratio = counts[name] / counts["OpenTelemetry SDK"]
        print(f"{name:<28} {counts[name]:>9.0f} {ratio:>7.3f}")


def _instructions(valgrind: str, name: str, endpoint: str, spans: int) -> int:
    tool = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    program = [sys.executable, str(HERE / "telemetry_instructions.py")]
    done = subprocess.run(
        [*tool, *program, name, endpoint, str(spans)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


@contextmanager
def sink() -> Iterator[str]:
    """Run a receiver in a process of its own; yield its address."""
    words = [sys.executable, str(HERE / "otlp_sink.py")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def bytes_on_the_wire(endpoint: str, contender: Contender) -> float:
    """Return the bytes of bodies a span, in batches of 512."""
    spans = 512 * 8
    contender.flush()
    before = _received(endpoint)
    for _ in range(8):
        contender.run(512)
        contender.flush()
    return (_received(endpoint) - before) / spans


def _received(endpoint: str) -> int:
    with urllib.request.urlopen(f"{endpoint}/bytes", timeout=5) as answer:
        return int(answer.read())


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", nargs="?", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    with sink() as endpoint:
        recorded = [sdk(endpoint), ours(endpoint), *rivals(endpoint)]
        zipped = [sdk(endpoint, gzip=True), ours(endpoint, gzip=True)]
        unsampled = [sdk(endpoint, rate=0.0), ours(endpoint, rate=0.0)]
        disabled = [no_op(), ours(endpoint, enabled=False)]
        measure([*recorded, *zipped, *unsampled, *disabled], rounds)
        print(f"medians of {rounds} rounds of {SPANS} spans with 5 attributes")
        show("Recorded and exported over OTLP/HTTP, uncompressed", recorded)
        show("The same, gzip", zipped)
        show("Sampled out", unsampled, total=False)
        show("Disabled", disabled, total=False)
        print("\nBytes a span on the wire, batches of 512 of these spans")
        for contender in (recorded[0], recorded[1], *zipped):
            size = bytes_on_the_wire(endpoint, contender)
            print(f"{contender.name:<28} {size:>9.1f}")
        show_outage(endpoint, rounds)
        show_instructions(endpoint)
    show_memory()
    sys.stdout.flush()
    # Threads of rivals may not end by themselves.
    os._exit(0)


if __name__ == "__main__":
    main()
