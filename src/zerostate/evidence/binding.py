"""Address bindings: records signed with both keys, a payment address's and a peer's.

The envelope is signed by the peer's Ed25519 key over the address; inside it is the
address's own signature over the peer id. So neither key's holder can claim the other.
"""

from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import EvidenceError, SignatureError
from zerostate.evidence import channel_pb2 as pb
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.ethereum import (
    EthAddress,
    EthKey,
    address_bytes,
    address_from_bytes,
    keccak256,
    recover,
)
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId

BINDING_DOMAIN: Final = "zerostate-address-binding"
"""Domain of the envelope's signature."""

BINDING_TYPE: Final = b"/zerostate/address-binding/1"
"""Payload type of the envelope."""

MAX_BINDING_BYTES: Final = 512
"""Largest binding looked at; they have about 290 bytes."""


def make_binding(identity: Identity, key: EthKey) -> bytes:
    """Return the binding of `key`'s address to `identity`.

    Deterministic: the same keys give the same bytes.
    """
    payload = pb.AddressBinding(
        address=address_bytes(key.address),
        signature=key.sign(_claim_digest(identity.peer_id)).signature,
    ).SerializeToString(deterministic=True)
    return seal(
        identity, domain=BINDING_DOMAIN, payload_type=BINDING_TYPE, payload=payload
    )


def verify_binding(data: bytes) -> tuple[PeerId, EthAddress]:
    """Return the peer id and the address that `data` ties together.

    Raises:
        EnvelopeError: Not an envelope of this type, or not signed by its peer's key.
        EvidenceError: Too large, malformed, or the address's key did not sign the
            peer id.
    """
    if len(data) > MAX_BINDING_BYTES:
        raise EvidenceError(
            f"address binding of {len(data)} bytes; the limit is {MAX_BINDING_BYTES}"
        )
    envelope = unseal(data, domain=BINDING_DOMAIN, payload_type=BINDING_TYPE)
    try:
        message = pb.AddressBinding.FromString(envelope.payload)
        address = address_from_bytes(message.address)
        recovered = recover(_claim_digest(envelope.author), message.signature)
    except (DecodeError, ValueError, SignatureError) as exc:
        raise EvidenceError(f"not an address binding: {exc}") from exc
    if recovered.signer != address:
        raise EvidenceError(f"{address} did not sign for the peer {envelope.author}")
    return envelope.author, address


def _claim_digest(peer_id: PeerId) -> bytes:
    # EIP-191, version 0x45: can be neither a transaction nor typed data.
    text = f"ZeroState: this address belongs to the peer {peer_id}".encode()
    prefix = b"\x19Ethereum Signed Message:\n" + str(len(text)).encode()
    return keccak256(prefix + text)
