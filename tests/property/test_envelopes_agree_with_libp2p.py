"""Our envelope codec and py-libp2p's are one format (docs/adr/0001)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.envelope import Envelope, make_unsigned, unmarshal_envelope
from libp2p.peer.id import ID

from zerostate.errors import EnvelopeError
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity, peer_id_of

seeds = st.binary(min_size=32, max_size=32)
domains = st.text(max_size=200)
types = st.binary(max_size=200)
payloads = st.binary(max_size=400)


def sealed_by_libp2p(
    seed: bytes, domain: str, payload_type: bytes, payload: bytes
) -> bytes:
    keys = create_new_key_pair(seed)
    signature = keys.private_key.sign(make_unsigned(domain, payload_type, payload))
    return Envelope(
        keys.public_key, payload_type, payload, signature
    ).marshal_envelope()


@settings(deadline=None)
@given(seeds, domains, types, payloads)
def test_both_make_the_same_bytes(seed, domain, payload_type, payload):
    ours = seal(
        Identity(seed), domain=domain, payload_type=payload_type, payload=payload
    )

    assert ours == sealed_by_libp2p(seed, domain, payload_type, payload)


@settings(deadline=None)
@given(seeds, domains, types, payloads)
def test_libp2p_opens_ours_and_we_open_its(seed, domain, payload_type, payload):
    identity = Identity(seed)
    ours = seal(identity, domain=domain, payload_type=payload_type, payload=payload)
    theirs = unmarshal_envelope(ours)
    theirs.validate(domain)
    opened = unseal(
        sealed_by_libp2p(seed, domain, payload_type, payload),
        domain=domain,
        payload_type=payload_type,
    )

    assert theirs.raw_payload == opened.payload == payload
    assert opened.author == peer_id_of(identity.public_key)
    assert opened.author == str(ID.from_pubkey(create_new_key_pair(seed).public_key))


def test_both_refuse_an_envelope_of_another_domain():
    envelope = seal(Identity(bytes(32)), domain="a", payload_type=b"t", payload=b"p")

    with pytest.raises(ValueError, match=r"[Ii]nvalid"):
        unmarshal_envelope(envelope).validate("b")
    with pytest.raises(EnvelopeError):
        unseal(envelope, domain="b", payload_type=b"t")
