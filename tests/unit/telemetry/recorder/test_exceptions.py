import contextlib
import traceback

import pytest
from opentelemetry.trace import StatusCode

from zerostate.telemetry.recorder.stacktrace import format_exception


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Outer:
    class NestedError(Exception):
        pass


def simple():
    raise ValueError("simple")


def carets():
    numbers = {"a": {"b": None}}
    return 1 + numbers["a"]["b"] * 2


def without_text():
    raise ValueError


def lines():
    raise ValueError("first\nsecond")


def nested_class():
    raise Outer.NestedError("x")


def caused():
    try:
        simple()
    except ValueError as exc:
        raise KeyError("outer") from exc


def in_handling():
    try:
        simple()
    except ValueError:
        raise KeyError("outer")  # noqa: B904  # the context is what is tested


def suppressed():
    try:
        simple()
    except ValueError:
        raise KeyError("outer") from None


def cause_without_traceback():
    raise KeyError("outer") from ValueError("never raised")


def recursion(depth=20):
    if depth:
        recursion(depth - 1)
    simple()


def recursion_without_end():
    recursion_without_end()


def notes():
    exc = ValueError("noted")
    exc.add_note("one\ntwo")
    raise exc


def syntax():
    compile("a +", "<text>", "exec")


def suggestion():
    carrets  # noqa: B018, F821  # the failure that is tested


def attribute_suggestion():
    "".uper()


def group():
    errors = []
    for fail in (simple, caused):
        try:
            fail()
        except Exception as exc:  # noqa: BLE001  # whatever the table raises
            errors.append(exc)
    raise ExceptionGroup("several", errors)


def group_as_cause():
    try:
        group()
    except ExceptionGroup as exc:
        raise ValueError("outer") from exc


def circle():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def no_text():
    raise UnspeakableError


def multi_line_call():
    return [
        1,
        simple(),
    ]


RAISERS = [
    simple,
    carets,
    without_text,
    lines,
    nested_class,
    caused,
    in_handling,
    suppressed,
    cause_without_traceback,
    recursion,
    recursion_without_end,
    notes,
    syntax,
    suggestion,
    attribute_suggestion,
    group,
    group_as_cause,
    circle,
    no_text,
    multi_line_call,
]


@pytest.mark.parametrize("raiser", RAISERS, ids=lambda raiser: raiser.__name__)
def test_the_text_is_the_standard_librarys(raiser):
    try:
        raiser()
    except Exception as exc:  # noqa: BLE001  # whatever the table raises
        failure = exc

    expected = "".join(traceback.format_exception(failure))
    assert format_exception(failure) == expected
    assert format_exception(failure) == expected, "the second time too"


@pytest.mark.parametrize("raiser", RAISERS, ids=lambda raiser: raiser.__name__)
def test_the_text_is_that_of_wherever_it_was_caught(raiser):
    def through():
        raiser()

    try:
        through()
    except Exception as exc:  # noqa: BLE001  # whatever the table raises
        failure = exc

    assert format_exception(failure) == "".join(traceback.format_exception(failure))


def test_an_exception_that_was_never_raised_has_a_text():
    assert format_exception(ValueError("x")) == "ValueError: x\n"


def test_an_exception_is_an_event_with_type_message_and_stacktrace(recording):
    span = recording.tracer.start_span("name")
    try:
        nested_class()
    except Outer.NestedError as exc:
        span.record_exception(exc, {"extra": 1, "exception.message": "mine"}, 5)

    (event,) = span.events
    assert (event.name, event.timestamp) == ("exception", 5)
    attributes = dict(event.attributes)
    assert attributes.pop("exception.stacktrace").endswith("NestedError: x\n")
    assert attributes == {
        "exception.type": f"{__name__}.Outer.NestedError",
        "exception.message": "mine",
        "exception.escaped": "False",
        "extra": 1,
    }


def test_an_exception_without_text_is_recorded_all_the_same(recording):
    with contextlib.suppress(UnspeakableError):
        with recording.tracer.start_as_current_span("name"):
            raise UnspeakableError

    span = recording.only
    assert span.status.description == "UnspeakableError: <exception str() failed>"
    assert span.events[0].attributes["exception.type"].endswith("UnspeakableError")


def test_with_start_span_records_a_failure_and_ends(recording):
    with pytest.raises(ValueError, match="simple"):
        with recording.tracer.start_span("name"):
            simple()

    span = recording.only
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError: simple"
    assert span.events[0].attributes["exception.escaped"] == "True"


def test_with_start_span_records_only_what_it_was_told_to(recording):
    with pytest.raises(ValueError, match="simple"):
        with recording.tracer.start_span("name", record_exception=False):
            simple()
    with pytest.raises(ValueError, match="simple"):
        with recording.tracer.start_span("name", set_status_on_exception=False):
            simple()

    first, second = recording.spans
    assert (len(first.events), first.status.status_code) == (0, StatusCode.ERROR)
    assert (len(second.events), second.status.status_code) == (1, StatusCode.UNSET)


@pytest.mark.parametrize("opening", ["start_span", "start_as_current_span"])
@pytest.mark.parametrize(
    "leaving", [KeyboardInterrupt(), GeneratorExit(), SystemExit(0)]
)
def test_a_cancellation_or_an_exit_is_no_failure(recording, opening, leaving):
    with pytest.raises(type(leaving)):
        with getattr(recording.tracer, opening)("name"):
            raise leaving

    assert recording.only.status.status_code is StatusCode.UNSET
    assert recording.only.events == ()


def test_an_exception_group_is_recorded_with_all_that_is_in_it(recording):
    with pytest.raises(ExceptionGroup):
        with recording.tracer.start_as_current_span("name"):
            group()

    text = recording.only.events[0].attributes["exception.stacktrace"]
    assert "ValueError: simple" in text
    assert "KeyError: 'outer'" in text


def test_a_group_with_a_cancellation_in_it_is_no_failure(recording):
    with pytest.raises(BaseExceptionGroup):
        with recording.tracer.start_as_current_span("name"):
            raise BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError()])

    assert recording.only.status.status_code is StatusCode.UNSET
