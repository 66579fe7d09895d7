"""What a span costs in our recorder and in OpenTelemetry's SDK, side by side.

Run with `python benchmarks/recorder.py`; takes some 15 seconds. All contenders take
turns in one process, and each row is the median over rounds of the ratio within the
round, since the clock of a shared machine drifts by more than the differences. "caller"
is CPU time of the traced thread; "total" is that of the process, with the export of
every span over HTTP to another process, uncompressed, sanitising on.
"""

import gc
import gzip
import http.client
import logging
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import TracerProvider as SdkProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.sdk.trace.sampling import ParentBased as SdkParentBased
from opentelemetry.trace import NoOpTracer, Tracer

from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.telemetry.recorder import RecordedSpan, RecorderProvider, SpanLimits
from zerostate.telemetry.recorder.encode import SpanEncoder
from zerostate.telemetry.sampling import AlwaysOff, AlwaysOn, ParentBased, Sampler
from zerostate.telemetry.sanitising import SanitiseConfig, build_sanitiser

ROUNDS = 60
SPANS = 128
BATCH = 512
RESOURCE = {
    "service.name": "node-7",
    "service.version": "1.4.2",
    "deployment.environment": "test",
    "host.name": "node-7.example",
}
RECEIVER = """
import http.server
class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
"""

Story = Callable[[Tracer, int], None]


class NullExporter(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        return SpanExportResult.SUCCESS


class Sink(list[RecordedSpan]):
    put = list.append


class Ours:
    """Our recorder with a list as queue, and the encoder that empties it."""

    def __init__(self, sampler: Sampler, port: int | None = None) -> None:
        self.sink = Sink()
        provider = RecorderProvider(
            resource=RESOURCE,
            sampler=ParentBased(sampler),
            sink=self.sink,
            ledger=SpanLedger(),
            limits=SpanLimits(),
        )
        self.tracer = provider.get_tracer("p2p.layers", "1.0")
        self.encoder = SpanEncoder(RESOURCE, sanitise=build_sanitiser(SanitiseConfig()))
        self._receiver = http.client.HTTPConnection("127.0.0.1", port) if port else None

    def flush(self) -> None:
        batch = self.sink[:]
        self.sink.clear()
        if self._receiver is None:
            return
        payload = self.encoder.encode(batch).payload
        headers = {"Content-Type": "application/x-protobuf"}
        self._receiver.request("POST", "/v1/traces", payload, headers)
        self._receiver.getresponse().read()


class Sdks:
    """The SDK with its batch processor."""

    def __init__(self, exporter: SpanExporter, *, is_on: bool = True) -> None:
        sampler = None if is_on else SdkParentBased(ALWAYS_OFF)
        provider = SdkProvider(resource=Resource(RESOURCE), sampler=sampler)
        provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=1 << 20)
        )
        self.tracer = provider.get_tracer("p2p.layers", "1.0")
        self.flush: Callable[[], object] = provider.force_flush


def five_attributes(tracer: Tracer, number: int) -> None:
    with tracer.start_as_current_span("op") as span:
        span.set_attribute("http.request.method", "GET")
        span.set_attribute("url.path", f"/api/v1/items/{number}")
        span.set_attribute("http.response.status_code", 200)
        span.set_attribute("peer.latency", number * 0.001)
        span.set_attribute("cache.hit", True)


def at_start(tracer: Tracer, number: int) -> None:
    attributes = {"url.path": f"/{number}", "http.request.method": "GET", "n": number}
    with tracer.start_as_current_span("op", attributes=attributes):
        pass


def empty(tracer: Tracer, number: int) -> None:
    del number
    with tracer.start_as_current_span("op"):
        pass


def one_event(tracer: Tracer, number: int) -> None:
    with tracer.start_as_current_span("op") as span:
        span.add_event("event", {"number": number, "text": "x"})


def one_exception(tracer: Tracer, number: int) -> None:
    with tracer.start_as_current_span("op") as span:
        try:
            raise ValueError(number)  # noqa: TRY301  # what is measured
        except ValueError as exc:
            span.record_exception(exc)


def children(tracer: Tracer, number: int) -> None:
    del number
    with tracer.start_as_current_span("op"):
        with tracer.start_as_current_span("one"):
            pass
        with tracer.start_as_current_span("two"):
            pass


def compare(name: str, story: Story, ours: Ours, sdks: Sdks, *, total: bool) -> None:
    """Print the cost of `story` in both, by turns."""
    clock = time.process_time_ns if total else time.thread_time_ns
    rounds: list[tuple[float, float]] = []
    for round_number in range(ROUNDS):
        pair = []
        for contender in (ours, sdks):
            start = clock()
            for number in range(SPANS):
                story(contender.tracer, round_number * SPANS + number)
            if total:
                contender.flush()
            pair.append((clock() - start) / SPANS / 1000)
            contender.flush()
        rounds.append((pair[0], pair[1]))
    row(name, rounds[3:])


