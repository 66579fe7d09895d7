from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from zerostate.telemetry.export.batch import Delivered
from zerostate.telemetry.export.replies import (
    MAX_MESSAGE_CHARS,
    parse_export_response,
    parse_status,
)
from zerostate.telemetry.export.retry import MAX_RETRY_AFTER_S


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=20))
def test_rejected_spans_are_read_and_never_negative(rejected: int, text: str) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = text

    found = parse_export_response(response.SerializeToString())

    assert found.rejected_spans == max(rejected, 0)
    assert len(found.message) <= MAX_MESSAGE_CHARS


def test_an_empty_response_is_a_full_success() -> None:
    assert parse_export_response(b"") == Delivered()


@given(st.binary(max_size=60))
def test_any_bytes_as_a_response_are_a_success(data: bytes) -> None:
    assert parse_export_response(data).rejected_spans >= 0


@given(st.binary(max_size=60))
def test_any_bytes_as_a_status_are_harmless(data: bytes) -> None:
    text, wait_s = parse_status(data)

    assert text.isprintable()
    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S


@given(st.integers(-10, 10**10), st.integers(0, 999_999_999))
def test_the_wait_of_a_retry_info_is_read(seconds: int, nanos: int) -> None:
    detail = Any()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos)))
    other = Any(type_url="type.googleapis.com/google.rpc.Help", value=b"\x01")
    status = Status(code=8, message="slow down", details=[other, detail])

    text, wait_s = parse_status(status.SerializeToString())

    assert text == "slow down"
    assert wait_s == min(max(seconds + nanos / 1e9, 0), MAX_RETRY_AFTER_S)


def test_a_wait_of_nothing_is_still_a_wait() -> None:
    detail = Any()
    detail.Pack(RetryInfo())
    status = Status(message="try again", details=[detail])

    assert parse_status(status.SerializeToString()) == ("try again", 0)


def test_a_receivers_words_are_made_safe_to_log() -> None:
    status = Status(message="bad\nline\x1b[31m" + "x" * 1000)

    text, _ = parse_status(status.SerializeToString())

    assert text.isprintable()
    assert len(text) == MAX_MESSAGE_CHARS
