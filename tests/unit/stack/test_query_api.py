import asyncio
import base64
import json

import pytest
from starlette.applications import Starlette

from stack_client import AppClient
from stack_spans import MS_NS, T0_NS, batch, of_service, span, trace_id
from zerostate.stack.otlp import Event, SpanKind, ValueMap, decode_json
from zerostate.stack.query import query_routes
from zerostate.stack.store import MemoryStore

_HEX1, _HEX2, _HEX3 = (trace_id(n).hex() for n in (1, 2, 3))
_TIMES = {
    "query.startTimeMin": "2027-01-15T08:00:00Z",
    "query.startTimeMax": "2027-01-15T08:00:01.000000001Z",
}


class _Noon:
    def wall_ns(self):
        return T0_NS + 1000 * MS_NS

    def monotonic_ns(self):
        return 0


_RESOURCE = (("host", "h1"), ("big", 2**60))
_ROOT = span(
    1,
    1,
    "task.run",
    duration_ms=10,
    kind=SpanKind.SERVER,
    attributes=(
        ("text", "t"),
        ("yes", True),
        ("int", 5),
        ("big", -(2**60)),
        ("double", 0.5),
        ("nan", float("nan")),
        ("bytes", b"\x00\xff"),
        ("list", ("a", 1, None)),
        ("map", ValueMap((("k", True),))),
    ),
    events=(Event(T0_NS + 1_500, "began", (("n", 1),)),),
    links=((2, 9),),
)
_CHILD = span(1, 2, "work", parent=1, start_ms=2, duration_ms=3, error=True)
_ORPHAN = span(3, 5, "lost", parent=77, start_ms=50, duration_ms=1)


@pytest.fixture(scope="module")
def client():
    store = MemoryStore()
    asyncio.run(
        store.write(
            batch(
                of_service("front", _ROOT, resource=_RESOURCE),
                of_service("back/end", _CHILD),
                of_service("front", span(2, 9, "settle", start_ms=20)),
                of_service("back/end", _ORPHAN),
            )
        )
    )
    return AppClient(Starlette(routes=query_routes(store.reader, _Noon())))


def _get(client, path, **params):
    response = client.get(path, params=params)
    assert response.headers["content-type"] == "application/json"
    return response.status_code, response.json()


def _envelope(data, total=0):
    return {"data": data, "total": total, "limit": 0, "offset": 0, "errors": None}


def test_legacy_services_and_operations(client):
    assert _get(client, "/api/services") == (200, _envelope(["back/end", "front"], 2))
    assert _get(client, "/api/services/front/operations") == (
        200,
        _envelope(["settle", "task.run"], 2),
    )
    assert _get(client, "/api/services/back%2Fend/operations") == (
        200,
        _envelope(["lost", "work"], 2),
    )
    assert _get(client, "/api/operations", service="front") == (
        200,
        _envelope(
            [
                {"name": "settle", "spanKind": "internal"},
                {"name": "task.run", "spanKind": "server"},
            ],
            2,
        ),
    )
    _, only_servers = _get(
        client, "/api/operations", service="front", spanKind="server"
    )
    assert only_servers["data"] == [{"name": "task.run", "spanKind": "server"}]


