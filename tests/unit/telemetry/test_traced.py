"""telemetry.decorator: a span for each call."""

import asyncio
import functools
import inspect

import pytest
import trio
from opentelemetry.trace import SpanKind

from zerostate.errors import PeerLostError
from zerostate.telemetry import provider as process_provider
from zerostate.telemetry.decorator import traced
from zerostate.telemetry.helper import with_message_type
from zerostate.telemetry.outcome import record_error
from zerostate.testing import SpanRecorder, assert_trace


@pytest.fixture
def recorder():
    return SpanRecorder()


def test_a_plain_function_keeps_its_result_name_and_signature(recorder):
    @traced("add", provider=recorder.provider)
    def add(left: int, *, right: int = 2) -> int:
        """Add."""
        return left + right

    assert add(1, right=4) == 5
    assert (add.__name__, add.__doc__) == ("add", "Add.")
    assert list(inspect.signature(add).parameters) == ["left", "right"]
    assert_trace(recorder.spans, "add")


def test_the_default_name_says_module_and_function_but_not_where_it_was_defined(
    recorder,
):
    class Shop:
        @traced(provider=recorder.provider)
        def charge(self):
            pass

    Shop().charge()

    (span,) = recorder.spans
    test = "test_the_default_name_says_module_and_function_but_not_where_it_was_defined"
    assert span.name == f"{__name__}.{test}.Shop.charge"
    assert span.instrumentation_scope.name == __name__


def test_options_and_kind_are_set_at_the_start_of_each_span(recorder):
    @traced(
        "handle",
        with_message_type("ping"),
        {"a": 1},
        kind=SpanKind.CONSUMER,
        provider=recorder.provider,
    )
    def handle():
        pass

    handle()
    handle()

    assert [dict(span.attributes) for span in recorder.spans] == [
        {"message.type": "ping", "a": 1}
    ] * 2
    assert_trace(recorder.spans, "handle CONSUMER\nhandle CONSUMER")


async def test_an_async_function_is_covered_until_it_returns(recorder):
    @traced("outer", provider=recorder.provider)
    async def outer():
        await trio.lowlevel.checkpoint()
        return await inner()

    @traced("inner", provider=recorder.provider)
    async def inner():
        await trio.lowlevel.checkpoint()
        return 7

    assert inspect.iscoroutinefunction(outer)
    assert await outer() == 7
    assert_trace(recorder.spans, "outer\n  inner")


def test_concurrent_calls_do_not_become_each_others_children(recorder):
    @traced("work", provider=recorder.provider)
    async def work():
        await asyncio.sleep(0)

    async def main():
        await asyncio.gather(work(), work())

    asyncio.run(main())

    assert_trace(recorder.spans, "work\nwork")


def test_a_failure_is_recorded_once_and_goes_on(recorder):
    @traced("outer", provider=recorder.provider)
    def fail():
        raise PeerLostError("gone")

    with pytest.raises(PeerLostError):
        fail()

    assert_trace(recorder.spans, "outer ERROR=peer_lost")
    assert [event.name for event in recorder.spans[0].events] == ["exception"]


async def test_cancellation_is_not_an_error(recorder, autojump_clock):
    @traced("wait", provider=recorder.provider)
    async def wait():
        await trio.sleep_forever()

    with trio.move_on_after(1):
        await wait()

    assert_trace(recorder.spans, "wait")
    assert recorder.named("wait").attributes == {"zerostate.cancelled": True}


async def test_the_failure_inside_a_nursery_is_the_one_named(recorder):
    @traced("work", provider=recorder.provider)
    async def work():
        async with trio.open_nursery():
            raise PeerLostError("gone")

    with pytest.RaisesGroup(PeerLostError):
        await work()

    assert_trace(recorder.spans, "work ERROR=peer_lost")


def generator():
    yield 1


async def async_generator():
    yield 1


@pytest.mark.parametrize("function", [generator, async_generator])
def test_a_generator_is_refused_with_what_to_do_instead(function):
    with pytest.raises(TypeError, match=r"generator function.*open a span inside it"):
        traced(function)
    with pytest.raises(TypeError, match="generator function"):
        traced("named")(function)


def test_what_goes_below_another_decorator_says_so():
    with pytest.raises(TypeError, match="below @staticmethod"):
        traced(staticmethod(record_error))


@pytest.mark.parametrize("thing", [SpanRecorder, functools.partial(print)])
def test_what_is_no_function_is_refused(thing):
    with pytest.raises(TypeError, match="no function or method"):
        traced(thing)


def test_static_and_class_methods_work_with_the_decorator_below(recorder):
    class Shop:
        @staticmethod
        @traced("static", provider=recorder.provider)
        def static():
            return 1

        @classmethod
        @traced("of class", provider=recorder.provider)
        def of_class(cls):
            return cls

    assert (Shop.static(), Shop.of_class()) == (1, Shop)
    assert_trace(recorder.spans, "static\nof class")


def test_bare_it_uses_the_process_provider_of_the_moment(recorder):
    @traced
    def work():
        pass

    work()
    assert process_provider.install(recorder.provider)
    try:
        work()
    finally:
        process_provider.uninstall(recorder.provider)
    work()

    assert len(recorder.spans) == 1
