"""zerostate.units: durations for people."""

import pytest

from zerostate.units import format_duration


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 µs"),
        (1_499, "1 µs"),
        (999_000, "999 µs"),
        (1_500_000, "1.5 ms"),
        (2_340_000_000, "2.34 s"),
    ],
)
def test_a_duration_has_three_digits_and_the_unit_that_fits(duration_ns, text):
    assert format_duration(duration_ns) == text
