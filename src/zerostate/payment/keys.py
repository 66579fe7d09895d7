"""The peer's Ethereum key, in a file that only its owner can read."""

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import SECRET_BYTES, EthKey

_MODE: Final = 0o600
_OTHERS: Final = 0o077
_SECRET_HEX: Final = re.compile(rb"[0-9a-f]{%d}\n?" % (2 * SECRET_BYTES))
_MAX_FILE_BYTES: Final = 2 * SECRET_BYTES + 1


def load_or_create_key(path: Path) -> EthKey:
    """Return the key in `path`; make a random one, durably, when there is no file.

    A key of its own, not derived from the peer's: what spends money can then be kept,
    backed up and replaced apart from what names the peer. The file holds 64 hex digits.

    Raises:
        ConfigError: The file is open to others than its owner, does not hold a key, or
            cannot be read or written. It is left as it is.
    """
    try:
        return _load(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    try:
        _create(path, EthKey.generate())
        return _load(path)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}") from exc


def _load(path: Path) -> EthKey:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & _OTHERS:
            raise ConfigError(
                f"{path}: mode {mode:04o} lets others at the key that spends your "
                f"money; run: chmod 600 {path}"
            )
        content = file.read(_MAX_FILE_BYTES + 1)
    if _SECRET_HEX.fullmatch(content) is None:
        raise ConfigError(f"{path}: does not hold a key (64 lower-case hex digits)")
    try:
        return EthKey(bytes.fromhex(content.decode("ascii").strip()))
    except ValueError as exc:
        raise ConfigError(f"{path}: not a secp256k1 key: {exc}") from exc


def _create(path: Path, key: EthKey) -> None:
    # Written aside and linked: a crash never leaves half a key, and of two processes
    # that start at once both end up with the same one.
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.secret.hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
