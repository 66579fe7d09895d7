"""telemetry.log_lines: any log record as one line of JSON."""

import json
import logging
from collections import OrderedDict
from datetime import UTC, datetime

import pytest

from zerostate.errors import PeerLostError
from zerostate.telemetry.bound_ids import bind_ids
from zerostate.telemetry.helper import TraceHelper
from zerostate.telemetry.log_lines import MAX_STACK_CHARS, JsonLineFormatter
from zerostate.telemetry.log_values import MAX_DEPTH, MAX_ITEMS, MAX_TEXT_CHARS
from zerostate.testing import SpanRecorder


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


def record(message="hello", *args, exc=None, **extra):
    exc_info = (type(exc), exc, exc.__traceback__) if exc else None
    made = logging.LogRecord(
        "shop", logging.WARNING, "f.py", 1, message, args, exc_info
    )
    made.created = datetime(2026, 11, 22, 9, 0, 0, 1234, UTC).timestamp()
    vars(made).update(extra)
    return made


def entry(made, **settings):
    formatter = JsonLineFormatter(service="shop", **settings)
    line = formatter.format(made)
    assert "\n" not in line
    return json.loads(line)


def test_a_line_outside_of_any_span():
    assert list(entry(record("paid %d of %s", 3, "ten")).items()) == [
        ("timestamp", "2026-11-22T09:00:00.001234Z"),
        ("level", "warning"),
        ("logger", "shop"),
        ("message", "paid 3 of ten"),
        ("service", "shop"),
    ]


@pytest.mark.parametrize("is_sampled", [True, False])
def test_a_line_in_a_span_has_its_ids_sampled_or_not(is_sampled):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    provider = TracerProvider(
        sampler=ALWAYS_ON if is_sampled else ALWAYS_OFF, shutdown_on_exit=False
    )
    with TraceHelper("shop", provider=provider).start_span("order") as span:
        found = entry(record())

    context = span.get_span_context()
    assert found["trace_id"] == f"{context.trace_id:032x}"
    assert found["span_id"] == f"{context.span_id:016x}"
    assert found["trace_sampled"] is is_sampled


def test_domain_ids_fixed_fields_and_what_the_call_gave():
    with bind_ids(task_id="t", peer_id="p"):
        found = entry(record(amount=7), fields={"service.version": "1.2"})

    assert found["task.id"] == "t"
    assert found["peer.id"] == "p"
    assert found["service.version"] == "1.2"
    assert found["amount"] == 7


def test_a_call_cannot_pass_off_its_fields_as_ours():
    with bind_ids(task_id="t"):
        found = entry(
            record(**{"trace_id": "0", "service": "bank", "task.id": "u", "stack": "s"})
        )

    assert "trace_id" not in found
    assert (found["service"], found["task.id"]) == ("shop", "t")
    assert found["field.trace_id"] == "0"
    assert found["field.service"] == "bank"
    assert found["field.task.id"] == "u"
    assert found["field.stack"] == "s"


def raised(exc):
    try:
        raise exc
    except Exception as caught:  # noqa: BLE001  # whatever a test gives
        return caught


def test_an_exception_is_structured_and_named_as_on_the_span():
    found = entry(record(exc=raised(PeerLostError("gone"))))

    assert found["error.type"] == "peer_lost"
    exception = found["exception"]
    assert exception["type"] == "zerostate.errors.PeerLostError"
    assert exception["message"] == "gone"
    assert exception["stacktrace"].startswith("Traceback")
    assert exception["stacktrace"].endswith("PeerLostError: gone\n")


def test_an_exception_group_names_its_first_failure_and_lists_all():
    group = ExceptionGroup("two", [PeerLostError("gone"), KeyError("x")])
    found = entry(record(exc=raised(group)))

    assert found["error.type"] == "peer_lost"
    assert [inner["type"] for inner in found["exception"]["exceptions"]] == [
        "zerostate.errors.PeerLostError",
        "KeyError",
    ]


def test_of_a_long_stack_trace_the_end_is_kept():
    found = entry(record(exc=raised(ValueError("x" * 100_000))))

    stack = found["exception"]["stacktrace"]
    assert stack.endswith("x\n")
    assert len(stack) < MAX_STACK_CHARS + 100
    assert len(found["exception"]["message"]) == 1024


