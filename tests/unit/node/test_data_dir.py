"""zerostate.node.data_dir: one running node a directory."""

import os
import subprocess
import sys

import pytest

from zerostate.errors import ConfigError, StoreLockedError
from zerostate.node.data_dir import LOCK_NAME, hold_data_dir


def test_a_second_node_is_told_who_holds_the_directory(tmp_path):
    directory = tmp_path / "new" / "data"
    with hold_data_dir(directory):
        assert directory.stat().st_mode & 0o777 == 0o700
        with (
            pytest.raises(StoreLockedError, match=rf"process {os.getpid()}\)"),
            hold_data_dir(directory),
        ):
            """Never comes here."""

    with hold_data_dir(directory):
        """Free again."""


def test_a_killed_node_leaves_no_lock_behind(tmp_path):
    program = (
        "import sys, pathlib, os, signal\n"
        "from zerostate.node.data_dir import hold_data_dir\n"
        "with hold_data_dir(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=False, timeout=30
    )

    assert ended.returncode == -9
    assert (tmp_path / LOCK_NAME).exists()
    with hold_data_dir(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_a_directory_that_cannot_be_made_is_a_configuration_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match="data_dir: "),
        hold_data_dir(tmp_path / "file" / "data"),
    ):
        """Never comes here."""
