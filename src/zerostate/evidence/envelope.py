"""Signed envelopes: libp2p's RFC 0002, byte for byte.

``signature = sign(len(domain) domain len(type) type len(payload) payload)``, each
length an unsigned varint. The domain keeps a signature made for one purpose from being
valid for another.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import EnvelopeError
from zerostate.evidence import envelope_pb2 as pb
from zerostate.evidence.identity import Identity, peer_id_of, verify_signature
from zerostate.ids import PeerId

MAX_ENVELOPE_BYTES: Final = 17 << 20
"""Largest envelope that is looked at: the largest direct message plus its frame."""

_KEY_TYPE_ED25519: Final = 1
_VARINT_MORE: Final = 0x80


@dataclass(frozen=True, slots=True)
class SignedEnvelope:
    """A verified envelope."""

    author: PeerId
    """Whose key signed it."""

    public_key: bytes
    """That key, 32 bytes of Ed25519."""

    payload: bytes
    """What was signed."""


def seal(
    identity: Identity, *, domain: str, payload_type: bytes, payload: bytes
) -> bytes:
    """Return `payload` in an envelope signed by `identity`.

    Deterministic: the same arguments give the same bytes.
    """
    to_sign = _to_sign(domain, payload_type, payload)
    return pb.Envelope(
        public_key=pb.PublicKey(type=_KEY_TYPE_ED25519, data=identity.public_key),
        payload_type=payload_type,
        payload=payload,
        signature=identity.sign(to_sign),
    ).SerializeToString(deterministic=True)


def unseal(data: bytes, *, domain: str, payload_type: bytes) -> SignedEnvelope:
    """Verify the envelope `data`, on the bytes as received.

    Raises:
        EnvelopeError: Not an envelope, of another type, too large, not of an Ed25519
            key, or its signature does not match.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise EnvelopeError(f"{len(data)} bytes; the limit is {MAX_ENVELOPE_BYTES}")
    try:
        envelope = pb.Envelope.FromString(data)
    except DecodeError as exc:
        raise EnvelopeError("not a signed envelope") from exc
    if envelope.public_key.type != _KEY_TYPE_ED25519:
        raise EnvelopeError(f"key type {envelope.public_key.type}; only Ed25519 (1)")
    if envelope.payload_type != payload_type:
        raise EnvelopeError(
            f"payload type {envelope.payload_type[:40]!r}; expected {payload_type!r}"
        )
    public_key = envelope.public_key.data
    author = peer_id_of(public_key)
    to_verify = _to_sign(domain, payload_type, envelope.payload)
    verify_signature(public_key, envelope.signature, to_verify)
    return SignedEnvelope(author, public_key, envelope.payload)


def _to_sign(domain: str, payload_type: bytes, payload: bytes) -> bytes:
    purpose = _purpose(domain, payload_type)
    return b"".join((purpose, _varint(len(payload)), payload))


# There are a handful of purposes, and every message has one of them.
@lru_cache(maxsize=64)
def _purpose(domain: str, payload_type: bytes) -> bytes:
    parts = (domain.encode(), payload_type)
    return b"".join(_varint(len(part)) + part for part in parts)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= _VARINT_MORE:
        encoded.append(number & 0x7F | _VARINT_MORE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
