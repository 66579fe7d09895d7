"""What is done with a stored key while its node stands still: encrypt, keep, put back."""

from pathlib import Path

from zerostate.errors import ConfigError
from zerostate.payment.config import KEY_FILE, KEYSTORE_FILE
from zerostate.payment.keys import (
    KeyFacts,
    load_plain,
    load_sealed,
    look_at_key,
)
from zerostate.payment.keystore import MAX_KEYSTORE_BYTES, open_key, seal_key
from zerostate.payment.passphrase import Passphrase
from zerostate.payment.private_files import create_private, read_any, remove_durably


def encrypt_key(data_dir: Path, passphrase: Passphrase) -> KeyFacts:
    """Put an encrypted key in the place of a peer's plain one.

    The plain file goes when the encrypted one is durable and was seen to open. Called
    again after a crash, it ends what was begun. To be called while no node runs there.

    Raises:
        ConfigError: There is no plain key, there is another one that is encrypted, the
            passphrase is too short or another than the encrypted file's, or the disk
            refused. The plain key is still there.
    """
    plain, sealed = data_dir / KEY_FILE, data_dir / KEYSTORE_FILE
    try:
        key = load_plain(plain)
    except FileNotFoundError as exc:
        facts = look_at_key(data_dir)
        raise ConfigError(f"{facts.path}: is encrypted already") from exc
    try:
        if not (sealed.is_symlink() or sealed.exists()):
            create_private(sealed, seal_key(key, passphrase))
        opened = load_sealed(sealed, passphrase)
        if opened.address != key.address:
            raise ConfigError(
                f"{data_dir}: {KEYSTORE_FILE} holds the key of {opened.address}, and "
                f"{KEY_FILE} that of {key.address}; move the one away that you do not "
                "want, and keep it"
            )
        remove_durably(plain)
    except OSError as exc:
        raise ConfigError(f"{data_dir}: cannot be written: {exc.strerror}") from exc
    return KeyFacts(key.address, sealed, is_encrypted=True)


def back_up_key(data_dir: Path, target: Path, passphrase: Passphrase) -> KeyFacts:
    """Write a peer's key to `target`, encrypted whatever it is in the peer's directory.

    Returns:
        What can be told of the backup.

    Raises:
        ConfigError: There is no key, the passphrase does not open it (or is too short
            to encrypt it), or `target` exists or cannot be written.
    """
    facts = look_at_key(data_dir)
    if facts.is_encrypted:
        key = load_sealed(facts.path, passphrase)
        # As it is: what opened now will open then.
        content = read_any(facts.path, max_bytes=MAX_KEYSTORE_BYTES)
    else:
        key = load_plain(facts.path)
        content = seal_key(key, passphrase)
    _create(target, content)
    return KeyFacts(key.address, target, is_encrypted=True)


def restore_key(source: Path, data_dir: Path, passphrase: Passphrase) -> KeyFacts:
    """Put a keystore back into a peer's directory, if `passphrase` opens it.

    It stays encrypted with that passphrase. The same key that is there already is left
    as it is, so a restore that was interrupted can be made again. To be called while no
    node runs there.

    Raises:
        ConfigError: `source` is missing or not a keystore that `passphrase` opens, the
            peer has another key, or the disk refused. Nothing was changed.
    """
    try:
        content = read_any(source, max_bytes=MAX_KEYSTORE_BYTES)
    except FileNotFoundError as exc:
        raise ConfigError(f"{source}: there is no such file") from exc
    key = open_key(content, passphrase, name=str(source))
    target = data_dir / KEYSTORE_FILE
    for name in (KEYSTORE_FILE, KEY_FILE):
        path = data_dir / name
        if not (path.is_symlink() or path.exists()):
            continue
        facts = look_at_key(data_dir)
        if facts.address == key.address:
            return facts
        raise ConfigError(
            f"{path}: this peer has a key already, that of {facts.address}; its money "
            "is lost without it: move it away and keep it, or use another directory"
        )
    _create(target, content)
    return KeyFacts(key.address, target, is_encrypted=True)


def _create(path: Path, content: bytes) -> None:
    try:
        create_private(path, content)
    except FileExistsError as exc:
        raise ConfigError(f"{path}: is there already, and is not overwritten") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}") from exc
