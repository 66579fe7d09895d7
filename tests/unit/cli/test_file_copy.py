"""Which files are copied for the requester, and how."""

import asyncio
import os
import socket
import stat
import subprocess
import sys

import pytest

from zerostate.cli.file_copy import MAX_COPY_BYTES, sendable_path
from zerostate.errors import InputFileError


@pytest.fixture
def copied(tmp_path):
    def copy(path, **options):
        return asyncio.run(sendable_path(path, tmp_path / "copy", **options))

    return copy


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    ends = [os.fdopen(reader, "rb"), os.fdopen(writer, "wb", buffering=0)]
    yield ends
    for end in ends:
        end.close()


@pytest.mark.parametrize("kind", ["file", "folder", "missing", "socket"])
def test_what_another_process_can_judge_is_sent_as_it_is(
    kind, copied, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / kind
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "file":
            path.write_text("x")
        elif kind == "folder":
            path.mkdir()
        elif kind == "socket":
            listener.bind(kind)

        assert copied(path.relative_to(tmp_path)) == path

    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "folder", ["/dev/fd", "/proc/self/fd", f"/proc/{os.getpid()}/fd"]
)
def test_what_a_descriptor_of_ours_gives_is_copied(folder, copied, pipe, tmp_path):
    reader, writer = pipe
    writer.write(b"from a command")
    writer.close()

    path = copied(type(tmp_path)(folder) / str(reader.fileno()))

    assert path == tmp_path / "copy"
    assert path.read_bytes() == b"from a command"


def test_a_link_to_a_descriptor_counts_as_one(copied, pipe, tmp_path):
    reader, writer = pipe
    writer.write(b"x")
    writer.close()
    (tmp_path / "link").symlink_to(f"/dev/fd/{reader.fileno()}")

    assert copied(tmp_path / "link").read_bytes() == b"x"


@pytest.mark.parametrize("how", ["< {file}", "<<END\nsome text\nEND"])
def test_standard_input_is_copied_also_when_it_is_a_file(how, tmp_path):
    file = tmp_path / "file"
    file.write_text("some text\n")
    script = """
import asyncio, sys
from pathlib import Path
from zerostate.cli.file_copy import sendable_path
print(asyncio.run(sendable_path(Path("/dev/stdin"), Path(sys.argv[1]))))
"""
    line = f'"$0" -c "$1" "$2" {how.format(file=file)}'

    done = subprocess.run(
        ["sh", "-c", line, sys.executable, script, str(tmp_path / "copy")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == str(tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "some text\n"


def test_standard_input_may_be_a_socket(copied, tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"hello")
        theirs.shutdown(socket.SHUT_WR)

        assert (
            copied(type(tmp_path)(f"/dev/fd/{ours.fileno()}")).read_bytes() == b"hello"
        )


def test_a_named_pipe_is_copied_once_its_writer_comes(copied, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with subprocess.Popen(["sh", "-c", f"echo late >{path}"]):
        copy = copied(path)

    assert copy.read_text() == "late\n"
    assert stat.S_ISREG(copy.stat().st_mode)


def test_a_pipe_into_which_nobody_writes_is_given_up(copied, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)

    with pytest.raises(InputFileError, match=r"pipe: nothing came for 0\.05 s"):
        copied(path, max_silence_s=0.05)


def test_an_endless_device_is_copied_to_one_byte_too_many(copied, tmp_path):
    copy = copied(type(tmp_path)("/dev/zero"))

    assert copy.stat().st_size == MAX_COPY_BYTES


def test_a_descriptor_that_is_not_open_is_told(copied, tmp_path):
    with pytest.raises(InputFileError, match="/dev/fd/9999: Bad file descriptor"):
        copied(type(tmp_path)("/dev/fd/9999"))
