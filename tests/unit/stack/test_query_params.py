import pytest

from zerostate.errors import InvalidQueryError
from zerostate.stack.query.params import (
    MAX_TAGS,
    MAX_TEXT_CHARS,
    bounded,
    check_tags,
    parse_duration_ns,
    parse_rfc3339_ns,
)
from zerostate.stack.store import TagCondition


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0", 0),
        ("1ns", 1),
        ("1.5ms", 1_500_000),
        ("1h2m3s", 3_723_000_000_000),
        ("2µs", 2_000),
        ("2\u03bcs", 2_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("0.000000001s", 1),
    ],
)
def test_durations_are_read_as_go_writes_them(text, duration_ns):
    assert parse_duration_ns("d", text) == duration_ns


@pytest.mark.parametrize(
    "text", ["", "5", "s", ".s", "1x", "-1s", "1s ", "1e3s", "9999999999h", "1s2"]
)
def test_other_durations_are_refused(text):
    with pytest.raises(InvalidQueryError, match="parameter 'd' must be a duration"):
        parse_duration_ns("d", text)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.000000001z", 1_000_000_001),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00 01:00", 0),
        ("1969-01-01T00:00:00Z", 0),
    ],
)
def test_times_are_read_to_the_nanosecond(text, time_ns):
    assert parse_rfc3339_ns("t", text) == time_ns


@pytest.mark.parametrize(
    "text", ["", "now", "1970-01-01", "1970-01-01T00:00:00", "0000-01-01T00:00:00Z"]
)
def test_other_times_are_refused(text):
    with pytest.raises(InvalidQueryError, match="parameter 't' must be a time"):
        parse_rfc3339_ns("t", text)


def test_searches_are_bounded():
    with pytest.raises(InvalidQueryError, match="longer than"):
        bounded("x", "y" * (MAX_TEXT_CHARS + 1))
    tags = [TagCondition.from_text(str(n), "") for n in range(MAX_TAGS + 1)]
    with pytest.raises(InvalidQueryError, match="at most 32 tags"):
        check_tags(tags)
