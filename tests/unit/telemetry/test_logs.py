"""telemetry.logs: the process's log, from structlog and the standard library."""

import io
import json
import logging
import subprocess
import sys

import pytest
import structlog

from zerostate.errors import ConfigError
from zerostate.telemetry.helper import TraceHelper, with_task_id
from zerostate.telemetry.logs import configure_logs, configure_stdlib_logs
from zerostate.testing import SpanRecorder


class Broken(io.StringIO):
    def write(self, _text):
        raise BrokenPipeError


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def structlog_as_it_was():
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_structlog_and_the_standard_library_write_the_same_lines():
    stream = io.StringIO()
    recorder = SpanRecorder()
    helper = TraceHelper("shop", provider=recorder.provider)
    with configure_logs(service="shop", stream=stream):
        with helper.start_span("order", with_task_id("t")):
            structlog.get_logger("shop.a").warning("paid %s", "all", amount=7)
            logging.getLogger("shop.a").warning("paid %s", "all", extra={"amount": 7})

    ours, theirs = lines(stream)
    assert ours.pop("timestamp") <= theirs.pop("timestamp")
    assert ours == theirs
    context = recorder.named("order").get_span_context()
    assert ours == {
        "level": "warning",
        "logger": "shop.a",
        "message": "paid all",
        "service": "shop",
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "trace_sampled": True,
        "task.id": "t",
        "amount": 7,
    }


def test_structlogs_exceptions_stacks_and_bound_values_are_there():
    stream = io.StringIO()
    with configure_logs(service="shop", stream=stream):
        structlog.contextvars.bind_contextvars(customer="gold")
        log = structlog.get_logger("shop").bind(order=3)
        try:
            raise KeyError("x")
        except KeyError as exc:
            log.exception("failed")
            log.error("failed", exc_info=exc)
        log.info("here", stack_info=True, event_id=1)

    first, second, third = lines(stream)
    assert first["exception"] == second["exception"]
    assert first["error.type"] == "KeyError"
    assert (first["customer"], first["order"]) == ("gold", 3)
    assert third["stack"].startswith("Stack (most recent call last)")
    assert third["event_id"] == 1


def test_less_severe_lines_are_not_written():
    stream = io.StringIO()
    with configure_logs(service="shop", stream=stream, level="warning"):
        structlog.get_logger("shop").info("no")
        logging.getLogger("shop").info("no")
        logging.getLogger("shop").error("yes")

    assert [line["message"] for line in lines(stream)] == ["yes"]


def test_configuring_again_replaces_the_output_and_closing_gives_the_level_back():
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    first, second = io.StringIO(), io.StringIO()
    configure_logs(service="a", stream=first)
    log = structlog.get_logger("shop")
    log.warning("one")
    with configure_logs(service="b", stream=second):
        log.warning("two")

    assert [line["service"] for line in lines(first) + lines(second)] == ["a", "b"]
    assert list(root.handlers) == handlers
    root.setLevel(level)


def test_a_stream_that_takes_nothing_fails_nobody_and_is_counted(capsys):
    with configure_stdlib_logs(service="shop", stream=Broken()) as output:
        logging.getLogger("shop").warning("x")
        logging.getLogger("shop").warning("x", extra={"value": Unprintable()})

    assert output.lost_lines == 2
    assert output.failed_values == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"service": ""}, "service: empty"),
        ({"service": "s", "level": "loud"}, "'loud' is not one of DEBUG, INFO"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(settings, problem):
    handlers = list(logging.getLogger().handlers)

    with pytest.raises(ConfigError, match=problem):
        configure_logs(**settings)

    assert logging.getLogger().handlers == handlers
    assert not structlog.is_configured()


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_structlog_the_error_says_what_to_install():
    done = run(
        "import sys; sys.modules['structlog'] = None\n"
        "from zerostate.telemetry.logs import configure_logs\n"
        "configure_logs(service='s')\n"
    )

    assert "install zerostate with the extra 'logs'" in done.stderr


def test_the_standard_library_alone_loads_no_structlog():
    done = run(
        "import logging, sys\n"
        "from zerostate.telemetry.logs import configure_stdlib_logs\n"
        "configure_stdlib_logs(service='s')\n"
        "logging.warning('x')\n"
        "assert 'structlog' not in sys.modules\n"
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr)["message"] == "x"
