"""telemetry.marks: what is said on a span that is open."""

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from zerostate.telemetry import marks
from zerostate.testing import SpanRecorder


@pytest.mark.parametrize(
    ("record", "value", "key"),
    [
        (marks.record_peer_id, "p", "peer.id"),
        (marks.record_guild_id, "g", "guild.id"),
        (marks.record_task_id, "t", "task.id"),
        (marks.record_channel_id, "c", "channel.id"),
        (marks.record_message_type, "m", "message.type"),
        (marks.record_size, 7, "size.bytes"),
        (marks.record_count, 3, "count"),
    ],
)
def test_each_mark_sets_the_attribute_of_the_guide(record, value, key):
    recorder = SpanRecorder()
    with recorder.provider.get_tracer("t").start_as_current_span("work") as span:
        record(span, value)
    record(span, value)

    assert recorder.named("work").attributes == {key: value}


def test_success_on_a_span_of_somebody_else_leaves_its_status_unset():
    """OK would be final there, and a failure could still follow."""
    recorder = SpanRecorder()
    with recorder.provider.get_tracer("t").start_as_current_span("work") as span:
        marks.record_success(span, 3)

    assert recorder.named("work").status.status_code is StatusCode.UNSET
    assert recorder.named("work").attributes == {"duration.ms": 3}


def test_marks_on_a_span_that_does_not_record_have_no_effect():
    marks.record_success(trace.INVALID_SPAN, 1)
    marks.record_count(trace.INVALID_SPAN, 1)
