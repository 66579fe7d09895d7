"""Typed data, signatures, bindings and the codec; eth_account is the oracle."""

import importlib
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerostate.errors import EnvelopeError, EvidenceError, SignatureError
from zerostate.evidence.binding import (
    BINDING_DOMAIN,
    BINDING_TYPE,
    make_binding,
    verify_binding,
)
from zerostate.evidence.channel import (
    MAX_STATE_BYTES,
    ChannelTerms,
    SignedState,
    decode_state,
    encode_state,
    encode_terms,
    open_terms,
    state_digest,
    verify_cosigned,
    with_payee,
    with_terms,
    without_terms,
)
from zerostate.evidence.channel_update import MAX_AMOUNT, OPENING, ChannelUpdate
from zerostate.evidence.envelope import seal
from zerostate.evidence.ethereum import (
    ZERO_ADDRESS,
    EthAddress,
    EthKey,
    check_backend,
    recover,
)
from zerostate.evidence.identity import Identity
from zerostate.ids import TaskId
from zerostate.units import Minor

PAYER, PAYEE = Identity(b"\x01" * 32), Identity(b"\x02" * 32)
PAYER_KEY, PAYEE_KEY, OTHER_KEY = (EthKey(bytes((n,)) * 32) for n in (1, 2, 3))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TASK = TaskId("task-" + "0a" * 16)
UPDATE = ChannelUpdate(3, Minor(30), TASK, "ab" * 32, Minor(10))


def make_terms(**changes: object) -> ChannelTerms:
    terms = ChannelTerms(
        chain_id=31337,
        contract=ZERO_ADDRESS,
        payer=PAYER.peer_id,
        payer_address=PAYER_KEY.address,
        payer_binding=make_binding(PAYER, PAYER_KEY),
        payee=PAYEE.peer_id,
        deposit=Minor(1000),
        salt=b"\x07" * 32,
    )
    return replace(with_payee(terms, make_binding(PAYEE, PAYEE_KEY)), **changes)


def cosigned(
    update=UPDATE, terms=None, payer_key=PAYER_KEY, payee_key=PAYEE_KEY
) -> bytes:
    terms = terms or make_terms()
    digest = state_digest(terms, update)
    return encode_state(
        SignedState(
            encode_terms(terms),
            update,
            payer_key.sign(digest).signature,
            payee_key.sign(digest).signature,
        )
    )


def typed_data(terms: ChannelTerms, update: ChannelUpdate) -> dict[str, object]:
    def fields(**kinds: str) -> list[dict[str, str]]:
        return [{"name": name, "type": kind} for name, kind in kinds.items()]

    return {
        "types": {
            "EIP712Domain": fields(
                name="string",
                version="string",
                chainId="uint256",
                verifyingContract="address",
            ),
            "ChannelState": fields(
                channelId="bytes32", nonce="uint64", net="int256", payment="Payment"
            ),
            "Payment": fields(taskId="string", receiptHash="bytes32", amount="uint256"),
        },
        "primaryType": "ChannelState",
        "domain": {
            "name": "ZeroState Channel",
            "version": "1",
            "chainId": terms.chain_id,
            "verifyingContract": terms.contract,
        },
        "message": {
            "channelId": bytes.fromhex(terms.channel_id[2:]),
            "nonce": update.nonce,
            "net": update.net,
            "payment": {
                "taskId": update.task_id or "",
                "receiptHash": bytes.fromhex(update.receipt_sha256) or bytes(32),
                "amount": update.amount,
            },
        },
    }


@pytest.fixture(scope="module", autouse=True)
def _oracle():
    # Importing eth_account raises the interpreter's recursion limit to 100,000.
    limit = sys.getrecursionlimit()
    importlib.import_module("eth_account")
    sys.setrecursionlimit(limit)


amounts = st.integers(min_value=0, max_value=MAX_AMOUNT).map(Minor)


