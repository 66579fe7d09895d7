"""Which other traces a trace is linked with, in both directions."""

from typing import Final, final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from zerostate.stack.query.answers import answer, v3_errors
from zerostate.stack.query.params import parse_trace
from zerostate.stack.query.summaries import root_of
from zerostate.stack.store import Reader, Trace

MAX_SPAN_NAMES: Final = 50
"""Span names told of each linked trace: enough to see what it is about."""


@final
class LinksApi:
    """``/api/zs/links/{trace_id}``, with errors in the v3 envelope."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def routes(self) -> list[BaseRoute]:
        """Return the route."""
        return [Route("/api/zs/links/{trace_id}", v3_errors(self._links))]

    async def _links(self, request: Request) -> Response:
        trace_id = parse_trace("traceId", request.path_params["trace_id"])
        links = await self._reader.links(trace_id)
        traces = {
            other: await self._reader.trace(other)
            for other in {link.trace_id for link in links}
        }
        # Several spans here may link to one span there: that is one link to show.
        ends = dict.fromkeys(
            (link.direction, link.trace_id, link.span_id) for link in links
        )
        return answer(
            {
                "links": [
                    {
                        "traceId": other.hex(),
                        "spanId": span_id.hex(),
                        "direction": direction,
                        **_described(traces[other]),
                    }
                    for direction, other, span_id in ends
                ]
            }
        )


def _described(trace: Trace | None) -> dict[str, object]:
    """Return root and span names of a linked trace; empty when it is not stored."""
    root = None if trace is None else root_of(trace)
    names = () if trace is None else (one.span.name for one in trace.spans)
    return {
        "rootServiceName": "" if root is None else root.origin.service_name,
        "rootOperationName": "" if root is None else root.span.name,
        "spanNames": list(dict.fromkeys(names))[:MAX_SPAN_NAMES],
    }
