"""The peer's Ethereum key: a file that only its owner can read, encrypted or not."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import SECRET_BYTES, EthAddress, EthKey
from zerostate.payment.config import KEY_FILE, KEYSTORE_FILE
from zerostate.payment.keystore import (
    MAX_KEYSTORE_BYTES,
    claimed_address,
    open_key,
    seal_key,
)
from zerostate.payment.passphrase import PASSPHRASE_VARIABLE, Passphrase
from zerostate.payment.private_files import create_private, read_own

_SECRET_HEX: Final = re.compile(rb"[0-9a-f]{%d}\n?" % (2 * SECRET_BYTES))
_MAX_FILE_BYTES: Final = 2 * SECRET_BYTES + 1
_HOLDS: Final = "the key that spends your money"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What can be told of a stored key without the passphrase."""

    address: EthAddress
    path: Path
    is_encrypted: bool
    """If so, the address is what the keystore names: nobody has checked it."""


def key_of(data_dir: Path, passphrase: Passphrase | None) -> EthKey:
    """Return the key of a peer; make a random one, durably, when there is none.

    It is encrypted exactly if there is a passphrase. A key that is not, though there is
    one, is refused: whoever gave it believes the key safe. Takes some tenths of a
    second when encrypted.

    Args:
        data_dir: The peer's directory.
        passphrase: What opens the keystore.

    Raises:
        ConfigError: The file is open to others than its owner, is a link, does not hold
            a key, needs another passphrase, or cannot be read or written; or there are
            both an encrypted and a plain one. Everything is left as it is.
    """
    plain, sealed = data_dir / KEY_FILE, data_dir / KEYSTORE_FILE
    if not _exists(sealed):
        if passphrase is None:
            return load_or_create_key(plain)
        if _exists(plain):
            raise ConfigError(
                f"{plain}: there is a passphrase ({passphrase.source}), but this key is "
                "not encrypted; run: zerostate key encrypt"
            )
        with suppress(FileExistsError):
            _create(sealed, seal_key(EthKey.generate(), passphrase))
    elif _exists(plain):
        raise ConfigError(
            f"{data_dir}: has both {KEY_FILE} and {KEYSTORE_FILE}; if both hold the "
            "same key, this ends it: zerostate key encrypt"
        )
    return load_sealed(sealed, passphrase)


def load_or_create_key(path: Path) -> EthKey:
    """Return the plain key in `path`; make a random one, durably, when there is no file.

    A key of its own, not derived from the peer's: what spends money can then be kept,
    backed up and replaced apart from what names the peer. The file holds 64 hex digits.

    Raises:
        ConfigError: The file is open to others than its owner, is a link, does not hold
            a key, or cannot be read or written. It is left as it is.
    """
    with suppress(FileNotFoundError):
        return load_plain(path)
    with suppress(FileExistsError):
        _create(path, plain_file(EthKey.generate()))
    return load_plain(path)


def load_plain(path: Path) -> EthKey:
    """Return the key in a plain key file.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: As `load_or_create_key`.
    """
    content = read_own(path, max_bytes=_MAX_FILE_BYTES, holds=_HOLDS)
    if _SECRET_HEX.fullmatch(content) is None:
        raise ConfigError(f"{path}: does not hold a key (64 lower-case hex digits)")
    try:
        return EthKey(bytes.fromhex(content.decode("ascii").strip()))
    except ValueError as exc:
        raise ConfigError(f"{path}: not a secp256k1 key: {exc}") from exc


def load_sealed(path: Path, passphrase: Passphrase | None) -> EthKey:
    """Return the key in an encrypted key file.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: As `key_of`.
    """
    content = read_own(path, max_bytes=MAX_KEYSTORE_BYTES, holds=_HOLDS)
    if passphrase is None:
        raise ConfigError(
            f"{path}: is encrypted; name a file with its passphrase as "
            f"payment_passphrase_file, or set {PASSPHRASE_VARIABLE}"
        )
    return open_key(content, passphrase, name=str(path))


def plain_file(key: EthKey) -> bytes:
    """Return what a plain key file holds."""
    return key.secret.hex().encode() + b"\n"


def look_at_key(data_dir: Path) -> KeyFacts:
    """Return what can be told of a peer's key; takes no passphrase.

    Raises:
        ConfigError: There is none, or it is as `key_of` refuses it.
    """
    sealed, plain = data_dir / KEYSTORE_FILE, data_dir / KEY_FILE
    with suppress(FileNotFoundError):
        content = read_own(sealed, max_bytes=MAX_KEYSTORE_BYTES, holds=_HOLDS)
        address = claimed_address(content, name=str(sealed))
        return KeyFacts(address, sealed, is_encrypted=True)
    with suppress(FileNotFoundError):
        return KeyFacts(load_plain(plain).address, plain, is_encrypted=False)
    raise ConfigError(
        f"{data_dir}: has neither {KEY_FILE} nor {KEYSTORE_FILE}; a node makes its key "
        "when it first starts"
    )


def _exists(path: Path) -> bool:
    # A link to nothing is something, too.
    return path.is_symlink() or path.exists()


def _create(path: Path, content: bytes) -> None:
    try:
        create_private(path, content)
    except FileExistsError:
        raise
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}") from exc
