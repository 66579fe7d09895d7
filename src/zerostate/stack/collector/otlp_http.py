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
)
from zerostate.stack.collector.held_bytes import BodyShare, BusyError
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

    async def export(self, request: Request) -> Response:
        """Answer one export request."""
        media_type = request.headers.get("content-type", "").partition(";")[0]
        encoding = _ENCODINGS.get(media_type.strip().lower())
        if encoding is None:
            self._ingest.ledger.refuse("unsupported_media_type")
            known = ", ".join(_ENCODINGS)
            message = f"Content-Type must be one of {known}"
            return _JSON.refuse(415, _INVALID_ARGUMENT, message)
        try:
            with self._ingest.held.share() as share:
                body = await self._body(request, share)
                decoded = await self._ingest.accept(body, encoding.decode)
        except BusyError as error:
            self._ingest.ledger.refuse("busy")
            return encoding.refuse(503, _UNAVAILABLE, str(error))
        except _RefusedError as refusal:
            self._ingest.ledger.refuse(refusal.reason)
            return encoding.refuse(refusal.http_status, refusal.rpc_code, str(refusal))
        except OtlpDecodeError as error:
            return encoding.refuse(400, _INVALID_ARGUMENT, str(error))
        except StoreUnavailableError as error:
            return encoding.refuse(503, _UNAVAILABLE, str(error))
        reply = encoding.response(decoded.rejected_spans, decoded.rejected_because)
        return Response(reply, media_type=encoding.media_type)

    async def _body(self, request: Request, share: BodyShare) -> bytes:
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
                raw = await self._raw_body(request, share)
        except TimeoutError as error:
            raise _RefusedError(
                "too_slow",
                408,
                _UNAVAILABLE,
                f"the body did not arrive within {self._read_timeout_s:g} s",
            ) from error
        try:
            return await self._ingest.inflate(raw, coding, MAX_DECODED_BYTES, share)
        except TooLargeError as error:
            raise _too_large(MAX_DECODED_BYTES, "decoded") from error
        except MalformedBodyError as error:
            raise _RefusedError(
                "malformed", 400, _INVALID_ARGUMENT, str(error)
            ) from error

    async def _raw_body(self, request: Request, share: BodyShare) -> bytes:
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
            raise _too_large(MAX_BODY_BYTES, "as sent")
        parts: list[bytes] = []
        try:
            async for part in request.stream():
                parts.append(part)
                share.hold(share.count_bytes + len(part))
                if share.count_bytes > MAX_BODY_BYTES:
                    raise _too_large(MAX_BODY_BYTES, "as sent")
        except ClientDisconnect as error:
            raise _RefusedError(
                "disconnected", 400, _INVALID_ARGUMENT, "the body was cut off"
            ) from error
        return b"".join(parts)


def _too_large(limit_bytes: int, how: str) -> _RefusedError:
    return _RefusedError(
        "too_large",
        413,
        _RESOURCE_EXHAUSTED,
        f"the body is longer than {limit_bytes} bytes ({how}); send smaller batches",
    )
