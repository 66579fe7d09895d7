"""The directory that belongs to one running node."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError, StoreLockedError

SOCKET_NAME: Final = "control.sock"
"""File name of the node's control socket."""

IDENTITY_NAME: Final = "identity.key"
"""File with the seed of the peer's own key."""

LOCK_NAME: Final = "node.lock"
"""File whose lock says that a node runs here; holds its process id, for people."""

_MAX_PID_BYTES: Final = 32


@contextmanager
def hold_data_dir(data_dir: Path) -> Iterator[None]:
    """Make `data_dir` if it is missing, and keep other nodes out of it for the block.

    The kernel lets the lock go when the process ends, in whatever way.

    Raises:
        StoreLockedError: Another node runs on it.
        ConfigError: It cannot be made or written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(
            data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as exc:
        raise ConfigError(f"data_dir: {data_dir}: {exc.strerror}") from exc
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.read(lock, _MAX_PID_BYTES).decode("ascii", "replace").strip()
            raise StoreLockedError(
                f"data_dir: another node runs in {data_dir} (process {holder or '?'}); end"
                " it, or give this one a directory of its own"
            ) from exc
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