def test_a_legacy_trace_is_exactly_what_jaeger_serves(client):
    status, body = _get(client, f"/api/traces/{_HEX1}")
    scope = {"key": "otel.scope.name", "type": "string", "value": "tests"}

    assert status == 200
    assert body == _envelope(
        [
            {
                "traceID": _HEX1,
                "spans": [
                    {
                        "traceID": _HEX1,
                        "spanID": "0000000000000001",
                        "operationName": "task.run",
                        "references": [
                            {
                                "refType": "FOLLOWS_FROM",
                                "traceID": _HEX2,
                                "spanID": "0000000000000009",
                            }
                        ],
                        "startTime": 1_800_000_000_000_000,
                        "duration": 10_000,
                        "tags": [
                            {"key": "text", "type": "string", "value": "t"},
                            {"key": "yes", "type": "bool", "value": True},
                            {"key": "int", "type": "int64", "value": 5},
                            {"key": "big", "type": "int64", "value": str(-(2**60))},
                            {"key": "double", "type": "float64", "value": 0.5},
                            {"key": "nan", "type": "float64", "value": "NaN"},
                            {"key": "bytes", "type": "binary", "value": "AP8="},
                            {"key": "list", "type": "string", "value": '["a",1,null]'},
                            {"key": "map", "type": "string", "value": '{"k":true}'},
                            scope,
                            {"key": "span.kind", "type": "string", "value": "server"},
                        ],
                        "logs": [
                            {
                                "timestamp": 1_800_000_000_000_001,
                                "fields": [
                                    {
                                        "key": "event",
                                        "type": "string",
                                        "value": "began",
                                    },
                                    {"key": "n", "type": "int64", "value": 1},
                                ],
                            }
                        ],
                        "processID": "p1",
                        "warnings": None,
                    },
                    {
                        "traceID": _HEX1,
                        "spanID": "0000000000000002",
                        "operationName": "work",
                        "references": [
                            {
                                "refType": "CHILD_OF",
                                "traceID": _HEX1,
                                "spanID": "0000000000000001",
                            }
                        ],
                        "startTime": 1_800_000_000_002_000,
                        "duration": 3_000,
                        "tags": [
                            scope,
                            {"key": "span.kind", "type": "string", "value": "internal"},
                            {
                                "key": "otel.status_code",
                                "type": "string",
                                "value": "ERROR",
                            },
                            {"key": "error", "type": "bool", "value": True},
                        ],
                        "logs": [],
                        "processID": "p2",
                        "warnings": None,
                    },
                ],
                "processes": {
                    "p1": {
                        "serviceName": "front",
                        "tags": [
                            {"key": "host", "type": "string", "value": "h1"},
                            {"key": "big", "type": "int64", "value": str(2**60)},
                        ],
                    },
                    "p2": {"serviceName": "back/end", "tags": []},
                },
                "warnings": None,
            }
        ]
    )


def test_an_unknown_trace_is_404_in_each_envelope(client):
    unknown = "f" * 32
    assert _get(client, f"/api/traces/{unknown}") == (
        404,
        {
            "data": None,
            "total": 0,
            "limit": 0,
            "offset": 0,
            "errors": [{"code": 404, "msg": "trace not found"}],
        },
    )
    assert _get(client, f"/api/v3/traces/{unknown}") == (
        404,
        {"error": {"httpCode": 404, "message": "No traces found"}},
    )


def _legacy_search(client, params):
    response = client.get("/api/traces", params=params)
    assert response.status_code == 200, response.text
    return [trace["traceID"] for trace in response.json()["data"]]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, [_HEX3, _HEX2, _HEX1]),
        ({"service": "front"}, [_HEX2, _HEX1]),
        ({"service": "front", "operation": "settle"}, [_HEX2]),
        ({"limit": 1}, [_HEX3]),
        ({"minDuration": "2.5ms", "maxDuration": "3ms"}, [_HEX1]),
        ({"minDuration": "1h"}, []),
        ({"tags": '{"error":"true"}'}, [_HEX1]),
        ({"tags": '{"int":5,"yes":true}'}, [_HEX1]),
        ({"tag": "int:5"}, [_HEX1]),
        ({"tag": "host:h1", "service": "front"}, [_HEX1]),
        ({"start": 1_800_000_000_020_000, "end": 1_800_000_000_020_000}, [_HEX2]),
        ([("traceID", _HEX1), ("traceID", "2"), ("traceID", "f")], [_HEX1, _HEX2]),
    ],
)
def test_legacy_search(client, params, found):
    assert _legacy_search(client, params) == found


