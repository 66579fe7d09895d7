"""What a receiver answers: OTLP's export response and ``google.rpc.Status``.

Both in the encoding of the request (OTLP specification, "OTLP/HTTP Response").
"""

import json

from google.rpc.status_pb2 import (  # type: ignore[import-untyped]  # no py.typed
    Status as RpcStatus,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)


def export_response_protobuf(rejected_spans: int, message: str) -> bytes:
    """Return an ``ExportTraceServiceResponse``; empty when every span was taken."""
    response = ExportTraceServiceResponse()
    if rejected_spans:
        response.partial_success.CopyFrom(
            ExportTracePartialSuccess(
                rejected_spans=rejected_spans, error_message=message
            )
        )
    return response.SerializeToString()


def export_response_json(rejected_spans: int, message: str) -> bytes:
    """Return an ``ExportTraceServiceResponse`` in OTLP/JSON."""
    if not rejected_spans:
        return b"{}"
    partial = {"rejectedSpans": str(rejected_spans), "errorMessage": message}
    return json.dumps({"partialSuccess": partial}).encode()


def status_protobuf(code: int, message: str) -> bytes:
    """Return a ``google.rpc.Status`` with a code of ``google/rpc/code.proto``."""
    status: bytes = RpcStatus(code=code, message=message).SerializeToString()
    return status


def status_json(code: int, message: str) -> bytes:
    """Return a ``google.rpc.Status`` in JSON."""
    return json.dumps({"code": code, "message": message}).encode()
