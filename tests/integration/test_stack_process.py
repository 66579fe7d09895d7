"""The stack as a real process: what it acknowledged, it keeps and shows."""

import signal
import socket
import threading
import time

import grpc
import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode

from stack_process import StackProcess, run_stack
from stack_spans import batch, of_service, span, span_id, trace_id

pytestmark = pytest.mark.e2e

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def _post(stack, body, timeout_s=10.0):
    return httpx.post(
        stack.ready["otlp_http"] + "/v1/traces",
        content=body,
        headers={"content-type": "application/x-protobuf"},
        timeout=timeout_s,
    )


def _one(number):
    return batch(of_service("load", span(number, number, f"op-{number}"))).payload


def _export_a_small_trace(endpoint):
    """Send a parent and a child by the SDK's own exporter; return the trace's id."""
    provider = TracerProvider(
        resource=Resource({"service.name": "shop", "host.name": "h"})
    )
    exporter = OTLPSpanExporter(endpoint + "/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests", "1.0")
    with tracer.start_as_current_span("earlier") as earlier:
        linked = earlier.get_span_context()
    with tracer.start_as_current_span(
        "order", kind=SpanKind.SERVER, links=[Link(linked)]
    ) as order:
        order.set_attribute("items", [1, 2])
        with tracer.start_as_current_span("pay") as pay:
            pay.add_event("refused", {"amount": 5})
            pay.set_status(StatusCode.ERROR, "no funds")
        traced = order.get_span_context().trace_id
    provider.shutdown()
    return f"{traced:032x}", f"{linked.trace_id:032x}"


def test_what_the_sdk_exports_is_read_back_by_both_apis_and_after_kill_9(tmp_path):
    with StackProcess(tmp_path) as stack:
        traced, linked = _export_a_small_trace(stack.ready["otlp_http"])
        before = stack.get(f"/api/v3/traces/{traced}")
        legacy = stack.get(f"/api/traces/{traced}")["data"][0]
        books = stack.get("/api/zs/ledger")
        links = stack.get(f"/api/zs/links/{linked}")["links"]
        page = httpx.get(f"{stack.ready['ui']}/trace/{traced}")
        stack.kill()

    spans = {one["operationName"]: one for one in legacy["spans"]}
    assert set(spans) == {"order", "pay"}
    assert {
        "refType": "CHILD_OF",
        "traceID": traced,
        "spanID": spans["order"]["spanID"],
    } in (spans["pay"]["references"])
    assert {"key": "error", "type": "bool", "value": True} in spans["pay"]["tags"]
    assert {"key": "items", "type": "string", "value": "[1,2]"} in spans["order"][
        "tags"
    ]
    assert (books["storedSpans"], books["balanced"]) == (3, True)
    assert [(one["traceId"], one["direction"]) for one in links] == [(traced, "in")]
    assert page.headers["content-type"].startswith("text/html")

    with StackProcess(tmp_path) as stack:
        assert stack.get(f"/api/v3/traces/{traced}") == before
        assert stack.get("/api/services")["data"] == ["shop"]
        found = stack.get("/api/traces", service="shop", tags='{"error":"true"}')
        assert [one["traceID"] for one in found["data"]] == [traced]


def _send_until_refused(url, numbers, acknowledged, enough):
    headers = {"content-type": "application/x-protobuf"}
    with httpx.Client() as client:
        for number in numbers:
            try:
                reply = client.post(url, content=_one(number), headers=headers)
            except httpx.TransportError:
                return
            assert reply.status_code == 200
            acknowledged.append(number)
            if len(acknowledged) >= 100:
                enough.set()


def test_kill_9_under_load_loses_nothing_that_was_acknowledged(tmp_path):
    acknowledged, enough = [], threading.Event()
    with StackProcess(tmp_path) as stack:
        url = stack.ready["otlp_http"] + "/v1/traces"
        senders = [
            threading.Thread(
                target=_send_until_refused,
                args=(url, range(first, 100_000, 4), acknowledged, enough),
            )
            for first in range(1, 5)
        ]
        for sender in senders:
            sender.start()
        assert enough.wait(timeout=30)
        stack.kill()
        for sender in senders:
            sender.join(timeout=30)

    with StackProcess(tmp_path) as stack:
        missing = [
            number
            for number in acknowledged
            if stack.get(f"/api/traces/{trace_id(number).hex()}")["data"] == []
        ]
        held = stack.get("/api/zs/ledger")["store"]

    assert missing == []
    assert held["spans"] >= len(acknowledged) >= 100
    assert held["corruptRegions"] == 0