@pytest.mark.parametrize(
    ("path", "params", "name"),
    [
        ("/api/operations", {}, "service"),
        ("/api/operations", {"service": "a", "spanKind": "boss"}, "spanKind"),
        ("/api/traces", {"limit": "0"}, "limit"),
        ("/api/traces", {"limit": "many"}, "limit"),
        ("/api/traces", {"limit": "99999999"}, "limit"),
        ("/api/traces", {"start": "yesterday"}, "start"),
        ("/api/traces", {"end": "-1"}, "end"),
        ("/api/traces", {"minDuration": "5"}, "minDuration"),
        ("/api/traces", {"maxDuration": "1 s"}, "maxDuration"),
        ("/api/traces", {"minDuration": "2s", "maxDuration": "1s"}, "maxDuration"),
        ("/api/traces", {"tags": "a=b"}, "tags"),
        ("/api/traces", {"tags": '{"a":{}}'}, "tags"),
        ("/api/traces", {"tag": "a"}, "tag"),
        ("/api/traces", {"traceID": "xyz"}, "traceID"),
        ("/api/traces/not-hex", {}, "traceID"),
        ("/api/traces/" + "0" * 32, {}, "traceID"),
        ("/api/dependencies", {"endTs": "now"}, "endTs"),
        ("/api/v3/operations", {}, "service"),
        ("/api/v3/traces/nope", {}, "traceId"),
        ("/api/v3/traces", {}, "query.startTimeMin"),
        (
            "/api/v3/trace-summaries",
            {**_TIMES, "query.searchDepth": "x"},
            "searchDepth",
        ),
        (
            "/api/v3/trace-summaries",
            {**_TIMES, "query.durationMin": "x"},
            "durationMin",
        ),
        ("/api/v3/trace-summaries", {**_TIMES, "query.attributes": "x"}, "attributes"),
        (
            "/api/v3/trace-summaries",
            {**_TIMES, "query.startTimeMax": "2027-13-01T00:00:00Z"},
            "query.startTimeMax",
        ),
        ("/api/zs/links/zz", {}, "traceId"),
    ],
)
def test_a_bad_parameter_is_400_and_named(client, path, params, name):
    status, body = _get(client, path, **params)
    is_v3 = path.startswith(("/api/v3", "/api/zs"))
    message = body["error"]["message"] if is_v3 else body["errors"][0]["msg"]

    assert status == 400
    assert name in message
    assert (body["error"]["httpCode"] if is_v3 else body["errors"][0]["code"]) == 400


def test_dependencies(client):
    data = [{"parent": "front", "child": "back/end", "callCount": 1}]
    assert _get(client, "/api/dependencies") == (200, _envelope(data))
    late = (T0_NS + 100 * MS_NS) // MS_NS
    assert _get(client, "/api/dependencies", endTs=late, lookback=50) == (
        200,
        _envelope([]),
    )
    _, of_other = _get(client, "/api/dependencies", service="nobody")
    assert of_other["data"] == []


def test_v3_services_and_operations(client):
    assert _get(client, "/api/v3/services") == (
        200,
        {"services": ["back/end", "front"]},
    )
    expected = {"operations": [{"name": "task.run", "spanKind": "server"}]}
    for name in ("spanKind", "span_kind"):
        assert _get(
            client, "/api/v3/operations", service="front", **{name: "SERVER"}
        ) == (200, expected)


@pytest.mark.parametrize(
    "written", [_HEX1, "1", base64.b64encode(trace_id(1)).decode()]
)
def test_a_v3_trace_is_otlp_json_that_decodes_to_what_was_stored(client, written):
    status, body = _get(client, f"/api/v3/traces/{written}")
    decoded = decode_json(json.dumps(body["result"]).encode())
    by_service = {
        dict(one.resource.attributes)["service.name"]: one.scope_spans[0].spans
        for one in decoded.batch.resource_spans
    }

    assert status == 200
    assert repr(by_service["front"]) == repr((_ROOT,))
    assert by_service["back/end"] == (_CHILD,)


