"""OTLP/HTTP over real sockets, to a receiver that behaves as told."""

import socket
from time import monotonic

import pytest
import zstandard

from export_fakes import LOGGER, Limits, destination, encode, put_all
from export_receiver import Drip, Hang, HangUp, Receiver, Reply, Reset, partial_success
from zerostate.telemetry.export import (
    Compression,
    DestinationConfig,
    ExportPipeline,
    HttpTarget,
    RetryConfig,
    SpanLedger,
    datadog,
    new_relic,
)
from zerostate.telemetry.export.batch import Delivered, Refused, Retryable
from zerostate.telemetry.export.http_connection import MAX_BODY_BYTES, MAX_HEAD_BYTES

IN_CHUNKS = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;a=b\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
)
QUICK = RetryConfig(initial_s=0.001, max_s=0.001)
LONG_S = 20
SHORT_S = 0.1
SLACK_S = 1.5
"""What a loaded machine may add to a timeout before it counts as broken."""


def pipeline_to(*configs: DestinationConfig) -> tuple[ExportPipeline, SpanLedger]:
    ledger = SpanLedger()
    return ExportPipeline(encode, list(configs), Limits(), ledger, LOGGER), ledger


def send_once(receiver: Receiver, body: bytes = b"x", timeout_s: float = LONG_S):
    transport = HttpTarget(url=receiver.url).open()
    try:
        return transport.send(transport.prepare(body), timeout_s)
    finally:
        transport.close()


def test_a_request_is_what_otlp_asks_for() -> None:
    with Receiver() as receiver:
        target = HttpTarget(url=receiver.url + "?tenant=a", headers={"X-Key": "k"})
        transport = target.open()
        outcome = transport.send(transport.prepare(b"payload"), LONG_S)
        transport.close()

    [request] = receiver.requests
    assert outcome == Delivered()
    assert request.path == "/v1/traces?tenant=a"
    assert request.body == b"payload"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-length"] == "7"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["x-key"] == "k"
    assert "content-encoding" not in request.headers


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.ZSTD])
def test_a_body_is_compressed_and_says_so(compression: Compression) -> None:
    body = b"span" * 1000
    with Receiver() as receiver:
        transport = HttpTarget(url=receiver.url, compression=compression).open()
        transport.send(transport.prepare(body), LONG_S)
        transport.close()

    [request] = receiver.requests
    assert request.headers["content-encoding"] == compression.value
    assert len(request.body) < len(body)
    if compression is Compression.GZIP:
        assert request.payload == body
    else:
        assert zstandard.ZstdDecompressor().decompress(request.body) == body


def test_one_connection_serves_many_requests() -> None:
    with Receiver() as receiver:
        transport = HttpTarget(url=receiver.url).open()
        for _ in range(5):
            assert transport.send(b"x", LONG_S) == Delivered()
        transport.close()

        assert receiver.connections == 1


def test_a_connection_closed_while_idle_is_replaced_without_a_failure() -> None:
    with Receiver(HangUp()) as receiver:
        transport = HttpTarget(url=receiver.url).open()
        outcomes = [transport.send(b"x", LONG_S) for _ in range(3)]
        transport.close()

        assert outcomes == [Delivered()] * 3
        assert receiver.connections == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_later_is_retryable(status: int) -> None:
    with Receiver(Reply(status, {"Retry-After": "7"})) as receiver:
        outcome = send_once(receiver)

    assert outcome == Retryable(str(status), f"HTTP {status}", 7)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 413, 500, 501])
def test_all_else_is_refused_and_redirects_are_not_followed(status: int) -> None:
    with Receiver(Reply(status, {"Location": "http://127.0.0.1:1/"})) as receiver:
        outcome = send_once(receiver)

        assert outcome == Refused(str(status), f"HTTP {status}")
        assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [200, 202, 204])
def test_every_status_of_success_is_one(status: int) -> None:
    with Receiver(Reply(status)) as receiver:
        assert send_once(receiver) == Delivered()


def test_a_partial_success_is_read() -> None:
    with Receiver(partial_success(3, "too old")) as receiver:
        assert send_once(receiver) == Delivered(3, "too old")


def test_a_broken_connection_is_retryable() -> None:
    with Receiver(Reset()) as receiver:
        outcome = send_once(receiver)

    assert isinstance(outcome, Retryable)
    assert outcome.error_type == "connection"


def test_nobody_there_is_retryable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = HttpTarget(url=f"http://127.0.0.1:{port}/").open()

    outcome = transport.send(b"x", LONG_S)

    assert isinstance(outcome, Retryable)
    assert outcome.error_type == "connection"


