"""Error codes, exit codes, messages."""

import pytest

from zerostate.cli.failures import (
    EXIT_CODES,
    EXIT_ENVIRONMENT,
    EXIT_INPUT,
    EXIT_TASK,
    Failure,
    ReportedError,
    failure_of,
    one_line,
)
from zerostate.errors import ERROR_CODES, PortInUseError, TrapError
from zerostate.node.task import UNPAID_YET


def test_every_code_in_the_table_exists():
    assert set(EXIT_CODES) - {"interrupted", "terminated"} <= ERROR_CODES


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("trap", EXIT_TASK),
        ("peer_lost", EXIT_TASK),
        ("input_file", EXIT_INPUT),
        ("invalid_module", EXIT_INPUT),
        ("port_in_use", EXIT_ENVIRONMENT),
        ("interrupted", 130),
        ("terminated", 143),
    ],
)
def test_a_code_decides_the_exit_code(code, exit_code):
    assert Failure(code, "x").exit_code == exit_code


def test_an_error_of_ours_keeps_its_code_and_message():
    assert failure_of(TrapError("unreachable")) == Failure("trap", "unreachable")


def test_an_error_that_a_process_reported_keeps_that_processs_code():
    assert failure_of(ReportedError("store_locked", "held")) == Failure(
        "store_locked", "held"
    )


def test_an_error_without_words_is_named():
    assert failure_of(PortInUseError()).message == "PortInUseError"


def test_a_failure_is_told_in_one_line_and_a_hint():
    error, hint = Failure("port_in_use", "4318 is\ntaken").lines()

    assert error == "error: 4318 is\\ntaken"
    assert hint.startswith("hint: ")


def test_a_long_text_is_cut_and_stays_one_line():
    assert len(one_line("a" * 5000)) == 1000
    assert one_line("a" * 1000) == "a" * 1000
    assert one_line("tab\tnew\nbell\x07") == "tab\\tnew\\nbell\\x07"


def test_the_hint_on_a_file_names_each_option_that_takes_one():
    assert "--input" in Failure("input_file", "module /x: no").hint
    assert "--module" in Failure("input_file", "module /x: no").hint


def test_a_lost_trace_is_no_good_end():
    assert Failure("trace_incomplete", "x").exit_code == EXIT_ENVIRONMENT


def test_a_long_compilation_is_not_blamed_on_a_loop():
    told = "compile: not done after 20 s; the compiler was killed"
    assert "compile_timeout_s" in Failure("deadline", told).hint
    assert "loop" in Failure("deadline", "wall clock").hint


def test_a_task_that_was_done_is_not_blamed_on_a_firewall():
    told = f"{UNPAID_YET}: 12D3KooWa opened no stream: MuxedStreamEOF: Stream closed"
    failure = Failure("peer_unreachable", told)

    assert failure.exit_code == EXIT_TASK
    assert "once it is paid" in failure.hint
    assert "firewall" not in failure.hint
    assert "firewall" in Failure("peer_unreachable", "cannot reach").hint


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("guild_not_formed", "bootstrap"),
        ("guild_not_formed", "zerostate node peers"),
        ("guild_not_formed", "zerostate node unban"),
        ("task_not_found", "also after a restart"),
        ("guild_full", "zerostate guild show"),
        ("no_executor", "price"),
        ("peer_unreachable", "relay"),
        ("peer_denied", "zerostate node unban"),
    ],
)
def test_who_finds_nobody_to_work_with_is_told_what_to_look_at(code, says):
    assert says in Failure(code, "x").hint


def test_who_is_refused_for_what_it_cannot_pay_is_told_whom_to_ask():
    hint = Failure("unpaid_tasks", "3 tasks of yours are not paid").hint

    assert "another executor, or its operator" in hint
