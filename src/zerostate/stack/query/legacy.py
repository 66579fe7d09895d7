"""Jaeger's legacy API, which Grafana and scripts use."""

from typing import Final, final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from zerostate.clock import Clock
from zerostate.errors import InvalidQueryError, TraceNotFoundError
from zerostate.stack.otlp import SpanKind
from zerostate.stack.query.answers import build_aside, legacy_answer, legacy_errors
from zerostate.stack.query.jaeger_json import trace_to_jaeger
from zerostate.stack.query.params import (
    MAX_TIME_NS,
    bounded,
    check_tags,
    first,
    parse_duration_ns,
    parse_int,
    parse_kind,
    parse_tag_map,
    parse_tag_pair,
    parse_trace,
)
from zerostate.stack.store import Reader, Trace, TraceQuery
from zerostate.units import NS_PER_MS, NS_PER_US

MAX_SEARCH_TRACES: Final = 1_500
"""Most traces of one search: the most that Jaeger's page offers."""

DEFAULT_SEARCH_TRACES: Final = 100
"""Traces of a search that gives no limit: Jaeger's default."""

_DAY_MS: Final = 24 * 3_600 * 1_000


def kind_name(kind: int) -> str:
    """Return a kind as Jaeger's operations list writes it; none is "internal"."""
    try:
        known = SpanKind(kind)
    except ValueError:
        return SpanKind.INTERNAL.name.lower()
    return (known or SpanKind.INTERNAL).name.lower()


@final
class LegacyApi:
    """``/api/services`` and its sisters."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def routes(self) -> list[BaseRoute]:
        """Return the routes, each with its errors in the legacy envelope."""
        endpoints = {
            "/api/services": self._services,
            "/api/services/{service:path}/operations": self._operations_of_service,
            "/api/operations": self._operations,
            "/api/traces": self._search,
            "/api/traces/{trace_id}": self._trace,
            "/api/dependencies": self._dependencies,
        }
        return [Route(path, legacy_errors(one)) for path, one in endpoints.items()]

    async def _services(self, _request: Request) -> Response:
        services = await self._reader.services()
        return legacy_answer(services, len(services))

    async def _operations_of_service(self, request: Request) -> Response:
        operations = await self._reader.operations(request.path_params["service"])
        names = sorted({one.name for one in operations})
        return legacy_answer(names, len(names))

    async def _operations(self, request: Request) -> Response:
        params = request.query_params
        service = params.get("service")
        if not service:
            raise InvalidQueryError("parameter 'service' is required")
        kind = first(params, "spanKind")
        found = await self._reader.operations(
            service, None if kind is None else parse_kind(*kind)
        )
        data = [{"name": one.name, "spanKind": kind_name(one.kind)} for one in found]
        return legacy_answer(data, len(data))

    async def _search(self, request: Request) -> Response:
        params = request.query_params
        if trace_ids := params.getlist("traceID"):
            traces = await self._by_id(trace_ids)
        else:
            traces = list(await self._reader.find_traces(self._query(params)))
        return await build_aside(
            lambda: legacy_answer([trace_to_jaeger(trace) for trace in traces])
        )

    async def _by_id(self, trace_ids: list[str]) -> list[Trace]:
        if len(trace_ids) > MAX_SEARCH_TRACES:
            raise InvalidQueryError(
                f"parameter 'traceID' may be given {MAX_SEARCH_TRACES} times at most"
            )
        wanted = dict.fromkeys(parse_trace("traceID", one) for one in trace_ids)
        found = [await self._reader.trace(one) for one in wanted]
        return [trace for trace in found if trace is not None]

    def _query(self, params: QueryParams) -> TraceQuery:
        tags = [parse_tag_pair("tag", bounded("tag", t)) for t in params.getlist("tag")]
        for text in params.getlist("tags"):
            tags += parse_tag_map("tags", bounded("tags", text))
        shortest, longest = (
            None if given is None else parse_duration_ns(*given)
            for given in (first(params, "minDuration"), first(params, "maxDuration"))
        )
        if shortest is not None and longest is not None and shortest > longest:
            raise InvalidQueryError(
                "parameter 'maxDuration' must not be less than 'minDuration'"
            )
        limit = first(params, "limit")
        return TraceQuery(
            service=params.get("service") or None,
            operation=params.get("operation") or None,
            tags=check_tags(tags),
            start_min_ns=_time_ns(params, "start", NS_PER_US, 0),
            start_max_ns=_time_ns(params, "end", NS_PER_US, MAX_TIME_NS),
            duration_min_ns=shortest,
            duration_max_ns=longest,
            limit=DEFAULT_SEARCH_TRACES
            if limit is None
            else parse_int(*limit, 1, MAX_SEARCH_TRACES),
        )

    async def _trace(self, request: Request) -> Response:
        trace_id = parse_trace("traceID", request.path_params["trace_id"])
        trace = await self._reader.trace(trace_id)
        if trace is None:
            raise TraceNotFoundError("trace not found")
        return await build_aside(lambda: legacy_answer([trace_to_jaeger(trace)]))

    async def _dependencies(self, request: Request) -> Response:
        params = request.query_params
        now_ns = self._clock.wall_ns()
        end_ns = _time_ns(params, "endTs", NS_PER_MS, now_ns)
        lookback_ns = _time_ns(params, "lookback", NS_PER_MS, _DAY_MS * NS_PER_MS)
        found = await self._reader.dependencies(max(0, end_ns - lookback_ns), end_ns)
        service = params.get("service")
        return legacy_answer(
            [
                {"parent": one.parent, "child": one.child, "callCount": one.call_count}
                for one in found
                if not service or service in (one.parent, one.child)
            ]
        )


def _time_ns(params: QueryParams, name: str, unit_ns: int, default_ns: int) -> int:
    given = first(params, name)
    if given is None:
        return default_ns
    return parse_int(*given, 0, MAX_TIME_NS // unit_ns) * unit_ns
