"""Whatever is done to a span, ours is exported as the OpenTelemetry SDK's would be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits as SdkLimits
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.telemetry.recorder import RecordedSpan, RecorderProvider, SpanLimits
from zerostate.telemetry.recorder.encode import encode_request
from zerostate.telemetry.sampling import AlwaysOn, ParentBased

RESOURCE: Mapping[str, object] = {"service.name": "t", "process.pid": 7}

# Surrogates and wider integers make the SDK lose the attribute, or the whole batch;
# what ours does with them has tests of its own.
texts = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.integers(-(2**63), 2**63 - 1)
scalars = st.one_of(
    texts, st.booleans(), numbers, st.floats(allow_nan=False), st.none(), st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=6,
)
keys = st.one_of(st.sampled_from(["a", "b", "c"]), texts)
mappings = st.dictionaries(keys, values, max_size=5)
times = st.integers(1, 2**63)
contexts = st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(1), TraceFlags(3)]),
    st.sampled_from([None, TraceState([("v", "x"), ("w", "y")])]),
)
links = st.builds(Link, contexts, mappings)
codes = st.sampled_from(StatusCode)

Step = Callable[[Span], None]


def step(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    def bind(given: tuple[object, ...]) -> Step:
        return lambda span: getattr(span, name)(*given)

    return st.tuples(*arguments).map(bind)


steps = st.lists(
    st.one_of(
        step("set_attribute", keys, values),
        step("set_attributes", mappings),
        step("add_event", texts, mappings, times),
        step("add_link", contexts, mappings),
        step("update_name", texts),
        step("set_status", st.just(StatusCode.ERROR), texts),
        step("set_status", codes),
        step("set_status", st.builds(Status, st.just(StatusCode.ERROR), texts)),
        step("record_exception", st.builds(ValueError, texts), mappings, times),
    ),
    max_size=8,
)


@dataclass(frozen=True)
class Story:
    """All that is said about one span."""

    name: str
    kind: SpanKind
    attributes: Mapping[str, object] | None
    links: Sequence[Link]
    start: int
    end: int
    parent: SpanContext | None
    steps: Sequence[Step]

    def tell(self, tracer: trace.Tracer) -> None:
        context = trace.Context()
        if self.parent is not None:
            parent = NonRecordingSpan(self.parent)
            context = trace.set_span_in_context(parent, context)
        # The SDK writes to the links it is given.
        links = [Link(link.context, link.attributes) for link in self.links]
        span = tracer.start_span(
            self.name, context, self.kind, self.attributes, links, self.start
        )
        for do in self.steps:
            do(span)
        span.end(self.end)


stories = st.builds(
    Story,
    texts,
    st.sampled_from(SpanKind),
    st.none() | mappings,
    st.lists(links, max_size=3),
    times,
    times,
    st.none() | contexts,
    steps,
)
counts = st.sampled_from([0, 1, 2, 3, 128])


@st.composite
def limits(draw: st.DrawFn) -> tuple[SpanLimits, SdkLimits]:
    bounds = [draw(counts) for _ in range(5)]
    chars = draw(st.none() | st.integers(0, 5))
    detail_chars = draw(st.none() | st.integers(0, 5))
    ours = SpanLimits(
        max_attributes=bounds[0],
        max_events=bounds[1],
        max_links=bounds[2],
        max_event_attributes=bounds[3],
        max_link_attributes=bounds[4],
        max_value_chars=chars,
        max_detail_chars=detail_chars,
    )
    unset = SdkLimits.UNSET
    sdks = SdkLimits(
        max_span_attributes=bounds[0],
        max_events=bounds[1],
        max_links=bounds[2],
        max_event_attributes=bounds[3],
        max_link_attributes=bounds[4],
        max_span_attribute_length=unset if chars is None else chars,
        max_attribute_length=unset if detail_chars is None else detail_chars,
    )
    return ours, sdks


class List(list[RecordedSpan]):
    put = list.append


def ours(story: Story, limits: SpanLimits) -> tuple[SpanMessage, SpanMessage]:
    """Return the span as our encoder has it, and as the SDK's has our snapshot."""
    sink = List()
    provider = RecorderProvider(
        resource=RESOURCE,
        sampler=ParentBased(AlwaysOn()),
        sink=sink,
        ledger=SpanLedger(),
        limits=limits,
    )
    story.tell(provider.get_tracer("scope", "1", "https://schema", {"k": "v"}))
    encoded = encode_request(sink, provider.resource_attributes, sanitise=None)
    assert encoded.skipped_spans == 0
    request = ExportTraceServiceRequest.FromString(encoded.payload)
    theirs = encode_spans([span.snapshot() for span in sink])
    without_trace_states(request)
    assert request == theirs
    return only_span(request)


def sdks(story: Story, limits: SdkLimits) -> SpanMessage:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        resource=Resource(RESOURCE), span_limits=limits, shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    story.tell(provider.get_tracer("scope", "1", "https://schema", {"k": "v"}))
    return only_span(encode_spans(exporter.get_finished_spans()))


def only_span(request: ExportTraceServiceRequest) -> SpanMessage:
    (resource,) = request.resource_spans
    (scope,) = resource.scope_spans
    (span,) = scope.spans
    return span


def without_trace_states(request: ExportTraceServiceRequest) -> None:
    """Forget the links' tracestates, which OTLP has and the SDK leaves out."""
    for link in only_span(request).links:
        link.trace_state = ""


def comparable(span: SpanMessage) -> SpanMessage:
    """Take away what is random, and stack traces, which name the caller's lines."""
    span.span_id = b""
    if not span.parent_span_id:
        span.trace_id = b""
    for event in span.events:
        kept = [p for p in event.attributes if p.key != "exception.stacktrace"]
        del event.attributes[:]
        event.attributes.extend(kept)
    return span


@given(story=stories)
def test_our_encoder_writes_what_the_sdks_writes(story: Story) -> None:
    ours(story, SpanLimits())


@given(story=stories)
def test_a_span_of_ours_is_exported_as_one_of_the_sdks(story: Story) -> None:
    assert comparable(ours(story, SpanLimits())) == comparable(sdks(story, SdkLimits()))


@given(story=stories, both=limits())
def test_it_is_within_any_limits_too(
    story: Story, both: tuple[SpanLimits, SdkLimits]
) -> None:
    ours_limits, sdks_limits = both
    found = comparable(ours(story, ours_limits))
    assert found == comparable(sdks(story, sdks_limits))
