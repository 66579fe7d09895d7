import pytest
from opentelemetry.trace import SpanContext

from zerostate.errors import ConfigError
from zerostate.telemetry.recorder import SpanLimits

LINKED = SpanContext(7, 8, True)


def test_a_full_span_drops_the_oldest_and_counts_it(make_recording):
    limits = SpanLimits(
        max_attributes=2,
        max_events=2,
        max_links=2,
        max_event_attributes=1,
        max_link_attributes=1,
    )
    span = make_recording(limits).tracer.start_span("full", attributes={"a": 1})

    span.set_attribute("b", 2)
    span.set_attribute("b", 3)
    span.set_attribute("c", [4])
    span.set_attributes({"d": 5, "e": 6, "f": 7})
    for number in range(3):
        span.add_event(f"event {number}", {"x": 1, "y": 2})
        span.add_link(LINKED, {"number": number, "y": 2})

    assert dict(span.attributes) == {"e": 6, "f": 7}
    assert span.dropped_attributes == 4
    assert [event.name for event in span.events] == ["event 1", "event 2"]
    assert span.dropped_events == 1
    assert [dict(event.attributes) for event in span.events] == [{"y": 2}] * 2
    assert [event.dropped_attributes for event in span.events] == [1, 1]
    assert len(span.links) == 2
    assert span.dropped_links == 1
    assert [link.dropped_attributes for link in span.links] == [1, 1]


def test_a_limit_of_zero_keeps_nothing(make_recording):
    limits = SpanLimits(max_attributes=0, max_events=0, max_links=0)
    span = make_recording(limits).tracer.start_span("empty")

    span.set_attribute("a", 1)
    span.set_attributes({"b": 1, "c": 1})
    span.add_event("event")
    span.add_link(LINKED)

    assert (dict(span.attributes), span.events, span.links) == ({}, (), ())
    assert span.dropped_attributes == 3
    assert (span.dropped_events, span.dropped_links) == (1, 1)


def test_long_strings_are_cut_in_every_depth(make_recording):
    limits = SpanLimits(max_value_chars=3, max_detail_chars=2)
    span = make_recording(limits).tracer.start_span("long")

    span.set_attribute("text", "abcdef")
    span.set_attribute("short", "abc")
    span.set_attribute("nested", ["abcdef", {"k": "abcdef"}])
    span.set_attribute("number", 123456)
    span.add_event("event", {"text": "abcdef"})
    span.add_link(LINKED, {"text": "abcdef"})

    assert dict(span.attributes) == {
        "text": "abc",
        "short": "abc",
        "nested": ("abc", {"k": "abc"}),
        "number": 123456,
    }
    assert dict(span.events[0].attributes) == {"text": "ab"}
    assert dict(span.links[0].attributes) == {"text": "ab"}


def test_the_defaults_are_the_specifications():
    assert SpanLimits.from_environ({}) == SpanLimits()
    assert SpanLimits().max_attributes == SpanLimits().max_events == 128


def test_narrow_variables_go_before_general_ones():
    limits = SpanLimits.from_environ(
        {
            "OTEL_ATTRIBUTE_COUNT_LIMIT": "9",
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "10",
            "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": " 11 ",
            "OTEL_SPAN_EVENT_COUNT_LIMIT": "12",
            "OTEL_SPAN_LINK_COUNT_LIMIT": "",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "13",
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "14",
        }
    )

    assert limits == SpanLimits(
        max_attributes=10,
        max_event_attributes=9,
        max_link_attributes=11,
        max_events=12,
        max_links=128,
        max_value_chars=14,
        max_detail_chars=13,
    )


def test_general_variables_stand_in_for_narrow_ones():
    limits = SpanLimits.from_environ(
        {
            "OTEL_ATTRIBUTE_COUNT_LIMIT": "0",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "0",
        }
    )

    assert limits.max_attributes == limits.max_event_attributes == 0
    assert limits.max_value_chars == limits.max_detail_chars == 0


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "²"])
def test_a_variable_that_is_no_count_is_named(text):
    with pytest.raises(ConfigError, match="OTEL_SPAN_LINK_COUNT_LIMIT"):
        SpanLimits.from_environ({"OTEL_SPAN_LINK_COUNT_LIMIT": text})


def test_negative_limits_are_all_named():
    with pytest.raises(ConfigError, match=r"(?s)max_events.*max_value_chars"):
        SpanLimits(max_events=-1, max_value_chars=-2)
