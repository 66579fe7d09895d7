import asyncio
import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
import trio
import trio.lowlevel
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from zerostate.telemetry.suppression import suppress_tracing

REMOTE = SpanContext(7, 8, True, TraceFlags(1))


@pytest.fixture(autouse=True)
def nothing_is_left_behind(caplog):
    caplog.set_level(logging.WARNING)
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert not [r for r in caplog.records if "detach" in r.getMessage()]


def current():
    return trace.get_current_span()


def test_the_span_is_current_inside_and_ended_after(recording):
    with recording.tracer.start_as_current_span("outer") as outer:
        assert current() is outer
        with recording.tracer.start_as_current_span("inner") as inner:
            assert current() is inner
            assert inner.parent == outer.context
        assert current() is outer
        assert outer.is_recording()

    assert recording.names == ["inner", "outer"]


def test_baggage_and_other_context_go_on(recording):
    token = otel_context.attach(otel_context.set_value("other", 1))
    with recording.tracer.start_as_current_span("name"):
        assert otel_context.get_value("other") == 1
    otel_context.detach(token)


def test_a_context_given_is_the_parents_and_not_the_surroundings(recording):
    given = trace.set_span_in_context(NonRecordingSpan(REMOTE))
    with recording.tracer.start_as_current_span("here"):
        with recording.tracer.start_as_current_span("there", context=given) as span:
            assert span.parent == REMOTE


def test_a_span_may_outlive_its_block(recording):
    with recording.tracer.start_as_current_span("n", end_on_exit=False) as span:
        pass

    assert span.is_recording()
    span.end()


def test_a_failure_is_recorded_as_the_block_was_told_to(recording):
    for options in (
        {},
        {"record_exception": False},
        {"set_status_on_exception": False},
    ):
        with pytest.raises(ValueError, match="x"):
            with recording.tracer.start_as_current_span("n", **options):
                raise ValueError("x")

    found = [(len(s.events), s.status.status_code) for s in recording.spans]
    assert found == [
        (1, StatusCode.ERROR),
        (0, StatusCode.ERROR),
        (1, StatusCode.UNSET),
    ]
    assert recording.spans[0].status.description == "ValueError: x"
    assert recording.spans[0].events[0].attributes["exception.escaped"] == "False"


def test_while_tracing_is_suppressed_no_tracer_starts_a_span(recording):
    with recording.tracer.start_as_current_span("outer") as outer:
        with suppress_tracing():
            with recording.tracer.start_as_current_span("inner") as inner:
                inner.set_attribute("a", 1)
                assert inner.get_span_context() == outer.context

    assert recording.names == ["outer"]
    assert dict(outer.attributes) == {}


def test_the_apis_use_span_works_with_our_spans(recording):
    span = recording.tracer.start_span("n")
    with pytest.raises(ValueError, match="x"):
        with trace.use_span(span, end_on_exit=True):
            assert current() is span
            raise ValueError("x")

    assert recording.only.status.description == "ValueError: x"


def test_a_function_can_be_decorated(recording):
    @recording.tracer.start_as_current_span("call")
    def double(number):
        """Double."""
        assert current().is_recording()
        return 2 * number

    assert (double(2), double(3)) == (4, 6)
    assert double.__doc__ == "Double."
    assert recording.names == ["call", "call"]
    assert len({span.context.trace_id for span in recording.spans}) == 2


def test_a_decorated_function_may_call_itself(recording):
    @recording.tracer.start_as_current_span("call")
    def down(number):
        return down(number - 1) if number else 0

    down(3)

    assert len(recording.spans) == 4
    assert sum(span.parent is None for span in recording.spans) == 1


def test_a_coroutine_function_can_be_decorated(recording):
    @recording.tracer.start_as_current_span("call")
    async def work():
        await asyncio.sleep(0)
        assert current().is_recording()
        return 7

    async def main():
        return await asyncio.gather(work(), work())

    assert asyncio.run(main()) == [7, 7]
    assert len({span.context.trace_id for span in recording.spans}) == 2


def test_asyncio_tasks_are_children_of_where_they_were_started(recording):
    async def child(name):
        with recording.tracer.start_as_current_span(name):
            await asyncio.sleep(0)

    async def main():
        with recording.tracer.start_as_current_span("root"):
            await asyncio.gather(*(child(str(n)) for n in range(5)))

    asyncio.run(main())

    root = recording.spans[-1]
    assert all(span.parent == root.context for span in recording.spans[:-1])


