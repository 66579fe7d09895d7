"""OTLP traces as bytes and as objects.

Receives what an exporter sent (protobuf or OTLP/JSON), hands on one model that the
store keeps and the query API gives out again. Nothing here does I/O.
"""

from zerostate.stack.otlp.json_decode import decode_json as decode_json
from zerostate.stack.otlp.json_encode import (
    resource_spans_to_json as resource_spans_to_json,
)
from zerostate.stack.otlp.model import AnyValue as AnyValue
from zerostate.stack.otlp.model import Attributes as Attributes
from zerostate.stack.otlp.model import DecodedRequest as DecodedRequest
from zerostate.stack.otlp.model import Event as Event
from zerostate.stack.otlp.model import Link as Link
from zerostate.stack.otlp.model import Resource as Resource
from zerostate.stack.otlp.model import ResourceSpans as ResourceSpans
from zerostate.stack.otlp.model import Scope as Scope
from zerostate.stack.otlp.model import ScopeSpans as ScopeSpans
from zerostate.stack.otlp.model import Span as Span
from zerostate.stack.otlp.model import SpanKind as SpanKind
from zerostate.stack.otlp.model import Status as Status
from zerostate.stack.otlp.model import StatusCode as StatusCode
from zerostate.stack.otlp.model import TraceBatch as TraceBatch
from zerostate.stack.otlp.model import ValueMap as ValueMap
from zerostate.stack.otlp.model import service_name as service_name
from zerostate.stack.otlp.protobuf_decode import decode_protobuf as decode_protobuf
from zerostate.stack.otlp.protobuf_encode import encode_protobuf as encode_protobuf
from zerostate.stack.otlp.replies import export_response_json as export_response_json
from zerostate.stack.otlp.replies import (
    export_response_protobuf as export_response_protobuf,
)
from zerostate.stack.otlp.replies import status_json as status_json
from zerostate.stack.otlp.replies import status_protobuf as status_protobuf