def test_the_stack_asked_for_with_stack_info_is_there():
    made = record()
    made.stack_info = "Stack (most recent call last):\n  here"

    assert entry(made)["stack"] == "Stack (most recent call last):\n  here"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (2**63, 2**63),
        (2**64, "<integer of 65 bits>"),
        (10**5000, "<integer of 16610 bits>"),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("\ud800 \u2028 \x00", "\ud800 \u2028 \x00"),
        ("x" * 9000, "x" * MAX_TEXT_CHARS + "… (9000 characters)"),
        (b"\x01\xff", "0x01ff"),
        (b"a" * 100, "0x" + "61" * 64 + "… (100 bytes)"),
        ((1, {2}), [1, [2]]),
        (OrderedDict({1: {"a": b"b"}}), {"1": {"a": "0x62"}}),
        (list(range(100)), list(range(MAX_ITEMS))),
        (datetime(2026, 1, 1, tzinfo=UTC), repr(datetime(2026, 1, 1, tzinfo=UTC))),
        (Unprintable(), "<Unprintable; reading it raised RuntimeError>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_is_written_somehow(value, written):
    found = entry(record(value=value))

    assert found.get("value") == written


def test_nesting_and_cycles_end():
    cycle = {}
    cycle["again"] = cycle

    found = entry(record(value=cycle))["value"]
    for _ in range(MAX_DEPTH - 1):
        found = found["again"]
    assert isinstance(found["again"], str)


@pytest.mark.parametrize(
    ("made", "message", "failures"),
    [
        (record("%d apples", "three"), "%d apples ('three',)", 1),
        (record("%s", Unprintable()), "%s <tuple; reading it raised RuntimeError>", 2),
        (record(Unprintable()), "<Unprintable; reading it raised RuntimeError>", 1),
        (record({"a": 1}), "{'a': 1}", 0),
    ],
    ids=["wrong placeholder", "unprintable argument", "unprintable", "no text"],
)
def test_a_message_that_cannot_be_made_is_described_and_counted(
    made, message, failures
):
    formatter = JsonLineFormatter(service="shop")

    assert json.loads(formatter.format(made))["message"] == message
    assert formatter.failed_values == failures


def test_a_record_that_cannot_be_written_becomes_a_line_that_says_so():
    made = record()
    formatter = JsonLineFormatter(service="shop", fields={"x": object()})  # not text

    found = json.loads(formatter.format(made))

    assert found["message"] == "[a record that cannot be written: TypeError]"
    assert formatter.failed_values == 1


def test_every_value_passes_the_sanitiser_with_its_name():
    seen = {}

    def sanitise(key, value):
        seen[key] = value
        if key == "password":
            return None
        return value.replace("s3cret", "***") if isinstance(value, str) else value

    with bind_ids(task_id="s3cret-task"):
        found = entry(
            record(
                "login with %s",
                "s3cret",
                exc=raised(ValueError("bad s3cret")),
                password="s3cret",
                request={"headers": ["s3cret"], "size": 3},
            ),
            sanitise=sanitise,
        )

    assert "s3cret" not in json.dumps(found)
    assert "password" not in found
    assert found["message"] == "login with ***"
    assert found["exception"]["message"] == "bad ***"
    assert found["task.id"] == "***-task"
    assert seen["request.headers"] == "s3cret"
    assert seen["request.size"] == 3
    assert {"message", "exception.message", "exception.stacktrace"} <= seen.keys()


def test_a_sanitiser_that_fails_lets_nothing_through_and_is_counted():
    def sanitise(key, value):
        raise RuntimeError(key)

    formatter = JsonLineFormatter(service="shop", sanitise=sanitise)
    found = json.loads(formatter.format(record("s3cret", key="s3cret")))

    assert found["message"] == found["key"] == "[removed: the sanitiser failed]"
    assert formatter.failed_values == 2


def test_a_message_that_the_sanitiser_drops_says_so():
    assert entry(record(), sanitise=lambda *_: None)["message"] == "[removed]"


def test_a_sanitiser_may_answer_with_a_sequence():
    found = entry(record(a=1), sanitise=lambda _, value: (value, b"x"))

    assert found["a"] == [1, "0x78"]


def test_a_recording_span_is_not_touched():
    recorder = SpanRecorder()
    with TraceHelper("shop", provider=recorder.provider).start_span("order"):
        entry(record(a=1))

    assert recorder.named("order").attributes == {}