@settings(max_examples=25, deadline=None)
@given(
    chain_id=st.integers(min_value=1, max_value=2**64 - 1),
    contract=st.binary(min_size=20, max_size=20),
    update=st.just(OPENING)
    | st.builds(
        ChannelUpdate,
        nonce=st.integers(min_value=1, max_value=MAX_AMOUNT),
        net=amounts,
        task_id=st.binary(min_size=16, max_size=16).map(
            lambda raw: TaskId(f"task-{raw.hex()}")
        ),
        receipt_sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        amount=amounts,
    ),
)
def test_digest_and_signature_are_those_of_eth_account(chain_id, contract, update):
    from eth_account import Account
    from eth_account.messages import encode_typed_data
    from eth_utils import keccak

    terms = make_terms(chain_id=chain_id, contract=EthAddress("0x" + contract.hex()))
    message = encode_typed_data(full_message=typed_data(terms, update))
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    assert state_digest(terms, update) == digest

    ours = PAYER_KEY.sign(digest).signature
    theirs = Account.sign_message(message, PAYER_KEY.secret).signature
    assert ours == bytes(theirs)
    assert recover(digest, ours).signer == PAYER_KEY.address
    assert (
        Account.recover_message(message, signature=ours).lower()
        == recover(digest, bytes(theirs)).signer
    )


def test_the_binding_is_a_personal_signature_of_eth_account():
    from eth_account import Account
    from eth_account.messages import encode_defunct

    text = f"ZeroState: this address belongs to the peer {PAYER.peer_id}"
    signed = Account.sign_message(encode_defunct(text=text), PAYER_KEY.secret)
    assert bytes(signed.signature) in make_binding(PAYER, PAYER_KEY)


def test_the_backend_is_checked_with_a_known_answer():
    check_backend()


def test_every_part_of_a_state_is_under_the_signature():
    terms = make_terms()
    digests = [
        state_digest(terms, UPDATE),
        *(
            state_digest(make_terms(**change), UPDATE)
            for change in (
                {"chain_id": 1},
                {"contract": EthAddress("0x" + "11" * 20)},
                {"payer_address": OTHER_KEY.address},
                {"payee": Identity(b"\x09" * 32).peer_id},
                {"deposit": Minor(1001)},
                {"salt": b"\x08" * 32},
            )
        ),
        *(
            state_digest(terms, replace(UPDATE, **change))
            for change in (
                {"nonce": 4},
                {"net": 31},
                {"amount": 11},
                {"task_id": TaskId("task-" + "0b" * 16)},
                {"receipt_sha256": "ac" * 32},
            )
        ),
    ]
    assert len(set(digests)) == len(digests) == 12


