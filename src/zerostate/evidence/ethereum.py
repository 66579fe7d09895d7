"""Ethereum's keys, addresses and recoverable signatures, on libsecp256k1 alone.

``eth_account`` would do the same after importing for more than a second of processor
time, and falls back to pure Python (28 times slower to sign) without a word when
coincurve is missing. Here coincurve is the only way; ``eth_account`` is the tests'
oracle.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NewType, Self, final

from coincurve import PrivateKey, PublicKey
from sha3 import keccak_256  # type: ignore[import-untyped]  # it has no stubs
from typing_extensions import override

from zerostate.errors import InternalError, SignatureError

EthAddress = NewType("EthAddress", str)
"""``0x`` and 40 lower-case hex digits: the account of a secp256k1 key."""

ADDRESS_BYTES: Final = 20
"""Length of an address."""

SECRET_BYTES: Final = 32
"""Length of a secret key."""

DIGEST_BYTES: Final = 32
"""Length of what is signed."""

SIGNATURE_BYTES: Final = 65
"""Length of a signature: r (32), s (32), v (1)."""

ZERO_ADDRESS: Final = EthAddress("0x" + "00" * ADDRESS_BYTES)
"""Stands for the contract while there is none."""

_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_V_OFFSET: Final = 27
_V_VALUES: Final = (27, 28)
_ADDRESS_OF_KEY_ONE: Final = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"


@dataclass(frozen=True, slots=True)
class RecoveredSignature:
    """A signature together with what `recover` found out about it.

    Holding one means that `signer` signed `digest`; make it with `recover` only.
    """

    signature: bytes
    digest: bytes
    signer: EthAddress


@final
class EthKey:
    """A secp256k1 secret key. Its ``repr`` shows the address only."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"secret of {len(secret)} bytes; secp256k1 has 32")
        self._key = PrivateKey(secret)
        self._secret = secret
        self.address: Final = _address_of(self._key.public_key)

    @classmethod
    def generate(cls) -> Self:
        """Return a fresh random key."""
        return cls(PrivateKey().secret)

    @property
    def secret(self) -> bytes:
        """The secret, 32 bytes; for the key file only."""
        return self._secret

    def sign(self, digest: bytes) -> RecoveredSignature:
        """Sign a 32-byte digest (RFC 6979: the same digest gives the same bytes).

        The s is always in the lower half of the order, as the contract demands.

        Raises:
            ValueError: `digest` is not 32 bytes.
        """
        compact = self._key.sign_recoverable(digest, hasher=None)
        signature = compact[:64] + bytes((compact[64] + _V_OFFSET,))
        return RecoveredSignature(signature, digest, self.address)

    @override
    def __repr__(self) -> str:
        return f"EthKey({self.address})"


def keccak256(data: bytes) -> bytes:
    """Return Ethereum's Keccak-256 of `data` (which is not NIST's SHA3-256)."""
    digest: bytes = keccak_256(data).digest()
    return digest


def recover(digest: bytes, signature: bytes) -> RecoveredSignature:
    """Return who signed `digest`.

    Any well-formed signature recovers to *some* address: the caller must compare it.

    Raises:
        SignatureError: Not 65 bytes, v neither 27 nor 28, s in the upper half of the
            order (a second, malleable form of a valid signature), or no key fits.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(f"signature of {len(signature)} bytes; r, s, v are 65")
    if signature[64] not in _V_VALUES:
        raise SignatureError(f"v is {signature[64]}; only 27 and 28 are valid")
    if int.from_bytes(signature[32:64]) > _HALF_ORDER:
        raise SignatureError("s is in the upper half of the order (malleable)")
    compact = signature[:64] + bytes((signature[64] - _V_OFFSET,))
    try:
        key = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except ValueError as exc:
        raise SignatureError("no key can have made this signature") from exc
    return RecoveredSignature(signature, digest, _address_of(key))


def address_bytes(address: EthAddress) -> bytes:
    """Return the 20 bytes of `address`."""
    return bytes.fromhex(address[2:])


def address_from_bytes(raw: bytes) -> EthAddress:
    """Return 20 bytes as an address.

    Raises:
        ValueError: `raw` is not 20 bytes.
    """
    if len(raw) != ADDRESS_BYTES:
        raise ValueError(f"address of {len(raw)} bytes; Ethereum's have 20")
    return EthAddress("0x" + raw.hex())


def check_backend() -> None:
    """Prove, in well under a millisecond, that keys and hashes are what we think.

    Raises:
        InternalError: The address of a known key, or the round trip of a signature,
            came out wrong; nothing may be signed in this process.
    """
    key = EthKey((1).to_bytes(SECRET_BYTES))
    digest = keccak256(b"zerostate")
    if key.address != _ADDRESS_OF_KEY_ONE:
        raise InternalError(f"key 1 has the address {key.address}: broken Keccak-256")
    if recover(digest, key.sign(digest).signature).signer != key.address:
        raise InternalError("libsecp256k1 does not recover what it signed")


def _address_of(key: PublicKey) -> EthAddress:
    return _address_of_point(key.format(compressed=False))


# The same few parties sign again and again.
@lru_cache(maxsize=1024)
def _address_of_point(uncompressed: bytes) -> EthAddress:
    return address_from_bytes(keccak256(uncompressed[1:])[-ADDRESS_BYTES:])
