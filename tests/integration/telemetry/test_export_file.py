"""OTLP/JSON into files, and into a file and a receiver at once."""

import json
from pathlib import Path

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from export_fakes import LOGGER, Limits, destination, put_all
from export_receiver import Receiver
from zerostate.telemetry.export import (
    Encoded,
    ExportPipeline,
    FileTarget,
    HttpTarget,
    SpanLedger,
)
from zerostate.telemetry.export.batch import Delivered, Retryable

LONG_S = 20


def encode_otlp(spans) -> Encoded:
    scope = ScopeSpans(
        spans=[
            Span(trace_id=bytes(15) + b"\x01", span_id=b"12345678", name=f"span {n}")
            for n in spans
        ]
    )
    request = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[scope])]
    )
    return Encoded(request.SerializeToString())


def line_of(name: str) -> bytes:
    transport = FileTarget(path="unused").open()
    return transport.prepare(encode_otlp([name]).payload)


def names_in(path: Path) -> list[str]:
    return [
        span["name"]
        for line in path.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_a_file_and_a_receiver_get_the_same_spans(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    with Receiver() as receiver:
        ledger = SpanLedger()
        configs = [
            destination(FileTarget(path=str(path)), "file"),
            destination(HttpTarget(url=receiver.url), "http"),
        ]
        pipeline = ExportPipeline(encode_otlp, configs, Limits(), ledger, LOGGER)
        put_all(pipeline, ledger, range(600))
        assert pipeline.shutdown(LONG_S)

    assert names_in(path) == [f"span {n}" for n in range(600)]
    assert path.stat().st_mode & 0o077 == 0
    document = json.loads(path.read_text().splitlines()[0])
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert span["traceId"] == "00000000000000000000000000000001"
    assert ParseDict({"resourceSpans": [{}]}, ExportTraceServiceRequest())
    assert ledger.snapshot().imbalance() == {}


def test_a_full_file_makes_way_and_the_oldest_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    size = len(line_of("a"))
    target = FileTarget(path=str(path), max_bytes=2 * size, max_files=3)
    transport = target.open()

    for name in "abcdefg":
        assert transport.send(line_of(name), LONG_S) == Delivered()
    transport.close()

    files = sorted(tmp_path.iterdir())
    assert [names_in(file) for file in files] == [
        ["span g"],
        ["span e", "span f"],
        ["span c", "span d"],
    ]


def test_one_file_alone_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    transport = FileTarget(path=str(path), max_bytes=1, max_files=1).open()

    for name in "abc":
        transport.send(line_of(name), LONG_S)
    transport.close()

    assert names_in(path) == ["span c"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_restart_appends(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    for name in "ab":
        transport = FileTarget(path=str(path)).open()
        transport.send(line_of(name), LONG_S)
        transport.close()

    assert names_in(path) == ["span a", "span b"]


def test_a_disk_that_is_full_is_retried_and_leaves_no_half_line() -> None:
    transport = FileTarget(path="/dev/full").open()

    outcome = transport.send(line_of("a"), LONG_S)

    assert isinstance(outcome, Retryable)
    assert outcome.error_type == "file"
