"""HTTP answers: JSON, and errors in the two envelopes of Jaeger's APIs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from zerostate.errors import QueryError, TraceNotFoundError

Endpoint = Callable[[Request], Awaitable[Response]]
"""What Starlette calls for a route."""

BAD_REQUEST: Final = 400
NOT_FOUND: Final = 404

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer(content: object, status: int = 200) -> Response:
    """Return `content` as JSON."""
    body = json.dumps(
        content, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return Response(body.encode(), status, _HEADERS, "application/json")


def legacy_answer(data: object, total: int = 0) -> Response:
    """Return `data` in the legacy API's envelope.

    Args:
        data: The answer proper.
        total: Its length, where Jaeger gives one: services and operations, not traces.
    """
    return answer(
        {"data": data, "total": total, "limit": 0, "offset": 0, "errors": None}
    )


async def build_aside(build: Callable[[], Response]) -> Response:
    """Return what `build` makes, made in a thread.

    For answers that hold whole traces: many megabytes of JSON must not keep the
    receivers waiting. `build` may only use what never changes, as a reader's answers.
    """
    return await asyncio.to_thread(build)


def legacy_errors(endpoint: Endpoint) -> Endpoint:
    """Return `endpoint` with its query errors in the legacy API's envelope."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except QueryError as error:
            status = _status(error)
            return answer(
                {
                    "data": None,
                    "total": 0,
                    "limit": 0,
                    "offset": 0,
                    "errors": [{"code": status, "msg": str(error)}],
                },
                status,
            )

    return guarded


def v3_errors(endpoint: Endpoint) -> Endpoint:
    """Return `endpoint` with its query errors in the v3 API's envelope."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except QueryError as error:
            status = _status(error)
            return answer(
                {"error": {"httpCode": status, "message": str(error)}}, status
            )

    return guarded


def _status(error: QueryError) -> int:
    return NOT_FOUND if isinstance(error, TraceNotFoundError) else BAD_REQUEST
