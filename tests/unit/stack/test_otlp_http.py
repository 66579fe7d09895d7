import asyncio
import gzip
import json
import zlib

import httpx
import pytest
from google.rpc.status_pb2 import Status as RpcStatus
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from stack_client import AppClient
from stack_spans import batch, of_service, span, trace_id
from zerostate.errors import StoreUnavailableError
from zerostate.stack.collector import Ingest, Ledger, otlp_http_app
from zerostate.stack.collector.otlp_http import MAX_BODY_BYTES, MAX_DECODED_BYTES
from zerostate.stack.otlp import (
    Span,
    decode_protobuf,
    encode_protobuf,
    resource_spans_to_json,
)
from zerostate.stack.store import MemoryStore

_PROTOBUF = {"content-type": "application/x-protobuf"}
_JSON = {"content-type": "application/json; charset=utf-8"}
_SPANS = [of_service("a", span(1, 1), span(1, 2, parent=1))]


class _FullDisk:
    async def write(self, batch):
        raise StoreUnavailableError("no space left on device")


class _Receiver:
    def __init__(self, writer):
        self.ledger = Ledger()
        self.client = AppClient(otlp_http_app(Ingest(writer, self.ledger)))

    def post(self, body, headers):
        response = self.client.post("/v1/traces", content=body, headers=headers)
        assert self.ledger.is_balanced()
        assert self.ledger.queued_spans == 0
        return response


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def receiver(store):
    return _Receiver(store)


def _stored(store):
    trace = asyncio.run(store.reader.trace(trace_id(1)))
    return 0 if trace is None else len(trace.spans)


_BODY = encode_protobuf(_SPANS)
_JSON_BODY = json.dumps(resource_spans_to_json(_SPANS)).encode()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (_BODY, _PROTOBUF),
        (_BODY, {**_PROTOBUF, "content-encoding": "identity"}),
        (gzip.compress(_BODY), {**_PROTOBUF, "content-encoding": "GZIP"}),
        (zlib.compress(_BODY), {**_PROTOBUF, "content-encoding": "deflate"}),
    ],
)
def test_protobuf_is_stored_and_answered_in_protobuf(store, receiver, body, headers):
    response = receiver.post(body, headers)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-protobuf"
    assert response.content == b""
    assert _stored(store) == 2
    assert receiver.ledger.stored_spans == 2


def test_json_is_stored_and_answered_in_json(store, receiver):
    body = gzip.compress(_JSON_BODY)
    response = receiver.post(body, {**_JSON, "content-encoding": "gzip"})

    assert (response.status_code, response.json()) == (200, {})
    assert response.headers["content-type"] == "application/json"
    assert _stored(store) == 2


def test_rejected_spans_are_told_as_partial_success(store, receiver):
    bad = Span(trace_id=trace_id(1), span_id=b"short")
    mixed = [of_service("a", bad, span(1, 3))]
    in_protobuf = receiver.post(encode_protobuf(mixed), _PROTOBUF)
    in_json = receiver.post(json.dumps(resource_spans_to_json(mixed)), _JSON)

    partial = ExportTraceServiceResponse.FromString(in_protobuf.content).partial_success
    assert (in_protobuf.status_code, partial.rejected_spans) == (200, 1)
    assert "span id must be 8 bytes" in partial.error_message
    assert in_json.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert receiver.ledger.dropped_spans == {"malformed_ids": 2}
    assert _stored(store) == 1


def test_garbage_is_answered_400_in_the_encoding_of_the_request(receiver):
    in_protobuf = receiver.post(b"\xff\xff", _PROTOBUF)
    in_json = receiver.post(b"{", _JSON)

    assert in_protobuf.status_code == in_json.status_code == 400
    status = RpcStatus.FromString(in_protobuf.content)
    assert (status.code, status.message) == (
        3,
        "not an ExportTraceServiceRequest in protobuf",
    )
    assert in_json.json()["code"] == 3
    assert "not JSON" in in_json.json()["message"]
    assert receiver.ledger.refused_requests == {"malformed": 2}


