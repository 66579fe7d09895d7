"""All routes of the query API."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from zerostate.clock import Clock, SystemClock
from zerostate.stack.query.answers import NOT_FOUND, answer
from zerostate.stack.query.legacy import LegacyApi
from zerostate.stack.query.links import LinksApi
from zerostate.stack.query.v3 import V3Api
from zerostate.stack.store import Reader


def query_routes(reader: Reader, clock: Clock | None = None) -> list[BaseRoute]:
    """Return the routes of ``/api``, except what others mount before them.

    Anything else under ``/api`` is answered 404 in JSON, so that no page of HTML is
    taken for data.

    Args:
        reader: Where the answers come from.
        clock: Tells what "until now" means; the machine's unless given.
    """
    return [
        *LinksApi(reader).routes(),
        *V3Api(reader).routes(),
        *LegacyApi(reader, clock or SystemClock()).routes(),
        Route("/api/{rest:path}", _unknown),
    ]


async def _unknown(request: Request) -> Response:
    message = f"no such endpoint: {request.url.path}"
    envelope = {
        "data": None,
        "total": 0,
        "limit": 0,
        "offset": 0,
        "errors": [{"code": NOT_FOUND, "msg": message}],
    }
    return answer(envelope, NOT_FOUND)
