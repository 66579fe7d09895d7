import itertools
from collections import deque

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.trace import Link, SpanContext

from zerostate.telemetry.recorder import SpanLimits
from zerostate.telemetry.recorder.encode import SpanEncoder
from zerostate.telemetry.recorder.given_links import MAX_LINKS_READ

HUGE = 10**12


def links(count):
    return [Link(SpanContext(7, number + 1, True)) for number in range(count)]


def kept(span):
    return [link.context.span_id for link in span.links]


@pytest.mark.parametrize("form", [list, tuple, deque, iter, dict.fromkeys])
def test_all_links_are_taken_from_whatever_holds_them(recording, form):
    span = recording.tracer.start_span("n", links=form(links(3)))

    assert (kept(span), span.dropped_links) == ([1, 2, 3], 0)


def test_of_too_many_the_newest_are_kept(recording):
    span = recording.tracer.start_span("n", links=links(130))

    assert (kept(span), span.dropped_links) == ([*range(3, 131)], 2)


def test_a_long_sequence_is_read_from_its_end_and_counted_whole(recording):
    many = links(1) * (MAX_LINKS_READ * 2) + links(128)

    span = recording.tracer.start_span("n", links=many)

    assert (kept(span), span.dropped_links) == ([*range(1, 129)], MAX_LINKS_READ * 2)


def test_a_span_that_may_hold_more_reads_more(make_recording):
    limits = SpanLimits(max_links=MAX_LINKS_READ + 2)
    span = make_recording(limits).tracer.start_span("n", links=links(1030))

    assert (len(span.links), span.dropped_links) == (MAX_LINKS_READ + 2, 4)


def test_a_sequence_of_astronomic_length_holds_nobody_up(recording):
    with recording.tracer.start_as_current_span("n", links=range(HUGE)) as span:
        assert (kept(span), span.dropped_links) == ([], HUGE - MAX_LINKS_READ)

    payload = SpanEncoder({}).encode(recording.spans).payload
    (found,) = (
        ExportTraceServiceRequest.FromString(payload)
        .resource_spans[0]
        .scope_spans[0]
        .spans
    )
    assert found.dropped_links_count == 2**32 - 1


def test_what_never_ends_holds_nobody_up(recording):
    endless = itertools.cycle(links(2))

    span = recording.tracer.start_span("n", links=endless)

    assert len(span.links) == SpanLimits().max_links
    assert span.dropped_links == MAX_LINKS_READ - SpanLimits().max_links + 1


@pytest.mark.parametrize("given", [5, range(10**30), "text", [None], [], object()])
def test_what_are_no_links_are_none(recording, given):
    span = recording.tracer.start_span("n", links=given)

    assert (span.links, span.dropped_links) == ((), 0)