def row(name: str, rounds: Sequence[tuple[float, float]]) -> None:
    ours, sdks = (statistics.median(column) for column in zip(*rounds, strict=True))
    share = statistics.median(mine / theirs for mine, theirs in rounds)
    print(f"{name:44s} {ours:8.2f} {sdks:8.2f} {share:8.2f}   1/{1 / share:.1f}")


def record_message_traces(tracer: Tracer, spans: int, rnd: random.Random) -> None:
    """The mix of the facts: receiving a message, and four layers below."""
    for _ in range(0, spans, 5):
        with tracer.start_as_current_span("p2p.message.receive") as span:
            span.set_attribute("messaging.system", "p2p")
            span.set_attribute("messaging.message.id", f"{rnd.getrandbits(128):032x}")
            address = f"10.1.{rnd.randrange(8)}.{rnd.randrange(250)}"
            span.set_attribute("network.peer.address", address)
            span.set_attribute("messaging.message.body.size", rnd.randrange(60000))
            span.set_attribute("p2p.peer.id", f"12D3Koo{rnd.getrandbits(40):016x}")
            for index, layer in enumerate(
                ("transport", "session", "routing", "consensus")
            ):
                with tracer.start_as_current_span(f"layer.{layer}") as inner:
                    inner.set_attribute("layer.name", layer)
                    inner.set_attribute("layer.index", index)
                    inner.set_attribute("layer.bytes_in", rnd.randrange(60000))
                    inner.set_attribute("layer.latency_ms", rnd.random() * 9)
                    inner.set_attribute("layer.ok", True)


def encoding() -> None:
    """Print the cost and the size of a batch of the facts' mix."""
    ours = Ours(AlwaysOn())
    record_message_traces(ours.tracer, BATCH, random.Random(7))
    batch = ours.sink[:BATCH]
    readable = [span.snapshot() for span in batch]
    plain = SpanEncoder(RESOURCE)
    for name, encoder in (("encode", plain), ("encode, sanitising", ours.encoder)):
        rounds = []
        for _ in range(8):
            start = time.thread_time_ns()
            encoder.encode(batch)
            middle = time.thread_time_ns()
            encode_spans(readable).SerializeToString()
            end = time.thread_time_ns()
            rounds.append(
                ((middle - start) / BATCH / 1000, (end - middle) / BATCH / 1000)
            )
        row(name, rounds)
    payload = plain.encode(batch).payload
    theirs = encode_spans(readable).SerializeToString()
    print()
    for name, squeeze in (
        ("bytes a span on the wire", bytes),
        ("bytes a span on the wire, gzip", lambda data: gzip.compress(data, 6)),
    ):
        sizes = [len(squeeze(data)) / BATCH for data in (payload, theirs)]
        print(f"{name:44s} {sizes[0]:8.1f} {sizes[1]:8.1f}")


def held_bytes(ours: Ours, count: int = 2048) -> float:
    """Return the memory one span takes while it waits."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(count):
        five_attributes(ours.tracer, number)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    ours.flush()
    return held / count


def main() -> None:
    logging.disable(logging.CRITICAL)
    receiver = subprocess.Popen(
        [sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True
    )
    try:
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        measure(port)
    finally:
        receiver.kill()
        receiver.wait()


def measure(port: int) -> None:
    print(f"{'CPU a span':44s} {'ours us':>8s} {'SDK us':>8s} {'share':>8s}")
    ours, sdks = Ours(AlwaysOn()), Sdks(NullExporter())
    stories: dict[str, Story] = {
        "caller, 5 attributes": five_attributes,
        "caller, empty": empty,
        "caller, 3 attributes at start": at_start,
        "caller, 1 event": one_event,
        "caller, 1 exception": one_exception,
        "caller, 3 spans in one trace": children,
    }
    for name, story in stories.items():
        compare(name, story, ours, sdks, total=False)
    sdks_off = Sdks(NullExporter(), is_on=False)
    compare(
        "caller, sampled out", five_attributes, Ours(AlwaysOff()), sdks_off, total=False
    )
    noop = Sdks(NullExporter())
    noop.tracer = NoOpTracer()
    compare(
        "caller, beside the API's no-op tracer",
        five_attributes,
        ours,
        noop,
        total=False,
    )
    exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces")
    compare(
        "total, exported over HTTP",
        five_attributes,
        Ours(AlwaysOn(), port),
        Sdks(exporter),
        total=True,
    )
    encoding()
    print(f"{'bytes a span in the queue':44s} {held_bytes(ours):8.0f}")


if __name__ == "__main__":
    main()
