"""The command: usage, exit codes, messages."""

import json
import subprocess
import sys

import pytest

from zerostate import __version__
from zerostate.cli.main import main
from zerostate.cli.output import print_json, print_lines


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"zerostate {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_shows_the_commands(arguments, capsys):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("up", "demo", "trace"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--bad"],
        ["demo", "--peers", "many"],
        ["up", "--ui", "70000"],
        ["nonsense"],
        ["trace"],
        ["trace", "show"],
    ],
)
def test_wrong_usage_is_told_on_standard_error_with_exit_code_2(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) == 2


@pytest.mark.parametrize("peers", ["-1", "2", "13"])
def test_too_few_or_too_many_peers_are_refused(peers, capsys):
    assert main(["demo", "--once", "--peers", peers]) == 2
    assert f"error: --peers: {peers} is not from 3 to 12" in capsys.readouterr().err


def test_a_refusal_is_one_json_object_with_json(capsys):
    assert main(["demo", "--once", "--json", "--peers", "2"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["error"]["code"] == "config"
    assert report["spans"] == []


@pytest.mark.parametrize("trace_id", ["xyz", "0", "a" * 33])
def test_what_is_no_trace_id_is_refused(trace_id, capsys):
    assert main(["trace", "show", trace_id]) == 2
    assert "error: not a trace id" in capsys.readouterr().err


def test_no_stack_to_ask_is_told_with_what_to_do(capsys):
    assert main(["trace", "show", "ab", "--url", "http://127.0.0.1:1"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "error: no tracing stack answers at http://127.0.0.1:1",
        "hint: is the stack running? start it with: zerostate up",
    ]


def test_help_loads_nothing_heavy():
    script = """
import sys
from zerostate.cli.main import main
assert main(["--help"]) == 0
heavy = {"httpx", "asyncio", "opentelemetry", "libp2p", "trio", "starlette", "uvicorn",
         "grpc", "wasmtime", "cryptography"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stderr == "[]\n"


def test_what_is_missing_is_named_with_the_install_line():
    script = """
import sys
sys.modules["typer"] = None
from zerostate.cli import entry_point
entry_point()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 3
    assert done.stderr == (
        "error: the command line needs typer: pip install 'zerostate[all]'\n"
    )


def test_output_that_nobody_reads_is_no_crash():
    script = """
import os, sys
from zerostate.cli.output import print_lines
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(reader)
print(print_lines([("a", False)]), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stderr == "False\n"


def test_json_is_one_line_and_keeps_letters(capsys):
    assert print_json({"a": "µ"})
    assert capsys.readouterr().out == '{"a": "µ"}\n'


def test_a_file_gets_no_colours(capsys):
    assert print_lines([("bad", True), ("good", False)])
    assert capsys.readouterr().out == "bad\ngood\n"
