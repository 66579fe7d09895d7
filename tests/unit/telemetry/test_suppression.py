"""telemetry.suppression: sections without spans, in which propagation goes on."""

import asyncio
import threading

import pytest
import trio
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider

from zerostate.semconv.spans import SpanSpec
from zerostate.telemetry import TelemetryConfig, TraceCarrier, init_tracer
from zerostate.telemetry.decorator import traced
from zerostate.telemetry.helper import TraceHelper
from zerostate.telemetry.remote import with_remote_span
from zerostate.telemetry.spans import LayerTracer
from zerostate.telemetry.suppression import is_tracing_enabled, suppress_tracing
from zerostate.testing import SpanRecorder, assert_trace

WORK = SpanSpec("work", "INTERNAL", "")


@pytest.fixture
def recorder():
    return SpanRecorder()


@pytest.fixture
def helper(recorder):
    return TraceHelper("shop", provider=recorder.provider)


def test_no_span_of_ours_is_started_inside_however_it_is_opened(recorder, helper):
    @traced(provider=recorder.provider)
    def work():
        pass

    layer = LayerTracer("test", recorder.provider)
    with helper.start_span("outer"), suppress_tracing():
        work()
        with helper.start_span("a"), layer.span(WORK, {}):
            pass
        with helper.start_span("own root", context=Context()):
            pass
        with with_remote_span("shop", "b", None, provider=recorder.provider):
            pass
        helper.start_manual_span("c").end()
    with helper.start_span("after"):
        pass

    assert_trace(
        recorder.spans,
        """
        outer
        after
        """,
    )


def test_the_context_around_is_what_goes_out_from_inside(helper):
    with helper.start_span("outer"):
        outside = TraceCarrier.inject()
        with suppress_tracing(), helper.start_span("inner") as inner:
            assert TraceCarrier.inject() == outside
            assert not inner.is_recording()


def test_attributes_set_inside_do_not_end_up_on_the_span_around(recorder, helper):
    with helper.start_span("outer"), suppress_tracing(), helper.start_span("inner"):
        trace.get_current_span().set_attribute("inner", True)

    assert recorder.named("outer").attributes == {}


def test_a_failure_inside_still_marks_the_span_around(recorder, helper):
    with pytest.raises(KeyError), helper.start_span("outer"):
        with suppress_tracing(), helper.start_span("inner"):
            raise KeyError("x")

    assert_trace(recorder.spans, "outer ERROR=KeyError")


async def test_it_goes_with_trio_tasks_and_their_threads_and_no_further(recorder):
    seen = {}

    async def look(name):
        seen[name] = is_tracing_enabled(recorder.provider)

    async with trio.open_nursery() as nursery:
        with suppress_tracing():
            nursery.start_soon(look, "started inside")
            seen["thread"] = await trio.to_thread.run_sync(
                is_tracing_enabled, recorder.provider
            )
        nursery.start_soon(look, "started after")

    assert seen == {"started inside": False, "thread": False, "started after": True}


def test_it_goes_with_asyncio_tasks_and_their_threads(recorder):
    async def look():
        return is_tracing_enabled(recorder.provider)

    async def main():
        with suppress_tracing():
            inside = asyncio.create_task(look())
            thread = await asyncio.to_thread(is_tracing_enabled, recorder.provider)
        return await inside, thread, await look()

    assert asyncio.run(main()) == (False, False, True)


def test_other_threads_are_not_suppressed(recorder):
    seen = []
    with suppress_tracing():
        thread = threading.Thread(
            target=lambda: seen.append(is_tracing_enabled(recorder.provider))
        )
        thread.start()
        thread.join()

    assert seen == [True]


def test_sections_nest(recorder):
    with suppress_tracing():
        with suppress_tracing():
            pass
        assert not is_tracing_enabled(recorder.provider)
    assert is_tracing_enabled(recorder.provider)


def test_leaving_in_another_context_than_entered_is_harmless():
    section = suppress_tracing()
    thread = threading.Thread(target=section.__enter__)
    thread.start()
    thread.join()

    section.__exit__(None, None, None)
    assert is_tracing_enabled(SdkTracerProvider(shutdown_on_exit=False))


def test_enabled_is_what_init_tracer_made_of_this_process():
    config = TelemetryConfig(service_name="s", otlp_endpoint="127.0.0.1:9")
    assert not is_tracing_enabled()
    with init_tracer(config):
        assert is_tracing_enabled()
        with suppress_tracing():
            assert not is_tracing_enabled()
    assert not is_tracing_enabled()
    with init_tracer(TelemetryConfig(service_name="s", enabled=False)) as telemetry:
        assert not is_tracing_enabled()
        assert not is_tracing_enabled(telemetry.provider)