def test_v3_search_takes_both_spellings_and_is_404_when_empty(client):
    snake = {
        "query.service_name": "front",
        "query.operation_name": "settle",
        "query.start_time_min": _TIMES["query.startTimeMin"],
        "query.start_time_max": _TIMES["query.startTimeMax"],
    }
    camel = {
        "query.serviceName": "front",
        "query.operationName": "settle",
        **_TIMES,
    }
    for params in (snake, camel):
        status, body = _get(client, "/api/v3/traces", **params)
        assert status == 200
        assert len(body["result"]["resourceSpans"]) == 1
    assert _get(client, "/api/v3/traces", **(camel | {"query.serviceName": "x"})) == (
        404,
        {"error": {"httpCode": 404, "message": "No traces found"}},
    )


def test_summaries_count_errors_and_orphans_and_leave_out_a_missing_root(client):
    status, body = _get(client, "/api/v3/trace-summaries", **_TIMES)

    assert status == 200
    assert body["summaries"][0] == {
        "traceId": _HEX3,
        "minStartTimeUnixNano": str(T0_NS + 50 * MS_NS),
        "maxEndTimeUnixNano": str(T0_NS + 51 * MS_NS),
        "spanCount": 1,
        "errorSpanCount": 0,
        "orphanSpanCount": 1,
        "services": [{"name": "back/end", "spanCount": 1, "errorSpanCount": 0}],
    }
    assert body["summaries"][2] == {
        "traceId": _HEX1,
        "rootServiceName": "front",
        "rootOperationName": "task.run",
        "minStartTimeUnixNano": str(T0_NS),
        "maxEndTimeUnixNano": str(T0_NS + 10 * MS_NS),
        "spanCount": 2,
        "errorSpanCount": 1,
        "orphanSpanCount": 0,
        "services": [
            {"name": "back/end", "spanCount": 1, "errorSpanCount": 1},
            {"name": "front", "spanCount": 1, "errorSpanCount": 0},
        ],
    }


def test_summaries_are_searched_like_traces(client):
    params = {**_TIMES, "query.attributes": '{"error":"true"}', "query.searchDepth": 5}
    _, body = _get(client, "/api/v3/trace-summaries", **params)
    assert [one["traceId"] for one in body["summaries"]] == [_HEX1]
    params = {**_TIMES, "query.durationMin": "5ms", "query.durationMax": "1m"}
    _, body = _get(client, "/api/v3/trace-summaries", **params)
    assert [one["traceId"] for one in body["summaries"]] == [_HEX1]


def test_times_are_searched_to_the_nanosecond(client):
    exact = "2027-01-15T08:00:00.02Z"
    params = {"query.startTimeMin": exact, "query.startTimeMax": exact}
    _, body = _get(client, "/api/v3/trace-summaries", **params)
    assert [one["traceId"] for one in body["summaries"]] == [_HEX2]
    params["query.startTimeMin"] = "2027-01-15T09:00:00.020000001+01:00"
    _, body = _get(client, "/api/v3/trace-summaries", **params)
    assert body["summaries"] == []


def test_links_are_told_at_both_ends(client):
    assert _get(client, f"/api/zs/links/{_HEX1}") == (
        200,
        {
            "links": [
                {
                    "traceId": _HEX2,
                    "spanId": "0000000000000009",
                    "direction": "out",
                    "rootServiceName": "front",
                    "rootOperationName": "settle",
                    "spanNames": ["settle"],
                }
            ]
        },
    )
    assert _get(client, f"/api/zs/links/{_HEX2}") == (
        200,
        {
            "links": [
                {
                    "traceId": _HEX1,
                    "spanId": "0000000000000001",
                    "direction": "in",
                    "rootServiceName": "front",
                    "rootOperationName": "task.run",
                    "spanNames": ["task.run", "work"],
                }
            ]
        },
    )
    assert _get(client, f"/api/zs/links/{_HEX3}") == (200, {"links": []})


def test_an_unknown_endpoint_is_404_in_json(client):
    status, body = _get(client, "/api/metrics/latencies")
    assert (status, body["errors"][0]["code"]) == (404, 404)
