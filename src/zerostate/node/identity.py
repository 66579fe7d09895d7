"""A peer's identity in a file."""

import os
import stat
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError
from zerostate.evidence.identity import SEED_BYTES, Identity

_PRIVATE_MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def load_or_create(path: Path) -> Identity:
    """Return the identity kept in `path`; make a random one if there is no file.

    The file holds the secret seed, 64 hex digits, with mode 0600. Its directory must
    exist.

    Raises:
        ConfigError: The file cannot be read or made, others may read it, or it does
            not hold a seed. An existing file is never changed.
    """
    try:
        return _load(path)
    except FileNotFoundError:
        return _create(path)


def _load(path: Path) -> Identity:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
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
    if len(seed) != SEED_BYTES:
        raise ConfigError(f"{path}: expected {SEED_BYTES * 2} hex digits")
    return Identity(seed)


def _create(path: Path) -> Identity:
    identity = Identity.generate()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(path, flags, _PRIVATE_MODE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(identity.seed.hex() + "\n")
    except OSError as exc:
        raise ConfigError(f"{path}: an identity cannot be kept here ({exc})") from exc
    return identity
