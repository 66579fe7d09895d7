"""Manifests as they travel: in an envelope that the requester signed.

As everywhere in evidence, the signature is checked and the hash is taken on the bytes
as received.
"""

import hashlib
from typing import Final

from zerostate.errors import EnvelopeError, ManifestError
from zerostate.evidence.envelope import SignedEnvelope, seal, unseal
from zerostate.evidence.identity import Identity
from zerostate.execution.manifest import MAX_MANIFEST_BYTES, Manifest, load_manifest
from zerostate.ids import PeerId

DOMAIN: Final = "zerostate-manifest"
"""Signature domain: a manifest's signature is valid for manifests only."""

PAYLOAD_TYPE: Final = b"/zerostate/manifest/1"
"""Payload type of a manifest's envelope; the digit is the version."""

MAX_SEALED_BYTES: Final = MAX_MANIFEST_BYTES + 256
"""Largest sealed manifest: key, payload type, signature and lengths take 137 bytes."""


def seal_manifest(identity: Identity, manifest: Manifest) -> bytes:
    """Return `manifest` in an envelope signed by `identity`, its requester.

    Deterministic: the same manifest gives the same bytes, and so the same hash in a
    receipt.

    Raises:
        ManifestError: It is larger than any executor would take.
    """
    payload = manifest.canonical_bytes()
    if len(payload) > MAX_MANIFEST_BYTES:
        raise ManifestError(
            f"manifest: {len(payload)} bytes; the limit is {MAX_MANIFEST_BYTES}"
        )
    return seal_document(identity, payload)


def seal_document(identity: Identity, document: bytes) -> bytes:
    """Return a manifest's JSON `document` in an envelope, whatever is in it.

    For those who write manifests by hand; who opens it checks it.
    """
    return seal(identity, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=document)


def open_manifest(data: bytes, *, requester: PeerId) -> Manifest:
    """Return the manifest in the envelope `data`, signed by `requester`.

    Raises:
        ManifestError: Lists every problem: too large, no envelope of a manifest, a
            wrong signature, another signer, and all that is wrong inside.
    """
    if len(data) > MAX_SEALED_BYTES:
        raise ManifestError(
            f"manifest: {len(data)} bytes sealed; the limit is {MAX_SEALED_BYTES}"
        )
    try:
        envelope = unseal(data, domain=DOMAIN, payload_type=PAYLOAD_TYPE)
    except EnvelopeError as exc:
        raise ManifestError(f"signature: {exc}") from exc
    problems = _signer_problems(envelope, requester)
    try:
        manifest = load_manifest(envelope.payload)
    except ManifestError as exc:
        raise ManifestError(*problems, *exc.problems) from exc
    if problems:
        raise ManifestError(*problems)
    return manifest


def is_sealed(data: bytes) -> bool:
    """Whether `data` claims to be an envelope, and not the JSON document itself.

    An envelope's second byte is never JSON: it starts with field 1 and its length, 36.
    """
    return not data.lstrip(b" \t\r\n").startswith((b"{", b"["))


def manifest_sha256(data: bytes) -> str:
    """Return the hash that a receipt names: of the bytes as received, in hex."""
    return hashlib.sha256(data).hexdigest()


def _signer_problems(envelope: SignedEnvelope, requester: PeerId) -> list[str]:
    if envelope.author == requester:
        return []
    return [f"signature: {envelope.author} signed, but {requester} asks for the task"]
