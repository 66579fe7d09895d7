"""A private directory for as long as one demo runs: keys, sockets, logs."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError

MAX_RUN_DIR_BYTES: Final = 80
"""Longest path of a run directory, in bytes: the path of a Unix socket beneath it must
fit into 107 (unix(7), ``sun_path``)."""

MAX_SWEPT: Final = 32
"""Most directories that one start looks at for removal: a start is no time to clean up
after months. The next ones take the rest."""

LOCK_NAME: Final = "demo.lock"
"""File in each run directory that is made once the directory is locked. A directory
with it that nobody has locked was left by a demo that was killed."""

_PREFIX: Final = "zerostate-"
_SHORT_PARENT: Final = Path("/tmp")  # noqa: S108  # mkdtemp makes the name


@contextmanager
def run_directory() -> Iterator[Path]:
    """Give a fresh private directory; it is removed after the block.

    Those that killed demos of this user's have left behind are removed first: they
    hold the keys of peers that are no more.

    Raises:
        ConfigError: There is nowhere to make it.
    """
    try:
        run_dir, lock = _make()
    except OSError as exc:
        raise ConfigError(f"TMPDIR: no temporary directory ({exc})") from exc
    try:
        _sweep(run_dir.parent)
        yield run_dir
    finally:
        shutil.rmtree(run_dir, ignore_errors=True)
        os.close(lock)


def _make() -> tuple[Path, int]:
    run_dir = Path(tempfile.mkdtemp(prefix=_PREFIX))
    if len(os.fsencode(run_dir)) > MAX_RUN_DIR_BYTES:
        run_dir.rmdir()
        run_dir = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_SHORT_PARENT))
    lock = _open_directory(run_dir)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Only now may another demo ask whether we live.
    (run_dir / LOCK_NAME).touch(mode=0o600)
    return run_dir, lock


def _sweep(parent: Path) -> None:
    with suppress(OSError):
        marks = parent.glob(f"{_PREFIX}*/{LOCK_NAME}")
        for mark in islice(marks, MAX_SWEPT):
            with suppress(OSError):
                _remove_if_stale(mark.parent)


def _remove_if_stale(run_dir: Path) -> None:
    directory = _open_directory(run_dir)
    try:
        # What is another user's (the parent is everybody's) is none of our business.
        if os.fstat(directory).st_uid == os.geteuid():
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(run_dir, ignore_errors=True)
    finally:
        os.close(directory)


def _open_directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
