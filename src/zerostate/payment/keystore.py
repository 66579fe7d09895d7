"""An encrypted key in a file's bytes: Web3 Secret Storage, version 3.

What geth, MetaMask and eth-account write and read, so that the key can be used without
us. Our own few lines and not ``eth_keyfile``: that takes a second of processor time to
import (pairings on two other curves), and lets a file ask for any amount of memory.
It is the tests' oracle.
"""

import hashlib
import hmac
import json
import re
import secrets
import uuid
from collections.abc import Mapping
from typing import Final

from Crypto.Protocol.KDF import scrypt
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import (
    SECRET_BYTES,
    EthAddress,
    EthKey,
    keccak256,
)
from zerostate.payment.passphrase import Passphrase

MAX_KEYSTORE_BYTES: Final = 16 << 10
"""Longest keystore that is looked at; they have about 500 bytes."""

SCRYPT_N: Final = 1 << 17
"""Cost of guessing: 128 MiB and some tenths of a second for each passphrase (OWASP's
advice of 2023 for scrypt)."""

MAX_SCRYPT_BYTES: Final = 1 << 29
"""Most memory that a keystore may make us use; geth's standard takes 256 MiB."""

MAX_SCRYPT_WORK_BYTES: Final = 1 << 30
"""Most memory, times scrypt's p, that a keystore may make us go through: some seconds."""

MAX_PBKDF2_ROUNDS: Final = 10_000_000
"""Most rounds that a keystore may make us do: some seconds. Others write 1,000,000."""

_SCRYPT_R: Final = 8
_DERIVED_BYTES: Final = 32
_SALT_BYTES: Final = 32
_IV_BYTES: Final = 16
_MAC_BYTES: Final = 32
_MAX_SALT_BYTES: Final = 256
_ADDRESS: Final = re.compile("(?:0x)?([0-9a-f]{40})")


def seal_key(key: EthKey, passphrase: Passphrase, *, scrypt_n: int = SCRYPT_N) -> bytes:
    """Return `key` as a keystore that `passphrase` opens.

    Takes some tenths of a second, for which other threads go on.

    Args:
        key: The key.
        passphrase: See there.
        scrypt_n: Scrypt's cost, a power of two; less than the default is for tests.

    Raises:
        ConfigError: The passphrase is too short.
    """
    passphrase.check_strength()
    salt, iv = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_IV_BYTES)
    derived = _scrypt(passphrase, salt=salt, n=scrypt_n, r=_SCRYPT_R, p=1)
    sealed = _aes_ctr(derived, iv, key.secret)
    document = {
        "version": 3,
        "id": str(uuid.uuid4()),
        "address": key.address.removeprefix("0x"),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": sealed.hex(),
            "kdf": "scrypt",
            "kdfparams": {
                "n": scrypt_n,
                "r": _SCRYPT_R,
                "p": 1,
                "dklen": _DERIVED_BYTES,
                "salt": salt.hex(),
            },
            "mac": _mac(derived, sealed).hex(),
        },
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def open_key(content: bytes, passphrase: Passphrase, *, name: str) -> EthKey:
    """Return the key in a keystore.

    Takes some tenths of a second; bounded however the keystore is made.

    Args:
        content: The keystore's bytes.
        passphrase: What it was sealed with.
        name: What messages call the keystore.

    Raises:
        ConfigError: Another passphrase, or not a keystore that can be used.
    """
    document = _parsed(content, name)
    crypto = _part(document, "crypto", name)
    sealed = _bytes(crypto, "ciphertext", name, SECRET_BYTES)
    derived = _derived(crypto, passphrase, name)
    if not hmac.compare_digest(
        _mac(derived, sealed), _bytes(crypto, "mac", name, _MAC_BYTES)
    ):
        raise ConfigError(f"{name}: the passphrase of {passphrase.source} is another")
    if crypto.get("cipher") != "aes-128-ctr":
        raise ConfigError(f"{name}: its cipher is not aes-128-ctr")
    iv = _bytes(_part(crypto, "cipherparams", name), "iv", name, _IV_BYTES)
    try:
        key = EthKey(_aes_ctr(derived, iv, sealed))
    except ValueError as exc:
        raise ConfigError(f"{name}: what it holds is not a secp256k1 key") from exc
    if "address" in document and claimed_address(content, name=name) != key.address:
        raise ConfigError(f"{name}: holds the key of {key.address}, but names another")
    return key


