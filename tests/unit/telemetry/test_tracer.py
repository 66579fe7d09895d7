"""init_tracer and its handle, against a real OTLP receiver on loopback."""

import http.server
import math
import subprocess
import sys
import threading

import pytest
from opentelemetry import propagate, trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from zerostate.telemetry import (
    BatchConfig,
    TelemetryConfig,
    TraceCarrier,
    init_tracer,
)
from zerostate.telemetry.export import DestinationConfig, FileTarget
from zerostate.telemetry.propagation import PROPAGATOR
from zerostate.telemetry.suppression import suppress_tracing


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what it is sent; answers only once `gate` is set."""

    daemon_threads = True

    def __init__(self):
        self.requests = []
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def spans(self):
        return [
            (resource.resource, span)
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.gate.wait(20)
        assert self.path == "/v1/traces"
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


def config(receiver, **fields):
    return TelemetryConfig(
        service_name="test", otlp_endpoint=receiver.endpoint, **fields
    )


def test_a_span_arrives_with_its_service(receiver):
    with init_tracer(
        config(receiver, service_version="1.2", resource_attributes={"peer.id": "p"})
    ) as telemetry:
        with telemetry.get_tracer("shop").start_as_current_span("checkout"):
            pass

    ((resource, span),) = receiver.spans()
    attributes = {a.key: a.value.string_value for a in resource.attributes}
    assert span.name == "checkout"
    assert attributes["service.name"] == "test"
    assert attributes["service.version"] == "1.2"
    assert attributes["peer.id"] == "p"


def test_force_flush_hands_over_without_waiting_for_the_batch(receiver):
    with init_tracer(config(receiver, batch=BatchConfig(delay_s=3600))) as telemetry:
        telemetry.get_tracer("t").start_span("early").end()

        assert telemetry.force_flush(10)
        assert [span.name for _, span in receiver.spans()] == ["early"]


def test_the_global_api_reaches_it_also_after_a_shutdown_and_a_new_start(receiver):
    tracer = trace.get_tracer("made before anything")
    with init_tracer(config(receiver)):
        tracer.start_span("first").end()
    tracer.start_span("between").end()
    with init_tracer(config(receiver)):
        tracer.start_span("second").end()
        with trace.get_tracer("late").start_as_current_span("third"):
            pass

    names = {span.name for _, span in receiver.spans()}
    assert names == {"first", "second", "third"}


def test_disabled_records_nothing_and_still_propagates(receiver):
    with init_tracer(config(receiver, enabled=False)) as telemetry:
        assert not telemetry.is_enabled
        assert telemetry.force_flush(1)
        with telemetry.get_tracer("t").start_as_current_span("x") as span:
            assert not span.is_recording()
        assert propagate.get_global_textmap() is PROPAGATOR

    assert receiver.requests == []


def test_a_rate_of_zero_records_nothing_that_starts_here(receiver):
    with init_tracer(config(receiver, sampling_rate=0.0)) as telemetry:
        telemetry.get_tracer("t").start_span("x").end()

    assert receiver.requests == []


def test_flush_and_shutdown_keep_their_time_when_the_receiver_hangs(receiver):
    receiver.gate.clear()
    telemetry = init_tracer(config(receiver))
    telemetry.get_tracer("t").start_span("x").end()

    assert not telemetry.force_flush(0.05)
    assert not telemetry.shutdown(0.05)
    assert not telemetry.shutdown(0.05)
    assert not telemetry.force_flush(0.05)
    stats = telemetry.stats()
    assert stats.destinations["otlp"].dropped == {"shutdown": 1}
    assert stats.imbalance() == {}


@pytest.mark.parametrize("timeout_s", [math.inf, math.nan, 1e10, None, -1])
def test_a_timeout_that_makes_no_sense_loses_nothing(receiver, timeout_s):
    telemetry = init_tracer(config(receiver))
    telemetry.get_tracer("t").start_span("x").end()
    telemetry.force_flush(timeout_s)
    telemetry.shutdown(timeout_s)

    stats = telemetry.stats()
    assert stats.imbalance() == {}
    assert stats.destinations["otlp"].queued == 0


def test_destinations_may_stand_in_place_of_the_endpoint(receiver, tmp_path):
    path = tmp_path / "spans.jsonl"
    to_file = DestinationConfig(name="file", target=FileTarget(path=str(path)))
    with init_tracer(config(receiver, destinations=(to_file,))) as telemetry:
        telemetry.get_tracer("t").start_span("once").end()

    assert receiver.requests == []
    assert '"once"' in path.read_text()
    assert set(telemetry.stats().destinations) == {"file"}


def test_a_small_bound_in_bytes_is_enough_to_set(receiver):
    batch = BatchConfig(max_queue_bytes=64 << 10)
    with init_tracer(config(receiver, batch=batch)) as telemetry:
        telemetry.get_tracer("t").start_span("x").end()

    assert len(receiver.spans()) == 1


def test_stats_account_for_every_span(receiver):
    with init_tracer(config(receiver)) as telemetry:
        tracer = telemetry.get_tracer("t")
        alive = tracer.start_span("alive")
        for _ in range(5):
            tracer.start_span("ended").end()
        telemetry.force_flush(10)
        stats = telemetry.stats()
        alive.end()

    assert (stats.started, stats.ended, stats.live) == (6, 5, 1)
    assert stats.destinations["otlp"].exported == 5
    assert stats.imbalance() == {}


def test_stats_are_metrics_too(receiver):
    reader = InMemoryMetricReader()
    with init_tracer(config(receiver)) as telemetry:
        telemetry.observe(MeterProvider([reader]))
        telemetry.get_tracer("t").start_span("x").end()
        telemetry.force_flush(10)
        own = {point.name: point.value for point in telemetry.metrics()}
        data = reader.get_metrics_data()

    names = {
        metric.name
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert own["otel.sdk.span.started"] == 1
    assert own["otel.sdk.exporter.span.exported"] == 1
    assert {"otel.sdk.span.started", "otel.sdk.exporter.span.exported"} <= names


def test_secrets_are_masked_before_they_leave(receiver):
    with init_tracer(config(receiver)) as telemetry:
        with telemetry.get_tracer("t").start_as_current_span("x") as span:
            span.set_attribute("http.request.header.authorization", "Bearer abcdef0123")

    ((_, span),) = receiver.spans()
    assert "abcdef0123" not in str(span)


def test_suppression_holds_for_every_tracer_and_context_goes_on(receiver):
    with init_tracer(config(receiver)) as telemetry:
        tracer = telemetry.get_tracer("t")
        with tracer.start_as_current_span("seen") as seen, suppress_tracing():
            with tracer.start_as_current_span("hidden") as hidden:
                assert not hidden.is_recording()
                carrier = TraceCarrier.inject()
        assert carrier.trace_id == f"{seen.get_span_context().trace_id:032x}"

    assert [span.name for _, span in receiver.spans()] == ["seen"]


def test_more_destinations_get_every_span_too(receiver, tmp_path):
    path = tmp_path / "spans.jsonl"
    to_file = DestinationConfig(name="file", target=FileTarget(path=str(path)))
    with init_tracer(config(receiver, more_destinations=(to_file,))) as telemetry:
        telemetry.get_tracer("t").start_span("twice").end()

    assert [span.name for _, span in receiver.spans()] == ["twice"]
    assert '"twice"' in path.read_text()


@pytest.mark.parametrize(
    ("jaeger_ui", "url"),
    [
        ("http://localhost:16686/", "http://localhost:16686/trace/" + "0" * 31 + "1"),
        (None, None),
    ],
)
def test_trace_url_points_at_the_page(receiver, jaeger_ui, url):
    with init_tracer(config(receiver, jaeger_ui=jaeger_ui)) as telemetry:
        assert telemetry.trace_url(1) == url


def test_somebody_elses_provider_is_left_alone():
    code = """
import logging
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from zerostate import TelemetryConfig, init_tracer
logging.basicConfig()
theirs = TracerProvider()
trace.set_tracer_provider(theirs)
with init_tracer(TelemetryConfig(service_name="s", otlp_endpoint="127.0.0.1:9")) as t:
    assert trace.get_tracer_provider() is theirs
    assert t.provider is not theirs
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "another tracer provider" in done.stderr