def test_grpc_takes_the_same_path(tmp_path):
    with StackProcess(tmp_path) as stack:
        with grpc.insecure_channel(stack.ready["otlp_grpc"]) as channel:
            export = channel.unary_unary(_EXPORT)
            assert export(_one(7), timeout=10, compression=grpc.Compression.Gzip) == b""
            bad = ExportTraceServiceRequest.FromString(_one(8))
            bad.resource_spans[0].scope_spans[0].spans[0].span_id = b"short"
            assert b"span id must be" in export(bad.SerializeToString(), timeout=10)
            with pytest.raises(grpc.RpcError) as caught:
                export(b"\xff", timeout=10)
        stored = stack.get(f"/api/traces/{trace_id(7).hex()}")["data"][0]["spans"]
        books = stack.get("/api/zs/ledger")

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert [one["spanID"] for one in stored] == [span_id(7).hex()]
    assert books["droppedSpans"] == {"malformed_ids": 1}
    assert books["refusedRequests"] == {"malformed": 1}


@pytest.mark.parametrize("option", ["--otlp-http", "--otlp-grpc", "--ui"])
def test_a_port_in_use_is_told_with_port_and_option(tmp_path, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        free = [
            word
            for other in ("--otlp-http", "--otlp-grpc", "--ui")
            for word in (other, port if other == option else "0")
        ]
        code, errors = run_stack(tmp_path, *free)

    assert code == 1
    assert f"port {port} of 127.0.0.1 is in use" in errors
    assert option in errors
    assert "Traceback" not in errors


def test_a_second_stack_on_the_same_data_is_refused(tmp_path):
    with StackProcess(tmp_path) as stack:
        code, errors = run_stack(
            tmp_path, "--otlp-http", "0", "--otlp-grpc", "0", "--ui", "0"
        )

        assert code == 1
        assert f"is in use by process {stack.process.pid}" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stack_in_order_and_soon(tmp_path, number):
    with StackProcess(tmp_path) as stack, httpx.Client() as idle:
        assert _post(stack, _one(1)).status_code == 200
        # An idle kept-alive connection must not hold the end up.
        idle.get(stack.ready["ui"] + "/api/services")
        began = time.monotonic()
        code, errors = stack.end(number)
        took_s = time.monotonic() - began

    assert (code, errors) == (0, "")
    assert took_s < 5


def test_a_request_under_way_is_finished_before_the_end(tmp_path):
    body = _one(3)
    with StackProcess(tmp_path) as stack:
        port = int(stack.ready["otlp_http"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            head = (
                "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                "Content-Type: application/x-protobuf\r\n"
                f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
            )
            slow.sendall(head.encode())
            # The server asks for the body: the request is under way.
            assert b"100 Continue" in slow.recv(1000)
            stack.process.send_signal(signal.SIGTERM)
            slow.sendall(body)
            assert b"200 OK" in slow.recv(1000)
        assert stack.process.wait(timeout=10) == 0

    with StackProcess(tmp_path) as stack:
        assert stack.get("/api/services")["data"] == ["load"]


def test_off_loopback_the_page_and_the_api_need_the_token(tmp_path):
    with StackProcess(tmp_path, "--host", "0.0.0.0") as stack:
        api = stack.ready["ui"] + "/api/services"
        without = httpx.get(api)
        bearer = {"authorization": f"Bearer {stack.ready['token']}"}
        allowed = httpx.get(api, headers=bearer)

    assert without.status_code == 401
    assert allowed.json()["data"] == []


def test_a_foreign_host_name_is_refused_on_loopback(tmp_path):
    with StackProcess(tmp_path) as stack:
        reply = httpx.get(
            stack.ready["ui"] + "/api/services", headers={"host": "evil.example"}
        )

    assert reply.status_code == 403