def claimed_address(content: bytes, *, name: str) -> EthAddress:
    """Return the address that a keystore names: anybody can have written it there.

    Raises:
        ConfigError: Not a keystore, or one that names none.
    """
    address = _parsed(content, name).get("address")
    match = _ADDRESS.fullmatch(address.lower()) if isinstance(address, str) else None
    if match is None:
        raise ConfigError(f"{name}: does not name its address")
    return EthAddress(f"0x{match[1]}")


def _parsed(content: bytes, name: str) -> Mapping[str, object]:
    if len(content) > MAX_KEYSTORE_BYTES:
        raise ConfigError(f"{name}: longer than {MAX_KEYSTORE_BYTES} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{name}: not a keystore (not JSON)") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"{name}: not a keystore (not a JSON object)")
    # Some programs capitalise the names.
    document = {str(key).lower(): value for key, value in document.items()}
    if document.get("version") != 3:  # noqa: PLR2004  # the format's own number
        raise ConfigError(f"{name}: not a keystore of version 3")
    return document


def _derived(crypto: Mapping[str, object], passphrase: Passphrase, name: str) -> bytes:
    params = _part(crypto, "kdfparams", name)
    salt = _bytes(params, "salt", name)
    if not 0 < len(salt) <= _MAX_SALT_BYTES:
        raise ConfigError(f"{name}: salt: not 1 to {_MAX_SALT_BYTES} bytes")
    if params.get("dklen") != _DERIVED_BYTES:
        raise ConfigError(f"{name}: dklen: not {_DERIVED_BYTES}")
    match crypto.get("kdf"):
        case "scrypt":
            n, r, p = (
                _count(params, field, name, MAX_SCRYPT_BYTES)
                for field in ("n", "r", "p")
            )
            used_bytes = 128 * n * r
            if used_bytes > MAX_SCRYPT_BYTES or used_bytes * p > MAX_SCRYPT_WORK_BYTES:
                raise ConfigError(
                    f"{name}: n, r, p: take more than {MAX_SCRYPT_BYTES} bytes of "
                    f"memory, or {MAX_SCRYPT_WORK_BYTES} in p passes"
                )
            try:
                return _scrypt(passphrase, salt=salt, n=n, r=r, p=p)
            except ValueError as exc:
                raise ConfigError(f"{name}: n, r, p: not scrypt's ({exc})") from exc
        case "pbkdf2" if params.get("prf") == "hmac-sha256":
            rounds = _count(params, "c", name, MAX_PBKDF2_ROUNDS)
            return hashlib.pbkdf2_hmac(
                "sha256", passphrase.secret, salt, rounds, _DERIVED_BYTES
            )
    raise ConfigError(f"{name}: kdf: neither scrypt nor pbkdf2 with hmac-sha256")


def _scrypt(passphrase: Passphrase, *, salt: bytes, n: int, r: int, p: int) -> bytes:
    # Not OpenSSL's, which refuses r = 1 with n = 2**18, as web3.py has long written it.
    derived = scrypt(
        passphrase.secret,  # type: ignore[arg-type]  # bytes are taken as they are
        salt,  # type: ignore[arg-type]  # see above
        key_len=_DERIVED_BYTES,
        N=n,
        r=r,
        p=p,
    )
    if not isinstance(derived, bytes):
        raise TypeError("several keys; one was asked for")
    return derived


def _aes_ctr(derived: bytes, iv: bytes, content: bytes) -> bytes:
    """Encrypt or decrypt, which are the same here."""
    worker = Cipher(AES(derived[:16]), CTR(iv)).encryptor()
    return worker.update(content) + worker.finalize()


def _mac(derived: bytes, sealed: bytes) -> bytes:
    return keccak256(derived[16:32] + sealed)


def _part(holder: Mapping[str, object], field: str, name: str) -> dict[str, object]:
    value = holder.get(field)
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: not a keystore (no {field})")
    return {str(key).lower(): part for key, part in value.items()}


def _bytes(
    holder: Mapping[str, object], field: str, name: str, length: int | None = None
) -> bytes:
    value = holder.get(field)
    try:
        content = (
            bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else b""
        )
    except ValueError:
        content = b""
    if not content or length not in {None, len(content)}:
        raise ConfigError(f"{name}: {field}: not {length or 'some'} bytes in hex")
    return content


def _count(holder: Mapping[str, object], field: str, name: str, maximum: int) -> int:
    value = holder.get(field)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name}: {field}: not a number")
    if not 1 <= value <= maximum:
        raise ConfigError(f"{name}: {field}: {value} is not within 1 to {maximum}")
    return value