def test_a_cosigned_state_proves_who_pays_whom_what_for_which_receipt():
    data = cosigned()
    evidence = verify_cosigned(data)
    assert len(data) < MAX_STATE_BYTES
    assert evidence.update == UPDATE
    assert (evidence.terms.payer, evidence.terms.payee) == (
        PAYER.peer_id,
        PAYEE.peer_id,
    )
    assert evidence.balance_payer + evidence.balance_payee == evidence.terms.deposit


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lambda: cosigned(payer_key=OTHER_KEY), "the payer .* did not sign"),
        (lambda: cosigned(payee_key=OTHER_KEY), "the payee .* did not sign"),
        (lambda: cosigned(payee_key=PAYER_KEY), "the payee .* did not sign"),
        (lambda: cosigned(replace(UPDATE, net=Minor(1001))), "pays 1001 out of 1000"),
        (lambda: cosigned(replace(UPDATE, amount=Minor(31))), "pays an amount"),
        (lambda: cosigned(replace(UPDATE, amount=Minor(0))), "pays an amount"),
        (lambda: cosigned(replace(UPDATE, task_id=None)), "pays an amount"),
        (lambda: cosigned(replace(UPDATE, receipt_sha256="ab")), "names no receipt"),
        (lambda: cosigned(replace(OPENING, net=Minor(1))), "cannot pay"),
        (lambda: cosigned(replace(UPDATE, nonce=1 << 63)), "above"),
        (
            lambda: cosigned(terms=make_terms(payee_address=None, payee_binding=b"")),
            "payee has not signed",
        ),
        (lambda: cosigned(terms=make_terms(salt=b"short")), "salt or deposit"),
        (lambda: cosigned(terms=make_terms(deposit=Minor(0))), "salt or deposit"),
        (
            lambda: cosigned(
                terms=make_terms(payee_binding=make_binding(PAYER, OTHER_KEY))
            ),
            "the payee is",
        ),
        (
            lambda: cosigned(
                terms=make_terms(payee_binding=make_binding(PAYEE, PAYER_KEY))
            ),
            "the same address",
        ),
        (lambda: b"", "pays an amount|not the terms|cannot pay"),
        (lambda: b"\xff" * 10, "not a channel state"),
        (lambda: b"x" * (MAX_STATE_BYTES + 1), "the limit is"),
    ],
)
def test_what_is_not_signed_by_both_for_these_terms_is_no_evidence(data, reason):
    with pytest.raises(EvidenceError, match=reason):
        verify_cosigned(data())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_flipped_bit_passes_as_another_state(data):
    good = bytearray(cosigned())
    at = data.draw(st.integers(min_value=0, max_value=len(good) * 8 - 1))
    good[at // 8] ^= 1 << at % 8
    try:
        evidence = verify_cosigned(bytes(good))
    except EvidenceError:
        return
    assert (evidence.update, evidence.terms.deposit) == (UPDATE, 1000)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_state_or_an_evidence_error(data):
    for reader in (decode_state, open_terms, verify_cosigned):
        try:
            reader(data)
        except EvidenceError:
            continue


def test_states_round_trip_and_encode_the_same_each_time():
    state = decode_state(cosigned())
    assert encode_state(state) == cosigned()
    assert open_terms(state.terms) == make_terms()


def test_terms_that_are_kept_beside_a_state_are_put_back():
    state, terms = cosigned(), encode_terms(make_terms())
    kept = without_terms(state, terms)
    assert kept == encode_state(replace(decode_state(state), terms=b""))
    assert with_terms(kept, terms) == with_terms(state, terms) == state
    assert without_terms(state, b"terms of another channel") == state


def test_a_malleated_signature_is_refused():
    digest = state_digest(make_terms(), UPDATE)
    good = PAYER_KEY.sign(digest).signature
    s = int.from_bytes(good[32:64])
    malleated = good[:32] + (ORDER - s).to_bytes(32) + bytes((27 + 28 - good[64],))
    with pytest.raises(SignatureError, match="malleable"):
        recover(digest, malleated)


@pytest.mark.parametrize(
    "signature",
    [b"", b"\x01" * 64, b"\x01" * 64 + b"\x00", b"\x00" * 64 + b"\x1b", b"\xff" * 66],
)
def test_what_is_no_signature_is_refused(signature):
    with pytest.raises(SignatureError):
        recover(b"\x01" * 32, signature)


def test_a_binding_ties_a_peer_to_an_address():
    assert verify_binding(make_binding(PAYER, PAYER_KEY)) == (
        PAYER.peer_id,
        PAYER_KEY.address,
    )


def test_nobody_binds_an_address_without_its_key_or_a_peer_without_its_key():
    stolen = make_binding(PAYER, PAYER_KEY)
    payload = stolen[stolen.index(bytes.fromhex(PAYER_KEY.address[2:])) - 2 :][:89]
    resealed = seal(
        PAYEE, domain=BINDING_DOMAIN, payload_type=BINDING_TYPE, payload=payload
    )
    with pytest.raises(EvidenceError, match="did not sign for the peer"):
        verify_binding(resealed)
    tampered = bytearray(stolen)
    tampered[-1] ^= 1
    with pytest.raises(EnvelopeError):
        verify_binding(bytes(tampered))
    with pytest.raises(EvidenceError, match="the limit is"):
        verify_binding(bytes(600))


def test_secrets_do_not_show():
    assert PAYER_KEY.secret.hex() not in repr(PAYER_KEY)
    with pytest.raises(ValueError, match="secp256k1 has 32"):
        EthKey(b"short")