async def test_trio_tasks_are_children_of_where_they_were_started(recording):
    async def child(name):
        with recording.tracer.start_as_current_span(name):
            await trio.lowlevel.checkpoint()

    with recording.tracer.start_as_current_span("root") as root:
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(child, str(number))

    assert all(span.parent == root.context for span in recording.spans[:-1])


async def test_a_cancelled_trio_task_did_not_fail(recording):
    with trio.CancelScope() as scope:
        with recording.tracer.start_as_current_span("n"):
            scope.cancel()
            await trio.sleep_forever()

    assert recording.only.status.status_code is StatusCode.UNSET


def test_a_cancelled_asyncio_task_did_not_fail(recording):
    async def work():
        with recording.tracer.start_span("n"):
            await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())

    assert recording.only.status.status_code is StatusCode.UNSET


def test_a_thread_starts_without_a_span_unless_it_gets_the_context(recording):
    found = []
    with recording.tracer.start_as_current_span("here") as here:
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(current).result())
            found.append(pool.submit(copy_context().run, current).result())

    assert found == [trace.INVALID_SPAN, here]


# Left in another order or another context than entered in: what generators do.


def spans_of(recording, name="generator"):
    with recording.tracer.start_as_current_span(name) as span:
        yield span
        yield span


def test_a_generator_left_early_ends_its_span(recording):
    for _ in spans_of(recording):
        break
    gc.collect()

    assert recording.names == ["generator"]
    assert recording.only.status.status_code is StatusCode.UNSET


def test_a_generator_closed_inside_another_span_does_not_take_that_away(recording):
    generator = spans_of(recording)
    next(generator)
    with recording.tracer.start_as_current_span("consumer") as consumer:
        generator.close()
        assert current() is consumer
        child = recording.tracer.start_span("child")

    assert child.parent == consumer.context
    assert current() is trace.INVALID_SPAN, "nor does its own span come back"


def test_blocks_left_crosswise_leave_nothing_behind(recording):
    outer = recording.tracer.start_as_current_span("outer")
    first = recording.tracer.start_as_current_span("first")
    second = recording.tracer.start_as_current_span("second")
    with outer as span:
        first.__enter__()
        inside = second.__enter__()
        first.__exit__(None, None, None)
        assert current() is inside
        second.__exit__(None, None, None)
        assert current() is span


def test_what_others_attached_inside_and_forgot_is_put_right(recording):
    with recording.tracer.start_as_current_span("name"):
        otel_context.attach(otel_context.set_value("forgotten", 1))

    assert otel_context.get_value("forgotten") is None


def test_an_asynchronous_generator_left_early_gives_the_span_before_it_back(recording):
    async def stream():
        with recording.tracer.start_as_current_span("stream"):
            yield 1
            yield 2

    async def main():
        with recording.tracer.start_as_current_span("consumer") as consumer:
            async for _ in stream():
                break
            gc.collect()
            # Finalised by a task of the loop's own, in another context.
            for _ in range(5):
                await asyncio.sleep(0)
            assert recording.names == ["stream"]
            assert current() is consumer

    asyncio.run(main())


async def test_a_trio_generator_left_early_gives_the_span_before_it_back(recording):
    async def stream():
        with recording.tracer.start_as_current_span("stream"):
            yield 1
            yield 2

    with recording.tracer.start_as_current_span("consumer") as consumer:
        generator = stream()
        await anext(generator)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(generator.aclose)
        assert recording.names == ["stream"]
        assert current() is consumer


def test_a_block_entered_in_one_thread_may_be_left_in_another(recording):
    block = recording.tracer.start_as_current_span("n")
    for method in (block.__enter__, lambda: block.__exit__(None, None, None)):
        thread = threading.Thread(target=method)
        thread.start()
        thread.join()

    assert recording.names == ["n"]


def test_a_task_started_in_a_block_keeps_its_span_after_the_block_is_left(recording):
    async def late(event):
        await event.wait()
        return current()

    async def main():
        event = asyncio.Event()
        with recording.tracer.start_as_current_span("n") as span:
            task = asyncio.create_task(late(event))
            await asyncio.sleep(0)
        event.set()
        assert await task is span

    asyncio.run(main())
