import enum

import pytest

from zerostate.telemetry.recorder.attributes import (
    MAX_DEPTH,
    MAX_ITEMS,
    clean_mapping,
    clean_value,
)


class Colour(enum.StrEnum):
    RED = "red"


class Old(str, enum.Enum):  # noqa: UP042  # its own text is not its value
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Ratio(float):
    def __float__(self):
        raise AssertionError("not asked")


class Loud(str):
    __slots__ = ()

    def __str__(self):
        return self.upper()


class Scalar:
    """As numpy's integers are: no int, but with a text."""

    def __str__(self):
        return "7"


class Plain:
    pass


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        (1, 1),
        (1.5, 1.5),
        ("text", "text"),
        (b"bytes", b"bytes"),
        (bytearray(b"\x01"), (1,)),
        ([1, "a", None], (1, "a", None)),
        ((True, [1.0]), (True, (1.0,))),
        ({"k": [1]}, {"k": (1,)}),
        ({1: "int", "": "empty", None: "none"}, {"1": "int"}),
        (range(3), (0, 1, 2)),
        (Colour.RED, "red"),
        (Old.RED, "red"),
        (Level.HIGH, 3),
        (Ratio(1.5), 1.5),
        (Loud("soft"), "soft"),
        (Scalar(), "7"),
        (Plain(), None),
        ({1, 2}, "{1, 2}"),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_a_value_is_kept_or_becomes_text(value, kept):
    found = clean_value(value, None)

    assert found == kept
    assert type(found) is type(kept)


def test_what_is_recorded_does_not_change_with_its_source(recording):
    source = {"list": [1], "map": {"k": 1}}
    span = recording.tracer.start_span("n", attributes=source)

    source["list"].append(2)
    source["map"]["k"] = 2

    assert dict(span.attributes) == {"list": (1,), "map": {"k": 1}}


def test_nesting_ends_at_a_depth():
    endless: list[object] = []
    endless.append(endless)
    found = clean_value(endless, None)

    depth = 0
    while found is not None:
        (found,) = found
        depth += 1
    assert depth == MAX_DEPTH


def test_a_value_that_holds_itself_twice_is_cut_in_size():
    double: list[object] = []
    double += [double, double]

    def size(value):
        return 1 + sum(size(item) for item in value) if value else 1

    assert size(clean_value(double, None)) <= MAX_ITEMS + 1


def test_a_long_list_is_cut():
    assert len(clean_value([0] * (MAX_ITEMS + 5), None)) == MAX_ITEMS


@pytest.mark.parametrize("key", ["", None, 0, b"", (), Plain()])
def test_a_key_without_text_is_dropped_and_counted(recording, key):
    span = recording.tracer.start_span("n", attributes={key: 1, "a": 1})

    assert dict(span.attributes) == {"a": 1}
    assert span.dropped_attributes == 1


def test_a_single_attribute_needs_a_text_as_key(recording):
    span = recording.tracer.start_span("n")

    span.set_attribute(1, "one")
    span.set_attribute("", "none")
    span.set_attribute(Loud("soft"), 1)

    assert dict(span.attributes) == {"soft": 1}
    assert span.dropped_attributes == 2


def test_values_whose_own_code_raises_are_dropped_and_counted():
    class Broken:
        def __str__(self):
            raise RuntimeError

    found = clean_mapping({"a": 1, "b": Broken(), "c": [Broken()]}, 128, None)

    assert found == ({"a": 1}, 2)
