"""telemetry.baggage: the grammar, the limits, and values of any text."""

import pytest
from opentelemetry import baggage
from opentelemetry.context import Context

from zerostate.telemetry.baggage import encode_baggage, parse_baggage
from zerostate.telemetry.propagation import (
    PROPAGATOR,
    TraceCarrier,
    dropped_headers,
    trimmed_headers,
)


def read(value):
    context = PROPAGATOR.extract({"baggage": value}, Context())
    return dict(baggage.get_all(context))


@pytest.mark.parametrize(
    ("header", "entries"),
    [
        ("userId=alice", {"userId": "alice"}),
        ("userId =   alice", {"userId": "alice"}),
        ("a=1,b=2 , c=3", {"a": "1", "b": "2", "c": "3"}),
        ("serverNode=DF%2028", {"serverNode": "DF 28"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=", {"a": ""}),
        ("a=1+1", {"a": "1+1"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a=%FF", {"a": "\ufffd"}),
        ("a=%zz", {"a": "%zz"}),
        ("a=1;p=2;q", {"a": "1"}),
        ("a=1,a=2", {"a": "2"}),
        (",, a=1 ,", {"a": "1"}),
    ],
)
def test_a_baggage_is_read(header, entries):
    assert read(header) == entries


@pytest.mark.parametrize("bad", ["a", "=1", "a b=1", "a=b c", 'a="b"', "a=\\", "é=1"])
def test_a_malformed_member_goes_and_the_others_stay(bad):
    before = trimmed_headers["baggage"]

    assert read(f"x=1,{bad},y=2") == {"x": "1", "y": "2"}
    assert trimmed_headers["baggage"] == before + 1


def test_a_header_without_a_good_member_is_dropped_and_counted():
    before = dropped_headers["baggage"]

    assert read("garbage") == {}
    assert dropped_headers["baggage"] == before + 1


def test_the_first_64_members_are_kept():
    header = ",".join(f"k{n}=1" for n in range(65))

    assert list(read(header)) == [f"k{n}" for n in range(64)]
    assert parse_baggage(header.rpartition(",")[0]).is_complete


def test_as_many_whole_members_are_kept_as_8192_characters_hold():
    exactly = "a=" + "x" * 4093 + ",b=" + "y" * 4094
    assert len(exactly) == 8192

    assert list(read(exactly)) == ["a", "b"]
    assert list(read(exactly + ",c=1")) == ["a", "b"]
    assert list(read(exactly + "y")) == ["a"]


def test_properties_go_out_again_as_they_came():
    carrier = TraceCarrier.from_headers({"baggage": "a=1;p=2;q, b=2"})
    again = TraceCarrier.inject(carrier.extract())

    assert carrier.baggage == "a=1;p=2;q,b=2"
    assert again.baggage == carrier.baggage


def test_any_value_is_encoded_and_read_back():
    values = {"a": 'é "x", y; \\ + % = 1', "n": 5, "t": True, "empty": ""}
    header, is_complete = encode_baggage(values)

    assert is_complete
    assert header.isascii()
    assert read(header) == {key: str(value) for key, value in values.items()}


def test_what_cannot_go_is_left_out_and_told():
    class Unprintable:
        def __str__(self):
            raise RuntimeError

    many = {f"k{n}": "v" for n in range(70)}
    long = {"a": "x" * 8000, "b": "y" * 8000, "c": "z"}

    assert encode_baggage({"a b": "1", "c": "2"}) == ("c=2", False)
    assert encode_baggage({"a": Unprintable(), "c": "2"}) == ("c=2", False)
    assert encode_baggage({1: "2"}) == ("", False)
    assert encode_baggage(many)[0].count(",") == 63
    assert encode_baggage(long) == ("a=" + "x" * 8000, False)
    assert encode_baggage({"a": "\ud800"}) == ("a=?", True)


def test_fields_sent_several_times_are_joined():
    headers = [("Baggage", "a=1"), ("baggage", "b=2")]
    context = PROPAGATOR.extract(headers, Context())

    assert dict(baggage.get_all(context)) == {"a": "1", "b": "2"}
