"""node.identity: the secret in a file."""

import os
import stat
import subprocess
import sys

import pytest

from zerostate.errors import ConfigError
from zerostate.node.identity import load_or_create


def test_an_identity_is_made_once_and_found_again(tmp_path):
    path = tmp_path / "identity.key"
    made = load_or_create(path)

    assert load_or_create(path).peer_id == made.peer_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_others_may_read_is_refused_and_left(tmp_path):
    path = tmp_path / "identity.key"
    load_or_create(path)
    path.chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_create(path)
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"zz", b"ab" * 31, b"\xff\xfe"])
def test_a_file_without_a_seed_is_refused_and_left(tmp_path, content):
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(ConfigError, match=r"identity|hex digits"):
        load_or_create(path)
    assert path.read_bytes() == content


def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be kept here"):
        load_or_create(tmp_path / "missing" / "identity.key")


LOAD = """
import pathlib, sys
from zerostate.errors import ConfigError
from zerostate.node.identity import load_or_create
try:
    load_or_create(pathlib.Path(sys.argv[1]))
except ConfigError as exc:
    print(exc)
"""

FILL_THE_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
"""


def run(code, path):
    """Return what `code` prints, in a process that may take half a minute."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


def test_a_full_disk_leaves_no_part_of_an_identity(tmp_path):
    path = tmp_path / "identity.key"

    assert "cannot be kept here" in run(FILL_THE_DISK + LOAD, path)
    assert list(tmp_path.iterdir()) == []
    assert load_or_create(path).peer_id


def test_nothing_else_is_left_beside_a_new_identity(tmp_path):
    load_or_create(tmp_path / "identity.key")

    assert [entry.name for entry in tmp_path.iterdir()] == ["identity.key"]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "identity.key"
    os.mkfifo(path, 0o600)

    assert "cannot be read as an identity" in run(LOAD, path)


def test_a_file_is_not_read_beyond_what_an_identity_takes(tmp_path):
    path = tmp_path / "identity.key"
    load_or_create(path)
    with path.open("a") as file:
        # Blanks, which are stripped: only the length is wrong.
        file.write(" " * (1 << 20))

    with pytest.raises(ConfigError, match="hex digits"):
        load_or_create(path)
