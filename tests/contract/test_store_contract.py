"""What every store backend must do: the words of `store/contract.py`, run."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from stack_spans import MS_NS, T0_NS, batch, of_service, span, span_id, trace_id
from zerostate.stack.otlp import Event, SpanKind, ValueMap
from zerostate.stack.store import (
    Dependency,
    DurableStore,
    MemoryStore,
    Operation,
    TagCondition,
    TraceLink,
    TraceQuery,
)


@asynccontextmanager
async def _memory(_path):
    store = MemoryStore()
    yield store, store.reader


@asynccontextmanager
async def _durable(path):
    store = DurableStore.open(path)
    try:
        yield store, store.reader
    finally:
        await store.aclose()


@pytest.fixture(params=[_memory, _durable], ids=["memory", "durable"])
def ask(request, tmp_path):
    """Write batches into a fresh store, then await what a function asks its reader."""

    def _ask(batches, question):
        async def run():
            async with request.param(tmp_path / "data") as (writer, reader):
                for one in batches:
                    await writer.write(one)
                return await question(reader)

        return asyncio.run(run())

    return _ask


def _ids(traces):
    return [int.from_bytes(trace.trace_id, "big") for trace in traces]


def _find(ask, batches, **query):
    return _ids(ask(batches, lambda reader: reader.find_traces(TraceQuery(**query))))


def test_an_empty_store_answers_everything_with_nothing(ask):
    async def everything(reader):
        return [
            await reader.services(),
            await reader.operations("a"),
            await reader.trace(trace_id(1)),
            await reader.find_traces(TraceQuery()),
            await reader.links(trace_id(1)),
            await reader.dependencies(0, 2**64 - 1),
        ]

    assert ask([], everything) == [(), (), None, (), (), ()]


def test_what_was_written_is_read_back_whole(ask):
    original = span(
        1,
        2,
        "work",
        parent=9,
        attributes=(("b", b"\x00"), ("m", ValueMap((("k", (1, 2.5)),)))),
        events=(Event(T0_NS, "happened", (("x", True),)),),
        links=((7, 8),),
        error=True,
    )
    trace = ask(
        [batch(of_service("a", original, resource=(("host", "h"),)))],
        lambda reader: reader.trace(trace_id(1)),
    )

    [stored] = trace.spans
    assert stored.span == original
    assert stored.origin.service_name == "a"
    assert stored.origin.resource.attributes == (("service.name", "a"), ("host", "h"))
    assert stored.origin.scope.name == "tests"


def test_an_empty_batch_is_accepted(ask):
    assert ask([batch(), batch(of_service("a"))], lambda r: r.services()) == ()


def test_services_and_operations_are_sorted_and_unique(ask):
    batches = [
        batch(of_service("b", span(1, 1, "y"), span(1, 2, "x", kind=SpanKind.SERVER))),
        batch(of_service("a", span(2, 3, "z")), of_service("b", span(2, 4, "y"))),
    ]

    async def question(reader):
        return (
            await reader.services(),
            await reader.operations("b"),
            await reader.operations("b", SpanKind.SERVER),
            await reader.operations("nobody"),
        )

    assert ask(batches, question) == (
        ("a", "b"),
        (Operation("x", 2), Operation("y", 1)),
        (Operation("x", 2),),
        (),
    )


def test_a_batch_sent_again_shows_each_span_once(ask):
    one = batch(of_service("a", span(1, 1), span(1, 2, parent=1)))
    trace = ask([one, one], lambda reader: reader.trace(trace_id(1)))

    assert [s.span.span_id for s in trace.spans] == [span_id(1), span_id(2)]


def test_spans_that_differ_in_kind_or_start_are_not_duplicates(ask):
    shared_id = span(1, 1, kind=SpanKind.CLIENT)
    batches = [
        batch(of_service("a", shared_id)),
        batch(of_service("b", replace(shared_id, kind=int(SpanKind.SERVER)))),
        batch(of_service("c", replace(shared_id, start_ns=T0_NS + 1))),
    ]
    trace = ask(batches, lambda reader: reader.trace(trace_id(1)))

    assert len(trace.spans) == 3


def test_a_trace_comes_together_from_many_batches_by_start(ask):
    batches = [
        batch(of_service("a", span(1, 3, start_ms=3))),
        batch(of_service("b", span(1, 1, start_ms=1))),
        batch(of_service("a", span(1, 2, start_ms=2))),
    ]
    trace = ask(batches, lambda reader: reader.trace(trace_id(1)))

    assert [s.span.span_id for s in trace.spans] == [span_id(n) for n in (1, 2, 3)]


def test_a_trace_whose_parents_are_missing_is_served_as_it_is(ask):
    trace = ask(
        [batch(of_service("a", span(1, 2, parent=99)))],
        lambda reader: reader.trace(trace_id(1)),
    )

    assert [s.span.parent_span_id for s in trace.spans] == [span_id(99)]


def test_traces_are_found_newest_first_and_limited(ask):
    batches = [batch(of_service("a", span(n, n, start_ms=n % 5))) for n in range(1, 6)]

    assert _find(ask, batches) == [4, 3, 2, 1, 5]
    assert _find(ask, batches, limit=2) == [4, 3]


def test_newest_is_by_the_earliest_span_of_the_trace(ask):
    batches = [
        batch(of_service("a", span(1, 1, start_ms=1), span(1, 2, start_ms=9))),
        batch(of_service("a", span(2, 3, start_ms=5))),
    ]

    assert _find(ask, batches) == [2, 1]


def test_a_search_by_service_and_operation_needs_both_on_one_span(ask):
    batches = [
        batch(of_service("a", span(1, 1, "x")), of_service("b", span(1, 2, "y"))),
        batch(of_service("a", span(2, 3, "y"))),
    ]

    assert _find(ask, batches, service="a") == [1, 2]
    assert _find(ask, batches, service="a", operation="y") == [2]
    assert _find(ask, batches, operation="y") == [1, 2]
    assert _find(ask, batches, service="c") == []


def test_a_found_trace_comes_whole(ask):
    batches = [batch(of_service("a", span(1, 1)), of_service("b", span(1, 2)))]
    [trace] = ask(batches, lambda r: r.find_traces(TraceQuery(service="b")))

    assert len(trace.spans) == 2


def test_a_search_by_duration_includes_both_ends(ask):
    batches = [
        batch(of_service("a", span(n, n, duration_ms=n, start_ms=-n)))
        for n in range(1, 5)
    ]

    assert _find(
        ask, batches, duration_min_ns=2 * MS_NS, duration_max_ns=3 * MS_NS
    ) == [2, 3]


def test_a_search_by_time_includes_both_ends(ask):
    batches = [batch(of_service("a", span(n, n, start_ms=n))) for n in range(1, 5)]

    assert _find(
        ask, batches, start_min_ns=T0_NS + 2 * MS_NS, start_max_ns=T0_NS + 3 * MS_NS
    ) == [3, 2]


def test_a_search_by_time_looks_at_the_span_that_meets_the_rest(ask):
    batches = [
        batch(
            of_service("a", span(1, 1, start_ms=0)),
            of_service("b", span(1, 2, start_ms=9)),
        )
    ]
    late = T0_NS + 5 * MS_NS

    assert _find(ask, batches, service="b", start_min_ns=late) == [1]
    assert _find(ask, batches, service="a", start_min_ns=late) == []


_TYPED = (
    ("text", "42"),
    ("int", 42),
    ("double", 2.5),
    ("yes", True),
    ("list", ("a", 1)),
    ("bytes", b"\x00\xff"),
)


@pytest.mark.parametrize(
    ("key", "text", "found"),
    [
        ("text", "42", True),
        ("int", "42", True),
        ("int", "42.0", True),
        ("int", "43", False),
        ("double", "2.5", True),
        ("yes", "true", True),
        ("yes", "1", False),
        ("list", '["a",1]', True),
        ("bytes", "AP8=", True),
        ("service.name", "a", True),
        ("span.kind", "internal", True),
        ("otel.scope.name", "tests", True),
        ("in.event", "seen", True),
        ("absent", "", False),
    ],
)
def test_a_tag_given_as_text_matches_by_what_it_can_mean(ask, key, text, found):
    event = Event(T0_NS, "e", (("in.event", "seen"),))
    batches = [batch(of_service("a", span(1, 1, attributes=_TYPED, events=(event,))))]
    tags = (TagCondition.from_text(key, text),)

    assert _find(ask, batches, tags=tags) == ([1] if found else [])


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [("int", 42, True), ("text", 42, False), ("yes", True, True), ("yes", 1, False)],
)
def test_a_tag_given_with_its_type_matches_that_type_only(ask, key, value, found):
    batches = [batch(of_service("a", span(1, 1, attributes=_TYPED)))]
    tags = (TagCondition.from_value(key, value),)

    assert _find(ask, batches, tags=tags) == ([1] if found else [])


def test_error_is_a_tag(ask):
    batches = [
        batch(of_service("a", span(1, 1, error=True, start_ms=1))),
        batch(of_service("a", span(2, 2))),
    ]

    assert _find(ask, batches, tags=(TagCondition.from_text("error", "true"),)) == [1]
    assert _find(ask, batches, tags=(TagCondition.from_text("error", "false"),)) == [2]


def test_all_tags_must_be_on_one_span(ask):
    tags = (TagCondition.from_text("x", "1"), TagCondition.from_text("y", "2"))
    together = span(1, 1, attributes=(("x", "1"), ("y", "2")))
    apart = [span(2, 2, attributes=(("x", "1"),)), span(2, 3, attributes=(("y", "2"),))]
    batches = [batch(of_service("a", together, *apart))]

    assert _find(ask, batches, tags=tags) == [1]


def test_links_are_known_at_both_ends_and_once(ask):
    linking = batch(of_service("a", span(1, 1, links=((2, 5), (1, 3)))))

    async def question(reader):
        return await reader.links(trace_id(1)), await reader.links(trace_id(2))

    assert ask([linking, linking], question) == (
        (TraceLink("out", trace_id(2), span_id(5), span_id(1)),),
        (TraceLink("in", trace_id(1), span_id(1), span_id(5)),),
    )


def test_dependencies_count_calls_between_services(ask):
    one = batch(
        of_service("a", span(1, 1), span(1, 2, parent=1)),
        of_service("b", span(1, 3, parent=2, start_ms=5), span(1, 4, parent=2)),
        of_service("c", span(1, 5, parent=99)),
    )

    async def question(reader):
        return (
            await reader.dependencies(0, 2**64 - 1),
            await reader.dependencies(T0_NS + MS_NS, 2**64 - 1),
        )

    assert ask([one, one], question) == (
        (Dependency("a", "b", 2),),
        (Dependency("a", "b", 1),),
    )


def test_concurrent_writes_are_all_stored(ask):
    async def question(reader):
        return len(await reader.find_traces(TraceQuery(limit=100)))

    batches = [batch(of_service("a", span(n, n))) for n in range(1, 41)]
    assert ask(batches, question) == 40
