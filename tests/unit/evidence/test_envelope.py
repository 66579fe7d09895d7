"""zerostate.evidence.envelope and identity: what a signature covers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import EnvelopeError
from zerostate.evidence import envelope_pb2 as pb
from zerostate.evidence.envelope import MAX_ENVELOPE_BYTES, seal, unseal
from zerostate.evidence.identity import Identity, parse_peer_id

IDENTITY = Identity(bytes(range(32)))
DOMAIN = "zerostate-test"
TYPE = b"/zerostate/test/1"


def sealed(payload=b"payload"):
    return seal(IDENTITY, domain=DOMAIN, payload_type=TYPE, payload=payload)


@given(st.binary(max_size=300))
def test_what_was_sealed_comes_out_with_its_author(payload):
    opened = unseal(sealed(payload), domain=DOMAIN, payload_type=TYPE)

    assert opened.payload == payload
    assert opened.author == IDENTITY.peer_id


@given(st.data())
def test_no_other_bytes_have_a_valid_signature_for_another_payload(data):
    original = bytearray(sealed())
    position = data.draw(st.integers(0, len(original) - 1))
    original[position] ^= data.draw(st.integers(1, 255))

    try:
        opened = unseal(bytes(original), domain=DOMAIN, payload_type=TYPE)
    except EnvelopeError:
        return
    # Unknown fields may be renamed without harm; what is read must be what was signed.
    assert (opened.author, opened.payload) == (IDENTITY.peer_id, b"payload")


@given(st.binary(max_size=200))
def test_garbage_is_refused(data):
    with pytest.raises(EnvelopeError):
        unseal(data, domain=DOMAIN, payload_type=TYPE)


def test_a_signature_of_another_domain_is_refused():
    with pytest.raises(EnvelopeError, match="signature"):
        unseal(sealed(), domain="zerostate-other", payload_type=TYPE)


def test_another_payload_type_is_refused():
    with pytest.raises(EnvelopeError, match="payload type"):
        unseal(sealed(), domain=DOMAIN, payload_type=b"/other/1")


def test_a_key_that_is_not_ed25519_is_refused():
    envelope = pb.Envelope.FromString(sealed())
    envelope.public_key.type = 2

    with pytest.raises(EnvelopeError, match="key type 2"):
        unseal(envelope.SerializeToString(), domain=DOMAIN, payload_type=TYPE)


def test_an_oversized_envelope_is_refused_before_it_is_parsed():
    with pytest.raises(EnvelopeError, match="the limit is"):
        unseal(bytes(MAX_ENVELOPE_BYTES + 1), domain=DOMAIN, payload_type=TYPE)


def test_an_identity_does_not_show_its_seed():
    assert IDENTITY.seed.hex() not in repr(IDENTITY)


@pytest.mark.parametrize("text", ["", "0OIl", "12D3KooW", "Qm" + "a" * 44, "x" * 65])
def test_what_is_not_a_peer_id_is_refused(text):
    with pytest.raises(
        ValueError, match=r"not a peer id|not the peer id|base58|Invalid"
    ):
        parse_peer_id(text)


def test_a_peer_id_is_accepted():
    assert parse_peer_id(IDENTITY.peer_id) == IDENTITY.peer_id
