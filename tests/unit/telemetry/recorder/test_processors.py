import threading

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from zerostate.telemetry.recorder import RecordedSpan

REMOTE = SpanContext(7, 8, True, TraceFlags(1))


def record_one(tracer):
    context = trace.set_span_in_context(trace.NonRecordingSpan(REMOTE))
    with tracer.start_as_current_span(
        "work",
        context=context,
        kind=SpanKind.CLIENT,
        attributes={"a": [1, 2]},
        links=[Link(REMOTE, {"l": 1})],
    ) as span:
        span.add_event("event", {"e": 1}, 5)
        span.set_status(StatusCode.ERROR, "bad")
    return span


def check(span, live):
    assert type(span) is ReadableSpan
    assert span.name == "work"
    assert span.context == live.context
    assert span.parent == REMOTE
    assert span.kind is SpanKind.CLIENT
    assert dict(span.attributes) == {"a": (1, 2)}
    assert [dict(link.attributes) for link in span.links] == [{"l": 1}]
    assert [(e.name, e.timestamp, dict(e.attributes)) for e in span.events] == [
        ("event", 5, {"e": 1})
    ]
    assert (span.status.status_code, span.status.description) == (
        StatusCode.ERROR,
        "bad",
    )
    assert span.start_time == live.start_time
    assert span.end_time == live.end_time
    assert span.resource.attributes["service.name"] == "t"
    assert span.instrumentation_scope.name == "tests"
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (
        0,
        0,
        0,
    )


def test_the_sdks_simple_processor_exports_our_spans(recording):
    exporter = InMemorySpanExporter()
    recording.provider.add_span_processor(SimpleSpanProcessor(exporter))

    live = record_one(recording.tracer)

    (span,) = exporter.get_finished_spans()
    check(span, live)
    assert recording.only is live, "and our own sink has it too"


def test_the_sdks_batch_processor_exports_our_spans(recording):
    exporter = InMemorySpanExporter()
    recording.provider.add_span_processor(BatchSpanProcessor(exporter))

    live = record_one(recording.tracer)

    assert recording.provider.force_flush()
    (span,) = exporter.get_finished_spans()
    check(span, live)
    assert recording.provider.shutdown()


class Watcher(SpanProcessor):
    def __init__(self):
        self.seen = []

    def on_start(self, span, parent_context=None):
        self.seen.append(("start", span, parent_context))
        span.set_attribute("from.processor", True)

    def _on_ending(self, span):
        self.seen.append(("ending", span, None))

    def on_end(self, span):
        self.seen.append(("end", span, None))


def test_a_processor_sees_the_live_span_first_and_may_write_to_it(recording):
    watcher = Watcher()
    recording.provider.add_span_processor(watcher)
    context = trace.Context()

    span = recording.tracer.start_span("n", context, attributes={"given": 1})
    span.end()

    assert [what for what, _, _ in watcher.seen] == ["start", "ending", "end"]
    assert watcher.seen[0][1:] == (span, context)
    assert watcher.seen[1][1] is span
    assert isinstance(watcher.seen[0][1], RecordedSpan)
    assert dict(watcher.seen[2][1].attributes) == {"given": 1, "from.processor": True}


def test_tracers_that_exist_already_serve_new_processors(recording):
    recording.tracer.start_span("before").end()
    watcher = Watcher()
    recording.provider.add_span_processor(watcher)

    recording.tracer.start_span("after").end()

    assert [span.name for what, span, _ in watcher.seen if what == "end"] == ["after"]


class Broken(SpanProcessor):
    def on_start(self, span, parent_context=None):
        raise RuntimeError("start")

    def _on_ending(self, span):
        raise RuntimeError("ending")

    def on_end(self, span):
        raise RuntimeError("end")

    def shutdown(self):
        raise RuntimeError("shutdown")

    def force_flush(self, timeout_millis=30000):
        raise RuntimeError("flush")


def test_a_processor_that_raises_harms_nobody_and_is_logged_once(recording, caplog):
    watcher = Watcher()
    recording.provider.add_span_processor(Broken())
    recording.provider.add_span_processor(watcher)

    for _ in range(3):
        recording.tracer.start_span("n").end()

    assert recording.names == ["n"] * 3
    assert len(watcher.seen) == 9
    assert len(caplog.records) == 3
    assert set(recording.provider.misuse.values()) == {3}
    assert recording.provider.force_flush() is False
    assert recording.provider.shutdown() is False


def test_a_processor_that_hangs_holds_nobody_up_beyond_the_timeout(recording):
    release = threading.Event()

    class Hanging(SpanProcessor):
        def shutdown(self):
            release.wait()

        def force_flush(self, timeout_millis=30000):
            return release.wait()

    recording.provider.add_span_processor(Hanging())

    assert recording.provider.force_flush(20) is False
    assert recording.provider.shutdown(0.02) is False
    release.set()


def test_a_snapshot_has_the_dropped_counts(make_recording):
    from zerostate.telemetry.recorder import SpanLimits

    limits = SpanLimits(max_attributes=1, max_events=1, max_links=1)
    span = make_recording(limits).tracer.start_span("n")
    span.set_attributes({"a": 1, "b": 2})
    for _ in range(3):
        span.add_event("e")
        span.add_link(REMOTE, {"": 1})

    found = span.snapshot()

    assert (found.dropped_attributes, found.dropped_events, found.dropped_links) == (
        1,
        2,
        2,
    )
    assert found.links[0].dropped_attributes == 1


def test_a_snapshot_does_not_change_with_the_span(recording):
    span = recording.tracer.start_span("n")
    found = span.snapshot()

    span.set_attribute("a", 1)
    span.add_event("e")

    assert (dict(found.attributes), found.events) == ({}, ())
