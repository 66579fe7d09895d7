import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import ConfigError
from zerostate.telemetry.export.retry import (
    MAX_RETRY_AFTER_S,
    RetryConfig,
    parse_retry_after,
    random_ratio,
)
from zerostate.telemetry.export.seconds import MAX_WAIT_S

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("99999999999999999999", MAX_RETRY_AFTER_S),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("Sun, 22 Nov 2099 09:00:00 GMT", MAX_RETRY_AFTER_S),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Sun, 42 Nov 2026 10:00:30 GMT", None),
        ("Sun, 22 Foo 2026 10:00:30 GMT", None),
        ("2026-11-22T10:00:30Z", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, wait_s: float | None) -> None:
    assert parse_retry_after(text, NOW) == wait_s


@given(st.text(max_size=40))
def test_any_retry_after_is_bounded_or_ignored(text: str) -> None:
    wait_s = parse_retry_after(text, NOW)

    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_any_date_is_counted_as_the_calendar_does(
    then: datetime, now: datetime
) -> None:
    then = then.replace(microsecond=0)
    text = f"{then:%a, %d %b} {then.year:04d} {then:%H:%M:%S} GMT"
    expected_s = min(max((then - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)

    assert parse_retry_after(text, now) == pytest.approx(expected_s, abs=1e-4)


@pytest.mark.parametrize(
    ("day", "is_date"),
    [
        ("29 Feb 2096", True),
        ("29 Feb 2100", False),
        ("30 Feb 2096", False),
        ("00 Mar 2096", False),
        ("31 Apr 2096", False),
        ("31 Dec 0000", False),
    ],
)
def test_a_day_that_no_calendar_has_is_no_date(day: str, *, is_date: bool) -> None:
    wait_s = parse_retry_after(f"Sun, {day} 10:00:00 GMT", NOW)

    assert wait_s == (MAX_RETRY_AFTER_S if is_date else None)


@pytest.mark.parametrize("time", ["24:00:00", "10:60:00", "10:00:60"])
def test_a_time_that_no_day_has_is_no_date(time: str) -> None:
    assert parse_retry_after(f"Sun, 22 Nov 2026 {time} GMT", NOW) is None


def test_waits_double_up_to_the_longest() -> None:
    retry = RetryConfig(initial_s=1, max_s=30)

    waits = [retry.wait_s(failures, 1) for failures in range(1, 8)]

    assert waits == [1, 2, 4, 8, 16, 30, 30]


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_a_wait_is_spread_over_its_upper_half(failures: int, ratio: float) -> None:
    retry = RetryConfig(initial_s=2, max_s=30)
    longest = retry.wait_s(failures, 1)

    assert longest / 2 <= retry.wait_s(failures, ratio) <= longest <= 30


def test_jitter_is_a_ratio() -> None:
    assert all(0 <= random_ratio() <= 1 for _ in range(100))


def test_every_problem_of_a_retry_policy_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        RetryConfig(initial_s=0, max_s=-1, max_elapsed_s=-1)

    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("nonsense", [math.nan, -1, None, "5", -math.inf])
@pytest.mark.parametrize("setting", ["initial_s", "max_s", "max_elapsed_s"])
def test_what_is_no_length_of_time_is_refused(setting: str, nonsense: object) -> None:
    with pytest.raises(ConfigError, match=f"^retry.{setting}: "):
        RetryConfig(**{setting: nonsense})


@pytest.mark.parametrize("endless", [math.inf, 1e300, 10**400])
def test_an_endless_policy_still_waits_a_length_that_clocks_know(endless) -> None:
    policy = RetryConfig(initial_s=endless, max_s=endless, max_elapsed_s=endless)

    assert policy.wait_s(1, 1.0) == policy.wait_s(100, 1.0) == MAX_WAIT_S
