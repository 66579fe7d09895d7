"""The query API's client against a small server."""

import asyncio
import json

import pytest

from zerostate.cli.query import LinkedTrace, open_query
from zerostate.errors import ConfigError, QueryError, TraceNotFoundError

TRACE = "ab" * 16


def trace_of(*spans):
    scope = {"spans": [{"spanId": s, "parentSpanId": p} for s, p in spans]}
    return 200, {"result": {"resourceSpans": [{"scopeSpans": [scope]}]}}


NOT_FOUND = (404, {"error": {"httpCode": 404, "message": "No traces found"}})


def asked(answers, story, *, suffix=""):
    """Run `story(client)` against a server that gives `answers` in turn, then the last.

    Returns:
        The story's result and the requests as (path, authorization).
    """
    answers = list(answers)
    requests = []
    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        path, token = (await reader.readline()).split()[1].decode(), None
        while (header := await reader.readline()) not in {b"\r\n", b""}:
            if header.lower().startswith(b"authorization:"):
                token = header.split(b":", 1)[1].strip().decode()
        requests.append((path, token))
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + data)
        writer.close()
        await writer.wait_closed()

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with open_query(f"http://127.0.0.1:{port}{suffix}") as client:
                return await story(client)
        finally:
            server.close()
            await asyncio.gather(*serving)

    return asyncio.run(run()), requests


def test_a_trace_is_read():
    trace, requests = asked([trace_of(("01", ""))], lambda c: c.trace(TRACE))

    assert [span.span_id for span in trace.spans] == ["01"]
    assert requests == [(f"/api/v3/traces/{TRACE}", None)]


def test_the_token_of_the_printed_address_is_sent_as_a_header():
    _, requests = asked(
        [trace_of(("01", ""))], lambda c: c.trace(TRACE), suffix="/?token=s3cret"
    )

    assert requests == [(f"/api/v3/traces/{TRACE}", "Bearer s3cret")]


@pytest.mark.parametrize("answer", [NOT_FOUND, trace_of()])
def test_a_trace_that_is_not_stored_is_told(answer):
    with pytest.raises(TraceNotFoundError, match=TRACE):
        asked([answer], lambda c: c.trace(TRACE))


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"oops"),
        (200, b"<html>"),
        (200, b"[" * 60_000),
        (404, b"[" * 60_000),
        (200, {"result": 1}),
        (403, b"no"),
        (404, {"detail": "x"}),
    ],
)
def test_another_answer_is_a_query_error(answer):
    with pytest.raises(QueryError) as caught:
        asked([answer], lambda c: c.trace(TRACE))

    assert not isinstance(caught.value, TraceNotFoundError)


def test_a_server_without_a_query_api_does_not_count_as_a_stack_without_the_trace():
    with pytest.raises(QueryError, match="is no query API") as caught:
        asked([(404, b"Not Found")], lambda c: c.trace(TRACE))

    assert not isinstance(caught.value, TraceNotFoundError)


def test_nobody_there_is_told_with_the_address():
    async def run():
        async with open_query("http://127.0.0.1:1") as client:
            await client.trace(TRACE)

    with pytest.raises(
        QueryError, match=r"no tracing stack answers at http://127\.0\.0"
    ):
        asyncio.run(run())


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:16686", "ftp://x", "http://", "http://x:99999"]
)
def test_what_is_no_url_is_refused(url):
    async def run():
        async with open_query(url):
            raise AssertionError

    with pytest.raises(ConfigError, match="--url"):
        asyncio.run(run())


def test_a_trace_is_looked_for_until_it_is_whole():
    answers = [
        NOT_FOUND,
        trace_of(("02", "01")),
        trace_of(("02", "01"), ("01", "")),
    ]

    (trace, whole), requests = asked(
        answers, lambda c: c.whole_trace(TRACE, timeout_s=10)
    )

    assert whole
    assert len(trace.spans) == 2
    assert len(requests) == 3


def test_a_trace_that_stays_broken_is_given_as_it_is():
    (trace, whole), _ = asked(
        [trace_of(("02", "01"))], lambda c: c.whole_trace(TRACE, timeout_s=0.05)
    )

    assert not whole
    assert len(trace.spans) == 1


@pytest.mark.parametrize(
    "spans",
    [
        pytest.param([("01", ""), ("03", "02")], id="a parent is missing"),
        pytest.param([("01", "02"), ("02", "01")], id="there is no root"),
    ],
)
def test_a_trace_is_not_whole_without_its_root_or_with_a_parent_missing(spans):
    (trace, whole), _ = asked(
        [trace_of(*spans)], lambda c: c.whole_trace(TRACE, timeout_s=0.05)
    )

    assert not whole
    assert len(trace.spans) == 2


def test_a_trace_that_never_comes_is_none():
    result, _ = asked([NOT_FOUND], lambda c: c.whole_trace(TRACE, timeout_s=0.05))

    assert result == (None, False)


def test_linked_traces_come_once_each_with_all_their_names():
    def link(trace_id, *names):
        return {
            "traceId": trace_id,
            "spanId": "01",
            "direction": "in",
            "rootServiceName": "member",
            "rootOperationName": names[0],
            "spanNames": list(names),
        }

    links = {"links": [link("cd", "a"), link("ef", "c"), link("cd", "a", "b")]}

    linked, requests = asked([(200, links)], lambda c: c.linked_traces(TRACE))

    assert linked == (
        LinkedTrace("cd", "a", "member", ("a", "b")),
        LinkedTrace("ef", "c", "member", ("c",)),
    )
    assert requests == [(f"/api/zs/links/{TRACE}", None)]


def test_a_stack_without_a_links_api_has_no_links():
    assert asked([NOT_FOUND], lambda c: c.linked_traces(TRACE))[0] == ()


def test_links_that_are_none_are_refused():
    with pytest.raises(QueryError):
        asked([(200, {"links": [{"spanId": "1"}]})], lambda c: c.linked_traces(TRACE))


def test_the_books_tell_what_was_lost():
    books = {
        "droppedSpans": {"store_unavailable": 7},
        "refusedRequests": {"busy": 2, "too_large": 1},
        "store": {"failedWrites": 3},
    }

    told, requests = asked([(200, books)], lambda c: c.losses())

    assert told == [
        "the disk refused 3 writes",
        "spans dropped: store_unavailable 7",
        "requests refused: busy 2, too_large 1",
    ]
    assert requests == [("/api/zs/ledger", None)]


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"no books"),
        (200, []),
        (200, {"droppedSpans": {}, "store": {"failedWrites": 0}}),
    ],
)
def test_books_that_tell_of_no_loss_tell_nothing(answer):
    assert asked([answer], lambda c: c.losses())[0] == []
