"""execution.signed_manifest: what a requester signed, and nobody else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import ManifestError
from zerostate.evidence.envelope import seal
from zerostate.evidence.identity import Identity
from zerostate.execution.manifest import MAX_MANIFEST_BYTES, Manifest, PriceTerms
from zerostate.execution.signed_manifest import (
    DOMAIN,
    MAX_SEALED_BYTES,
    PAYLOAD_TYPE,
    is_sealed,
    manifest_sha256,
    open_manifest,
    seal_document,
    seal_manifest,
)

REQUESTER = Identity(bytes(range(32)))
OTHER = Identity(bytes(reversed(range(32))))
MANIFEST = Manifest(
    name="sha256",
    version="1",
    module_sha256="0" * 64,
    price=PriceTerms(base=1, per_gigafuel=2, max_total=3),
)


def problems_of(data):
    with pytest.raises(ManifestError) as caught:
        open_manifest(data, requester=REQUESTER.peer_id)
    return caught.value.problems


def test_a_sealed_manifest_opens_as_it_was():
    sealed = seal_manifest(REQUESTER, MANIFEST)

    assert open_manifest(sealed, requester=REQUESTER.peer_id) == MANIFEST
    assert seal_manifest(REQUESTER, MANIFEST) == sealed
    assert len(manifest_sha256(sealed)) == 64
    assert manifest_sha256(sealed) != MANIFEST.sha256()


def test_a_manifest_that_another_one_signed_is_refused():
    (problem,) = problems_of(seal_manifest(OTHER, MANIFEST))

    assert problem == (
        f"signature: {OTHER.peer_id} signed, but {REQUESTER.peer_id} asks for the task"
    )


def test_the_wrong_signer_comes_with_all_that_is_wrong_inside():
    document = json.loads(MANIFEST.canonical_bytes()) | {"name": "?", "args": 1}

    problems = problems_of(seal_document(OTHER, json.dumps(document).encode()))

    assert [one.partition(":")[0] for one in problems] == ["signature", "name", "args"]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_never_gives_another_manifest(position, change):
    sealed = bytearray(seal_manifest(REQUESTER, MANIFEST))
    sealed[position % len(sealed)] ^= change

    try:
        opened = open_manifest(bytes(sealed), requester=REQUESTER.peer_id)
    except ManifestError:
        return
    assert opened == MANIFEST


def test_a_signature_made_for_another_purpose_does_not_count():
    payload = MANIFEST.canonical_bytes()
    message = seal(
        REQUESTER,
        domain="zerostate-message",
        payload_type=PAYLOAD_TYPE,
        payload=payload,
    )

    assert problems_of(message) == ("signature: the signature does not match",)
    assert DOMAIN == "zerostate-manifest"


def test_what_is_too_large_is_neither_looked_at_nor_sealed():
    (problem,) = problems_of(bytes(MAX_SEALED_BYTES + 1))
    assert "the limit is" in problem

    largest = seal_document(REQUESTER, b" " * MAX_MANIFEST_BYTES)
    assert len(largest) <= MAX_SEALED_BYTES
    wide = MANIFEST.model_copy(update={"args": ("\u00e4" * 1000,) * 10})
    with pytest.raises(ManifestError, match="limit"):
        seal_manifest(REQUESTER, wide)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (seal_manifest(REQUESTER, MANIFEST), True),
        (MANIFEST.canonical_bytes(), False),
        (b"\n {}", False),
        (b"[]", False),
        (b"", True),
        (b"anything else", True),
    ],
)
def test_an_envelope_is_told_from_the_document_itself(data, expected):
    assert is_sealed(data) is expected
