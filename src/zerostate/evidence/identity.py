"""Ed25519 identities and the libp2p peer ids that belong to them.

By libsodium, which py-libp2p brings along: it verifies in half of OpenSSL's time, and
every message between peers waits for that twice.
"""

from functools import lru_cache
from typing import Final, Self, final

import base58
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from typing_extensions import override

from zerostate.errors import EnvelopeError
from zerostate.ids import PeerId

SEED_BYTES: Final = 32
"""Length of an identity's secret seed (RFC 8032, section 5.1.5)."""

PUBLIC_KEY_BYTES: Final = 32
"""Length of an Ed25519 public key."""

MAX_KNOWN_KEYS: Final = 1024
"""Public keys whose decoded forms are remembered: base58 alone takes a third of the
time of a verification."""

_ED25519: Final = b"\x08\x01\x12\x20"
_IDENTITY_MULTIHASH: Final = b"\x00\x24"
_MAX_PEER_ID_CHARS: Final = 64


def peer_id_of(public_key: bytes) -> PeerId:
    """Return the peer id of an Ed25519 public key.

    The identity multihash of the key's protobuf (libp2p specs, peer-ids).

    Raises:
        EnvelopeError: `public_key` is not 32 bytes.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise EnvelopeError(f"public key of {len(public_key)} bytes; Ed25519 has 32")
    return _peer_id_of(public_key)


@lru_cache(MAX_KNOWN_KEYS)
def _peer_id_of(public_key: bytes) -> PeerId:
    encoded = base58.b58encode(_IDENTITY_MULTIHASH + _ED25519 + public_key)
    return PeerId(encoded.decode("ascii"))


def parse_peer_id(text: str) -> PeerId:
    """Return `text` as the peer id of an Ed25519 key.

    Raises:
        ValueError: `text` is not base58, or not such a peer id.
    """
    if len(text) > _MAX_PEER_ID_CHARS:
        raise ValueError(f"not a peer id: {text[:80]!r}")
    raw = base58.b58decode(text)
    prefix = _IDENTITY_MULTIHASH + _ED25519
    if not raw.startswith(prefix) or len(raw) != len(prefix) + PUBLIC_KEY_BYTES:
        raise ValueError(f"not the peer id of an Ed25519 key: {text!r}")
    return PeerId(text)


def verify_signature(public_key: bytes, signature: bytes, data: bytes) -> None:
    """Check an Ed25519 signature.

    Raises:
        EnvelopeError: The key or the signature is wrong.
    """
    try:
        _key_of(public_key).verify(data, signature)
    except (BadSignatureError, ValueError) as exc:
        raise EnvelopeError("the signature does not match") from exc


@lru_cache(MAX_KNOWN_KEYS)
def _key_of(public_key: bytes) -> VerifyKey:
    return VerifyKey(public_key)


@final
class Identity:
    """A peer's secret key. Its ``repr`` shows the peer id only."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self._seed = seed
        self.public_key: Final = bytes(self._key.verify_key)
        self.peer_id: Final = peer_id_of(self.public_key)

    @classmethod
    def generate(cls) -> Self:
        """Return a fresh random identity."""
        return cls(bytes(SigningKey.generate()))

    @property
    def seed(self) -> bytes:
        """The secret, 32 bytes; for the key file and the transport only."""
        return self._seed

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature of `data`."""
        return self._key.sign(data).signature

    @override
    def __repr__(self) -> str:
        return f"Identity({self.peer_id})"