@pytest.mark.parametrize("reply", [Hang(), Drip()])
def test_an_attempt_ends_in_time_however_the_receiver_stalls(reply) -> None:
    with Receiver(reply) as receiver:
        began = monotonic()
        outcome = send_once(receiver, timeout_s=SHORT_S)
        took_s = monotonic() - began

    assert isinstance(outcome, Retryable)
    assert outcome.error_type == "timeout"
    assert took_s < SHORT_S + SLACK_S


def test_a_receiver_that_does_not_read_cannot_hold_an_attempt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        transport = HttpTarget(url=url).open()
        outcome = transport.send(b"x" * 20_000_000, SHORT_S)
        transport.close()

    assert isinstance(outcome, Retryable)
    assert outcome.error_type == "timeout"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (2 * MAX_HEAD_BYTES),
    ],
)
def test_an_answer_that_is_not_http_is_retryable(answer: bytes) -> None:
    with Receiver(answer) as receiver:
        outcome = send_once(receiver)

    assert isinstance(outcome, Retryable)
    assert outcome.error_type == "connection"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        IN_CHUNKS,
        b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_answers_in_all_of_https_forms_are_read(answer: bytes) -> None:
    with Receiver(answer) as receiver:
        transport = HttpTarget(url=receiver.url).open()
        assert transport.send(b"x", LONG_S) == Delivered()
        assert transport.send(b"x", LONG_S) == Delivered()
        transport.close()

        assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ],
)
def test_of_an_endless_answer_only_the_beginning_is_read(answer: bytes) -> None:
    with Receiver(answer + b"x" * (4 * MAX_BODY_BYTES)) as receiver:
        transport = HttpTarget(url=receiver.url).open()
        assert transport.send(b"x", LONG_S) == Delivered()
        assert transport.send(b"x", LONG_S) == Delivered()
        transport.close()

        assert receiver.connections == 2


def test_after_failures_all_arrives_and_the_wait_asked_for_was_kept() -> None:
    script = [Reset(), Reply(503, {"Retry-After": "0"}), Reply(429)]
    with Receiver(*script) as receiver:
        target = HttpTarget(url=receiver.url)
        pipeline, ledger = pipeline_to(destination(target, retry=QUICK))
        put_all(pipeline, ledger, range(600))

        assert pipeline.force_flush(LONG_S)
        assert pipeline.shutdown(LONG_S)

        at = ledger.snapshot().destinations["otlp"]
        assert (at.exported, at.dropped) == (600, {})
        assert len(receiver.requests) >= 5
        assert set(at.durations) == {"", "503", "connection", "429"}


@pytest.mark.parametrize("reply", [Hang(), Drip()])
def test_flush_and_shutdown_keep_their_timeouts_with_a_stalled_receiver(reply) -> None:
    with Receiver(*[reply] * 20) as receiver:
        pipeline, ledger = pipeline_to(destination(HttpTarget(url=receiver.url)))
        put_all(pipeline, ledger, range(1000))

        began = monotonic()
        assert not pipeline.force_flush(SHORT_S)
        flush_s = monotonic() - began
        began = monotonic()
        assert not pipeline.shutdown(SHORT_S)
        shutdown_s = monotonic() - began

        assert max(flush_s, shutdown_s) < SHORT_S + SLACK_S
        at = ledger.snapshot().destinations["otlp"]
        assert (at.queued, at.dropped) == (0, {"shutdown": 1000})
        for thread in pipeline._threads:
            thread.join(LONG_S)  # the attempt was broken off, not left to its timeout
            assert not thread.is_alive()


def test_shutdown_does_not_wait_out_its_timeout_when_nobody_is_there() -> None:
    target = HttpTarget(url="http://127.0.0.1:1/v1/traces")
    pipeline, ledger = pipeline_to(destination(target, retry=QUICK))
    put_all(pipeline, ledger, range(1000))

    began = monotonic()
    assert not pipeline.shutdown(60)

    assert monotonic() - began < 10
    assert ledger.snapshot().destinations["otlp"].dropped == {"shutdown": 1000}


def test_the_vendors_presets_send_what_their_documents_ask_for() -> None:
    with Receiver() as dog, Receiver() as relic:
        pipeline, ledger = pipeline_to(
            datadog("dog-key", url=dog.url), new_relic("relic-key", url=relic.url)
        )
        put_all(pipeline, ledger, range(10))
        assert pipeline.force_flush(LONG_S)
        pipeline.shutdown(LONG_S)

    [to_dog], [to_relic] = dog.requests, relic.requests
    assert to_dog.headers["dd-api-key"] == "dog-key"
    assert to_dog.headers["compute_stats"] == "true"
    assert to_relic.headers["api-key"] == "relic-key"
    assert to_dog.payload == to_relic.payload == encode(range(10)).payload
