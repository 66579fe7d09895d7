"""Jaeger's v3 API, which Jaeger's page uses from 2.19 on, and ours."""

from typing import final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from zerostate.errors import InvalidQueryError, TraceNotFoundError
from zerostate.stack.query.answers import answer, build_aside, v3_errors
from zerostate.stack.query.legacy import (
    DEFAULT_SEARCH_TRACES,
    MAX_SEARCH_TRACES,
    kind_name,
)
from zerostate.stack.query.otlp_json import traces_to_otlp
from zerostate.stack.query.params import (
    check_tags,
    first,
    parse_duration_ns,
    parse_int,
    parse_kind,
    parse_rfc3339_ns,
    parse_tag_map,
    parse_trace,
)
from zerostate.stack.query.summaries import summarise
from zerostate.stack.store import Reader, TraceQuery


@final
class V3Api:
    """``/api/v3``; parameters in camelCase and, as Grafana sends them, snake_case."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def routes(self) -> list[BaseRoute]:
        """Return the routes, each with its errors in the v3 envelope."""
        endpoints = {
            "/api/v3/services": self._services,
            "/api/v3/operations": self._operations,
            "/api/v3/traces": self._search,
            "/api/v3/traces/{trace_id:path}": self._trace,
            "/api/v3/trace-summaries": self._summaries,
        }
        return [Route(path, v3_errors(one)) for path, one in endpoints.items()]

    async def _services(self, _request: Request) -> Response:
        return answer({"services": await self._reader.services()})

    async def _operations(self, request: Request) -> Response:
        params = request.query_params
        service = params.get("service")
        if not service:
            raise InvalidQueryError("parameter 'service' is required")
        kind = first(params, "spanKind", "span_kind")
        found = await self._reader.operations(
            service, None if kind is None else parse_kind(*kind)
        )
        # Unspecified and internal read the same here.
        pairs = dict.fromkeys((one.name, kind_name(one.kind)) for one in found)
        return answer(
            {"operations": [{"name": n, "spanKind": kind} for n, kind in pairs]}
        )

    async def _trace(self, request: Request) -> Response:
        trace_id = parse_trace("traceId", request.path_params["trace_id"])
        trace = await self._reader.trace(trace_id)
        if trace is None:
            raise TraceNotFoundError("No traces found")
        return await build_aside(lambda: answer(traces_to_otlp([trace])))

    async def _search(self, request: Request) -> Response:
        traces = await self._reader.find_traces(_query(request.query_params))
        if not traces:
            raise TraceNotFoundError("No traces found")
        return await build_aside(lambda: answer(traces_to_otlp(traces)))

    async def _summaries(self, request: Request) -> Response:
        traces = await self._reader.find_traces(_query(request.query_params))
        return await build_aside(
            lambda: answer({"summaries": [summarise(trace) for trace in traces]})
        )


def _query(params: QueryParams) -> TraceQuery:
    service = _given(params, "serviceName", "service_name")
    operation = _given(params, "operationName", "operation_name")
    tags = _given(params, "attributes")
    limit = _given(params, "searchDepth", "search_depth", "numTraces", "num_traces")
    return TraceQuery(
        service=None if service is None else service[1],
        operation=None if operation is None else operation[1],
        tags=check_tags(() if tags is None else parse_tag_map(*tags)),
        start_min_ns=_required_time_ns(params, "startTimeMin", "start_time_min"),
        start_max_ns=_required_time_ns(params, "startTimeMax", "start_time_max"),
        duration_min_ns=_duration_ns(params, "durationMin", "duration_min"),
        duration_max_ns=_duration_ns(params, "durationMax", "duration_max"),
        limit=DEFAULT_SEARCH_TRACES
        if limit is None
        else parse_int(*limit, 1, MAX_SEARCH_TRACES),
    )


def _given(params: QueryParams, *names: str) -> tuple[str, str] | None:
    return first(params, *(f"query.{name}" for name in names))


def _required_time_ns(params: QueryParams, camel: str, snake: str) -> int:
    given = _given(params, camel, snake)
    if given is None:
        raise InvalidQueryError(f"parameter 'query.{camel}' is required")
    return parse_rfc3339_ns(*given)


def _duration_ns(params: QueryParams, camel: str, snake: str) -> int | None:
    given = _given(params, camel, snake)
    return None if given is None else parse_duration_ns(*given)
