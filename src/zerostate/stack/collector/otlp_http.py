"""The OTLP/HTTP receiver (OTLP specification 1.x, "OTLP/HTTP")."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from zerostate.errors import OtlpDecodeError, StoreUnavailableError
from zerostate.stack.collector.content_coding import (
    CODINGS,
    MalformedBodyError,
    TooLargeError,
    decode_body,
)
from zerostate.stack.collector.ingest import Ingest
from zerostate.stack.collector.ledger import RefusalReason
from zerostate.stack.otlp import (
    DecodedRequest,
    decode_json,
    decode_protobuf,
    export_response_json,
    export_response_protobuf,
    status_json,
    status_protobuf,
)

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""Longest body as received; a full batch of the SDK is below 1 MiB."""

MAX_DECODED_BYTES: Final = 16 * 1024 * 1024
"""Longest body without its content coding: about 50,000 spans."""

MAX_HELD_BYTES: Final = 128 * 1024 * 1024
"""Bytes of bodies held by all requests together before more are refused."""

READ_TIMEOUT_S: Final = 30.0
"""Longest wait for a whole body, in seconds: 8 MiB over a slow link."""

RETRY_AFTER_S: Final = 1
"""What we ask senders to wait when we cannot take their spans now, in seconds."""


# Codes of google/rpc/code.proto.
_INVALID_ARGUMENT: Final = 3
_RESOURCE_EXHAUSTED: Final = 8
_UNAVAILABLE: Final = 14


@dataclass(frozen=True, slots=True)
class _Encoding:
    """One of OTLP's two encodings, in both directions."""

    media_type: str
    decode: Callable[[bytes], DecodedRequest]
    response: Callable[[int, str], bytes]
    status: Callable[[int, str], bytes]

    def refuse(self, http_status: int, rpc_code: int, message: str) -> Response:
        headers = (
            {"Retry-After": str(RETRY_AFTER_S)} if rpc_code == _UNAVAILABLE else None
        )
        return Response(
            self.status(rpc_code, message), http_status, headers, self.media_type
        )


_PROTOBUF: Final = _Encoding(
    "application/x-protobuf", decode_protobuf, export_response_protobuf, status_protobuf
)
_JSON: Final = _Encoding(
    "application/json", decode_json, export_response_json, status_json
)
_ENCODINGS: Final = {one.media_type: one for one in (_PROTOBUF, _JSON)}


class _RefusedError(Exception):
    """Ends a request with an answer."""

    def __init__(
        self, reason: RefusalReason, http_status: int, rpc_code: int, message: str
    ) -> None:
        super().__init__(message)
        self.reason: RefusalReason = reason
        self.http_status = http_status
        self.rpc_code = rpc_code


def otlp_http_app(
    ingest: Ingest, *, read_timeout_s: float = READ_TIMEOUT_S
) -> Starlette:
    """Return the receiver's ASGI application.

    ``POST /v1/traces`` answers 200 only when the spans are stored; ``GET /healthz``
    answers while the event loop runs.

    Args:
        ingest: The path into the store.
        read_timeout_s: How long a body may take to arrive, in seconds.
    """
    receiver = _Receiver(ingest, read_timeout_s)
    return Starlette(
        routes=[
            Route("/v1/traces", receiver.export, methods=["POST"]),
            Route("/healthz", _healthz, methods=["GET"]),
        ]
    )


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


@final
class _Receiver:
    def __init__(self, ingest: Ingest, read_timeout_s: float) -> None:
        self._ingest = ingest
        self._read_timeout_s = read_timeout_s
        self._held_bytes = 0

    async def export(self, request: Request) -> Response:
        """Answer one export request."""
        media_type = request.headers.get("content-type", "").partition(";")[0]
        encoding = _ENCODINGS.get(media_type.strip().lower())
        if encoding is None:
            self._ingest.ledger.refuse("unsupported_media_type")
            known = ", ".join(_ENCODINGS)
            message = f"Content-Type must be one of {known}"
            return _JSON.refuse(415, _INVALID_ARGUMENT, message)
        held = _Held()
        try:
            body = await self._body(request, held)
            decoded = await self._ingest.accept(body, encoding.decode)
        except _RefusedError as refusal:
            self._ingest.ledger.refuse(refusal.reason)
            return encoding.refuse(refusal.http_status, refusal.rpc_code, str(refusal))
        except OtlpDecodeError as error:
            return encoding.refuse(400, _INVALID_ARGUMENT, str(error))
        except StoreUnavailableError as error:
            return encoding.refuse(503, _UNAVAILABLE, str(error))
        finally:
            self._held_bytes -= held.count_bytes
        reply = encoding.response(decoded.rejected_spans, decoded.rejected_because)
        return Response(reply, media_type=encoding.media_type)

    async def _body(self, request: Request, held: "_Held") -> bytes:
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding not in CODINGS:
            raise _RefusedError(
                "unsupported_media_type",
                415,
                _INVALID_ARGUMENT,
                f"Content-Encoding must be one of {', '.join(CODINGS)}",
            )
        try:
            async with asyncio.timeout(self._read_timeout_s):
                raw = await self._raw_body(request, held)
        except TimeoutError as error:
            raise _RefusedError(
                "too_slow",
                408,
                _UNAVAILABLE,
                f"the body did not arrive within {self._read_timeout_s:g} s",
            ) from error
        try:
            return decode_body(raw, coding, MAX_DECODED_BYTES)
        except TooLargeError as error:
            raise _too_large(MAX_DECODED_BYTES, "decoded") from error
        except MalformedBodyError as error:
            raise _RefusedError(
                "malformed", 400, _INVALID_ARGUMENT, str(error)
            ) from error

    async def _raw_body(self, request: Request, held: "_Held") -> bytes:
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
            raise _too_large(MAX_BODY_BYTES, "as sent")
        parts: list[bytes] = []
        try:
            async for part in request.stream():
                parts.append(part)
                held.count_bytes += len(part)
                self._held_bytes += len(part)
                if held.count_bytes > MAX_BODY_BYTES:
                    raise _too_large(MAX_BODY_BYTES, "as sent")
                if self._held_bytes > MAX_HELD_BYTES:
                    raise _RefusedError(
                        "busy", 503, _UNAVAILABLE, "too many requests at once"
                    )
        except ClientDisconnect as error:
            raise _RefusedError(
                "disconnected", 400, _INVALID_ARGUMENT, "the body was cut off"
            ) from error
        return b"".join(parts)


@dataclass(slots=True)
class _Held:
    """Bytes of body that one request holds."""

    count_bytes: int = 0


def _too_large(limit_bytes: int, how: str) -> _RefusedError:
    return _RefusedError(
        "too_large",
        413,
        _RESOURCE_EXHAUSTED,
        f"the body is longer than {limit_bytes} bytes ({how}); send smaller batches",
    )