def test_a_body_that_is_not_in_its_coding_is_answered_400(receiver):
    response = receiver.post(_BODY, {**_PROTOBUF, "content-encoding": "gzip"})

    assert response.status_code == 400
    assert RpcStatus.FromString(response.content).message == "body is not gzip"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"content-type": "text/plain"}, "Content-Type must be one of"),
        ({}, "Content-Type must be one of"),
        ({**_JSON, "content-encoding": "br"}, "Content-Encoding must be one of"),
    ],
)
def test_media_types_and_codings_that_we_do_not_know_are_answered_415(
    receiver, headers, words
):
    response = receiver.post(_BODY, headers)

    assert response.status_code == 415
    assert words in response.json()["message"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (bytes(MAX_BODY_BYTES + 1), _PROTOBUF),
        (bytes(MAX_BODY_BYTES + 1), {**_PROTOBUF, "transfer-encoding": "chunked"}),
        (
            gzip.compress(bytes(MAX_DECODED_BYTES + 1)),
            {**_PROTOBUF, "content-encoding": "gzip"},
        ),
        (
            gzip.compress(bytes(MAX_DECODED_BYTES + 1)),
            {**_JSON, "content-encoding": "gzip"},
        ),
    ],
    ids=["announced", "streamed", "gzip bomb", "gzip bomb in JSON"],
)
def test_bodies_that_are_too_long_are_answered_413(receiver, body, headers):
    response = receiver.post(body, headers)

    assert response.status_code == 413
    assert b"send smaller batches" in response.content
    assert receiver.ledger.refused_requests == {"too_large": 1}


def test_when_the_store_cannot_write_the_sender_is_asked_to_try_again():
    receiver = _Receiver(_FullDisk())
    response = receiver.post(_BODY, _PROTOBUF)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    status = RpcStatus.FromString(response.content)
    assert (status.code, status.message) == (14, "no space left on device")
    assert receiver.ledger.dropped_spans == {"store_unavailable": 2}
    assert receiver.ledger.received_spans == 2


def test_a_large_body_is_stored_too(store, receiver):
    many = [span(1, number, "op" * 20) for number in range(1, 2001)]
    response = receiver.post(batch(of_service("a", *many)).payload, _PROTOBUF)

    assert response.status_code == 200
    assert _stored(store) == 2000


def test_an_empty_request_is_a_success(receiver):
    assert receiver.post(b"", _PROTOBUF).status_code == 200
    assert receiver.post(b"{}", _JSON).status_code == 200


def test_healthz_answers_and_other_methods_are_refused(receiver):
    assert receiver.client.get("/healthz").json() == {"status": "ok"}
    assert receiver.client.get("/v1/traces").status_code == 405
    assert receiver.client.post("/v1/metrics").status_code == 404


def test_a_cancelled_write_is_counted():
    class _Stuck:
        def __init__(self):
            self.reached = asyncio.Event()

        async def write(self, batch):
            self.reached.set()
            await asyncio.Event().wait()

    async def run():
        ledger = Ledger()
        store = _Stuck()
        accept = Ingest(store, ledger).accept(_BODY, decode_protobuf)
        task = asyncio.create_task(accept)
        await store.reached.wait()
        assert ledger.queued_spans == 2
        assert ledger.is_balanced()
        task.cancel()
        await asyncio.wait([task])
        return ledger

    ledger = asyncio.run(run())
    assert ledger.dropped_spans == {"cancelled": 2}
    assert ledger.is_balanced()


class _NeverComes(httpx.AsyncByteStream):
    """A body of which nothing arrives."""

    async def __aiter__(self):
        await asyncio.Event().wait()
        yield b""


def test_a_body_that_does_not_arrive_is_answered_408(store):
    ledger = Ledger()
    app = otlp_http_app(Ingest(store, ledger), read_timeout_s=0.01)
    response = AppClient(app).post(
        "/v1/traces", content=_NeverComes(), headers={**_PROTOBUF}
    )

    assert response.status_code == 408
    assert ledger.refused_requests == {"too_slow": 1}
