"""Whatever is logged, one line of JSON comes out, and nothing is raised."""

import json
import logging

from hypothesis import given, settings
from hypothesis import strategies as st

from zerostate.telemetry.log_lines import JsonLineFormatter

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters())
    | st.binary()
    | st.builds(object)
    | st.complex_numbers()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=5)
        | st.tuples(inner)
    ),
    max_leaves=20,
)


def line_of(message, args, fields):
    record = logging.LogRecord("l", logging.INFO, "f", 1, message, args, None)
    for key, value in fields.items():
        vars(record).setdefault(key, value)
    return JsonLineFormatter(service="s").format(record)


@settings(deadline=None)
@given(values, st.lists(values, max_size=3), st.dictionaries(st.text(), values))
def test_any_call_gives_one_line(message, args, fields):
    line = line_of(message, tuple(args), fields)

    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["service"] == "s"


@settings(deadline=None)
@given(st.text(), st.text())
def test_no_text_becomes_a_second_line_or_another_field(message, value):
    found = json.loads(line_of(message, (), {"given": value}))

    assert found["message"] == message
    assert found["given"] == value
    assert found.keys() == {
        "timestamp",
        "level",
        "logger",
        "message",
        "service",
        "given",
    }
