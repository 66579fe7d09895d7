"""``zerostate up``: the stack as a person starts it."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e

COMMAND = (sys.executable, "-c", "from zerostate.cli import entry_point; entry_point()")
FREE = ("--otlp-http", "0", "--otlp-grpc", "0", "--ui", "0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_where_it_is_and_ends_when_told(tmp_path, number):
    environ = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    with subprocess.Popen(
        [*COMMAND, "up", *FREE], stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(number)
        rest = process.stdout.read()

    text = "".join(lines)
    assert re.search(
        r"^Page and query API  http://127\.0\.0\.1:\d+$", text, re.MULTILINE
    )
    assert re.search(
        r"^OTLP over HTTP      http://127\.0\.0\.1:\d+$", text, re.MULTILINE
    )
    assert re.search(r"^OTLP over gRPC      127\.0\.0\.1:\d+$", text, re.MULTILINE)
    assert f"Traces are kept in  {tmp_path / 'zerostate'}\n" in text
    assert rest == ""
    assert process.returncode == 0


@pytest.mark.parametrize("option", ["--otlp-http", "--otlp-grpc", "--ui"])
def test_a_port_in_use_is_told_with_port_and_option(tmp_path, option):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        options = dict(zip(FREE[::2], FREE[1::2], strict=True)) | {option: str(port)}
        done = subprocess.run(
            [*COMMAND, "up", "--data", tmp_path, *sum(options.items(), ())],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 3
    assert done.stdout == ""
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert str(port) in error
    assert option in error
    assert hint.startswith("hint: ")


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path):
    file = tmp_path / "file"
    file.write_text("")

    done = subprocess.run(
        [*COMMAND, "up", "--data", file / "data", *FREE],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    assert str(file) in done.stderr
