"""The command: usage, exit codes, messages."""

import json
import os
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--json", "--bogus"],
        ["demo", "--once", "--json", "--peers", "abc"],
        ["demo", "--json", "--input"],
    ],
)
def test_wrong_usage_is_one_json_object_too_with_json(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["error"]["code"] == "config"
    assert captured.err.startswith(f"error: {report['error']['message']}\n")
    assert report["trace_id"] is None


@pytest.mark.parametrize("option", ["--input", "--module", "--data"])
def test_a_path_that_cannot_be_read_is_left_to_whoever_opens_it(
    option, tmp_path, monkeypatch, capsys
):
    file = tmp_path / "file"
    file.write_text("x")
    # Root may read everything; this is what anybody else would be told.
    monkeypatch.setattr(os, "access", lambda *_args, **_options: False)

    assert main(["demo", "--once", option, str(file), "--peers", "2"]) == 2

    assert "error: --peers: 2 is not" in capsys.readouterr().err


COMMAND = "from zerostate.cli import entry_point; entry_point()"


@pytest.mark.parametrize(
    ("redirection", "code", "out", "err"),
    [
        ("--version >&-", 0, "", ""),
        ("--version 2>&-", 0, f"zerostate {__version__}\n", ""),
        ("demo --bogus --json 2>&-", 2, '"code": "config"', ""),
        ("demo --bogus --json >&-", 2, "", "error: "),
        ("demo --bogus >&- 2>&- <&-", 2, "", ""),
        ("--version >/dev/full", 3, "", "error: standard output: No space left"),
        ("--help >/dev/full", 3, "", "error: standard output: No space left"),
        ("demo --peers 2 --json >/dev/full", 3, "", "error: standard output: No space"),
        ("demo --bogus 2>/dev/full", 2, "", ""),
    ],
)
def test_a_closed_or_full_stream_is_no_bug_of_ours(redirection, code, out, err):
    line = f'"$0" -c "$1" {redirection}'

    done = subprocess.run(
        ["sh", "-c", line, sys.executable, COMMAND],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert out in done.stdout
    # Nothing that was meant for the other stream.
    assert done.stdout.count("\n") == bool(out)
    assert err in done.stderr
    assert bool(err) == bool(done.stderr)
    assert "Traceback" not in done.stderr


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
