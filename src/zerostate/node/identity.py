"""A peer's identity in a file."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError
from zerostate.evidence.identity import SEED_BYTES, Identity

_PRIVATE_MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAX_FILE_BYTES: Final = 2 * SEED_BYTES + 64
"""Longest file that is looked at, in bytes: the seed, and what an editor may add."""


def load_or_create(path: Path) -> Identity:
    """Return the identity kept in `path`; make a random one if there is no file.

    The file holds the secret seed, 64 hex digits, with mode 0600. Its directory must
    exist. A new file is complete and on the disk before it has its name; of two
    processes that start at once both get the same identity.

    Raises:
        ConfigError: The file cannot be read or made, others may read it, or it does
            not hold a seed. An existing file is never changed.
    """
    try:
        return _load(path)
    except FileNotFoundError:
        pass
    try:
        _create(path)
    except OSError as exc:
        raise ConfigError(f"{path}: an identity cannot be kept here ({exc})") from exc
    return _load(path)


def _load(path: Path) -> Identity:
    try:
        # Without waiting, should it be a pipe that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path}: cannot be read as an identity (no file)")
            content = file.read(_MAX_FILE_BYTES + 1)
        text = content.decode("ascii").strip()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read as an identity ({exc})") from exc
    if mode & _OTHERS:
        raise ConfigError(f"{path}: others may read this secret; run: chmod 600 {path}")
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != SEED_BYTES or len(content) > _MAX_FILE_BYTES:
        raise ConfigError(f"{path}: expected {SEED_BYTES * 2} hex digits")
    return Identity(seed)


def _create(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(draft, flags, _PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(Identity.generate().seed.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link replaces nothing: who was first stays.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Have the names in it on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
