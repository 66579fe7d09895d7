"""OTLP/gRPC over real sockets."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from export_certificates import make_certificates
from export_fakes import LOGGER, Limits, destination, encode, put_all
from zerostate.telemetry.export import (
    Compression,
    ExportPipeline,
    GrpcTarget,
    RetryConfig,
    SpanLedger,
    TlsConfig,
)
from zerostate.telemetry.export.batch import Delivered, Refused, Retryable

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LONG_S = 20


class Service(grpc.GenericRpcHandler):
    """Answers each call with the next of its answers, then with success."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []
        self.metadata: list[dict[str, str]] = []
        self.called = threading.Event()
        self.ended = threading.Event()

    def service(self, details):
        assert details.method == METHOD
        self.metadata.append(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(self._export)

    def _export(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        self.bodies.append(body)
        self.called.set()
        answer = self.answers.pop(0) if self.answers else b""
        if answer == "hang":
            self.ended.wait()
            return b""
        if isinstance(answer, bytes):
            return answer
        code, metadata = answer
        context.set_trailing_metadata(metadata)
        context.abort(code, "as told")
        raise AssertionError


@contextmanager
def serving(service: Service, credentials=None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), handlers=[service])
    if credentials is None:
        url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
        url = f"https://127.0.0.1:{port}"
    server.start()
    try:
        yield url
    finally:
        service.ended.set()
        server.stop(None).wait()


def send_once(url: str, timeout_s: float = LONG_S, **settings):
    transport = GrpcTarget(url=url, **settings).open()
    try:
        return transport.send(transport.prepare(b"payload"), timeout_s)
    finally:
        transport.close()


def retry_info(seconds: int) -> tuple[tuple[str, bytes], ...]:
    detail = Any()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=seconds)))
    status = Status(code=8, message="busy", details=[detail])
    return (("grpc-status-details-bin", status.SerializeToString()),)


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.GZIP])
def test_a_request_arrives_with_its_metadata(compression: Compression) -> None:
    service = Service()
    with serving(service) as url:
        outcome = send_once(url, headers={"X-Key": "k"}, compression=compression)

    assert outcome == Delivered()
    assert service.bodies == [b"payload"]
    assert service.metadata[0]["x-key"] == "k"


def test_a_partial_success_is_read() -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 3
    with serving(Service(response.SerializeToString())) as url:
        assert send_once(url) == Delivered(3)


@pytest.mark.parametrize(
    ("code", "metadata", "outcome"),
    [
        ("UNAVAILABLE", (), Retryable("UNAVAILABLE", "gRPC UNAVAILABLE: as told")),
        ("ABORTED", (), Retryable("ABORTED", "gRPC ABORTED: as told")),
        (
            "RESOURCE_EXHAUSTED",
            retry_info(7),
            Retryable("RESOURCE_EXHAUSTED", "gRPC RESOURCE_EXHAUSTED: as told", 7),
        ),
        (
            "RESOURCE_EXHAUSTED",
            (),
            Refused("RESOURCE_EXHAUSTED", "gRPC RESOURCE_EXHAUSTED: as told"),
        ),
        (
            "UNAUTHENTICATED",
            (),
            Refused("UNAUTHENTICATED", "gRPC UNAUTHENTICATED: as told"),
        ),
    ],
)
def test_a_status_is_retryable_as_otlp_says(code: str, metadata, outcome) -> None:
    with serving(Service((grpc.StatusCode[code], metadata))) as url:
        assert send_once(url) == outcome


def test_nobody_there_is_retryable() -> None:
    outcome = send_once("http://127.0.0.1:1")

    assert isinstance(outcome, Retryable)
    assert outcome.error_type == "UNAVAILABLE"


def test_an_attempt_ends_in_time() -> None:
    with serving(Service("hang")) as url:
        began = monotonic()
        outcome = send_once(url, timeout_s=0.1)

    assert isinstance(outcome, Retryable)
    assert outcome.error_type == "DEADLINE_EXCEEDED"
    assert monotonic() - began < 5


def test_shutdown_breaks_off_an_attempt_that_hangs() -> None:
    service = Service("hang")
    with serving(service) as url:
        ledger = SpanLedger()
        config = destination(GrpcTarget(url=url), timeout_s=60)
        pipeline = ExportPipeline(encode, [config], Limits(), ledger, LOGGER)
        put_all(pipeline, ledger, range(600))
        assert service.called.wait(LONG_S)

        began = monotonic()
        assert not pipeline.shutdown(0.1)

        assert monotonic() - began < 5
        for thread in pipeline._threads:
            thread.join(LONG_S)
            assert not thread.is_alive()
        assert ledger.snapshot().destinations["otlp"].dropped == {"shutdown": 600}


def test_after_failures_all_arrives() -> None:
    service = Service((grpc.StatusCode.UNAVAILABLE, ()))
    with serving(service) as url:
        ledger = SpanLedger()
        retry = RetryConfig(initial_s=0.001, max_s=0.001)
        config = destination(GrpcTarget(url=url), retry=retry)
        pipeline = ExportPipeline(encode, [config], Limits(), ledger, LOGGER)
        put_all(pipeline, ledger, range(600))

        assert pipeline.force_flush(LONG_S)
        assert pipeline.shutdown(LONG_S)

    assert ledger.snapshot().destinations["otlp"].exported == 600


def test_both_sides_can_show_certificates(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    credentials = grpc.ssl_server_credentials(
        [(files.server_key.read_bytes(), files.server.read_bytes())],
        root_certificates=files.ca.read_bytes(),
        require_client_auth=True,
    )
    tls = TlsConfig(
        ca_file=str(files.ca),
        client_certificate_file=str(files.client),
        client_key_file=str(files.client_key),
    )
    with serving(Service(), credentials) as url:
        assert send_once(url, tls=tls) == Delivered()
        stranger = send_once(url, tls=TlsConfig(ca_file=str(files.ca)))

    assert isinstance(stranger, Retryable)
