"""The demo's private directory, and those that killed demos left."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from zerostate.cli.run_dir import LOCK_NAME, MAX_RUN_DIR_BYTES, run_directory
from zerostate.errors import ConfigError


@pytest.fixture
def parent(monkeypatch):
    # Not tmp_path, which is longer than a run directory may be.
    with tempfile.TemporaryDirectory(prefix="zs-", dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield Path(short)


def leave_behind(parent):
    """Let another process make a run directory and be killed."""
    script = """
import os, signal
from zerostate.cli.run_dir import run_directory
with run_directory() as run_dir:
    (run_dir / "peer").mkdir(mode=0o700)
    (run_dir / "peer" / "identity.key").write_text("secret")
    print(run_dir, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(parent)},
    )
    return Path(done.stdout.strip())


def test_it_is_private_and_goes_with_the_block(parent):
    with run_directory() as run_dir:
        assert run_dir.stat().st_mode & 0o777 == 0o700
        assert run_dir.parent == parent
        (run_dir / "key").write_text("secret")

    assert list(parent.iterdir()) == []


def test_it_is_short_also_where_tmpdir_is_long(parent, monkeypatch):
    deep = parent / ("d" * 80)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    with run_directory() as run_dir:
        assert len(os.fsencode(run_dir)) <= MAX_RUN_DIR_BYTES
        assert list(deep.iterdir()) == []


def test_nowhere_to_make_it_is_a_clear_error(parent, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(parent / "missing"))

    with pytest.raises(ConfigError, match="TMPDIR"), run_directory():
        raise AssertionError


def test_what_a_killed_demo_left_is_removed_at_the_next_start(parent):
    left = leave_behind(parent)
    assert (left / "peer" / "identity.key").exists()

    with run_directory():
        assert not left.exists()


def test_the_directory_of_a_living_demo_stays(parent):
    with run_directory() as first, run_directory() as second:
        assert first.exists()
        assert second.exists()


def test_directories_of_others_stay(parent):
    worker = parent / "zerostate-worker-1"
    (worker / "x").mkdir(parents=True)
    mine = parent / "other"
    mine.mkdir()
    (mine / LOCK_NAME).touch()

    with run_directory():
        pass

    assert sorted(parent.iterdir()) == [mine, worker]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_directory_is_not_touched(parent):
    theirs = parent / "zerostate-x"
    theirs.mkdir()
    (theirs / LOCK_NAME).touch()
    os.chown(theirs, 65534, 65534)

    with run_directory():
        pass

    assert theirs.exists()
