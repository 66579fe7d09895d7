"""docs/protocol.md, "Channel states": its vectors as our code reads them."""

import re

import pytest

from interop.protocol_document import machine_readable, section
from zerostate.errors import EvidenceError
from zerostate.evidence import channel_pb2
from zerostate.evidence.channel import decode_state, verify_cosigned
from zerostate.evidence.channel_update import (
    MAX_AMOUNT,
    MAX_SHARED,
    payment_hash,
)
from zerostate.evidence.identity import Identity
from zerostate.payment import messages_pb2, wire

GIVEN = machine_readable()
STATES = GIVEN["states"]


def told(update):
    return {
        "nonce": str(update.nonce),
        "net": str(update.net),
        "payments": [
            {
                "task_id": one.task_id,
                "receipt_sha256": one.receipt_sha256,
                "amount": str(one.amount),
            }
            for one in update.payments
        ],
    }


@pytest.mark.parametrize("vector", STATES, ids=lambda vector: vector["name"])
def test_our_code_verifies_the_state_as_the_document_says(vector):
    fields = vector["fields"]

    proven = verify_cosigned(bytes.fromhex(vector["state"]))

    assert fields.items() >= told(proven.update).items()
    assert proven.channel_id == vector["channel_id"]
    assert payment_hash(proven.update).hex() == vector["payment_hash"]
    for role, peer_id in (("payer", proven.terms.payer), ("payee", proven.terms.payee)):
        assert Identity(bytes.fromhex(vector[role]["seed"])).peer_id == peer_id
    assert {
        "chain_id": str(proven.terms.chain_id),
        "contract": proven.terms.contract,
        "deposit": str(proven.terms.deposit),
        "salt": proven.terms.salt.hex(),
    }.items() <= fields.items()


@pytest.mark.parametrize("vector", STATES, ids=lambda vector: vector["name"])
def test_a_proposal_is_the_state_without_the_payees_signature(vector):
    proposal = decode_state(bytes.fromhex(vector["proposal"]))
    agreed = decode_state(bytes.fromhex(vector["state"]))

    assert (proposal.terms, proposal.update) == (agreed.terms, agreed.update)
    assert proposal.payer_signature == agreed.payer_signature
    assert proposal.payee_signature == b""
    with pytest.raises(EvidenceError, match="the payee's signature"):
        verify_cosigned(bytes.fromhex(vector["proposal"]))


def test_the_message_that_pays_for_three_tasks_carries_that_state():
    (message,) = [
        vector for vector in GIVEN["vectors"] if "three tasks" in vector["name"]
    ]
    body = bytes.fromhex(message["fields"]["body"])
    *_, state = STATES

    assert wire.decode_payment_update(body).hex() == state["proposal"]
    others = decode_state(wire.decode_payment_update(body)).update.others
    assert len(wire.traceparents_of(body)) == len(others) + 1 == 3
    assert message["seed"] == state["payer"]["seed"]


def test_every_field_of_a_state_stands_in_the_table():
    text = section("Channel states")
    shown = re.findall(r"^\| (\d+) \| `(\w+)`", text, flags=re.MULTILINE)

    assert shown == [
        (str(field.number), field.name)
        for field in channel_pb2.SignedState.DESCRIPTOR.fields
    ]
    for field in channel_pb2.TaskPayment.DESCRIPTOR.fields:
        assert f"`{field.name}` ({field.number})" in text


def test_the_bounds_that_the_document_names_are_those_of_the_code():
    text = section("Tasks and payment")
    (traceparents,) = [
        field
        for field in messages_pb2.PaymentUpdate.DESCRIPTOR.fields
        if field.name == "traceparents"
    ]

    assert f"at most {MAX_SHARED}" in text
    assert f"`traceparents` ({traceparents.number})" in text
    assert MAX_AMOUNT == 2**63 - 1
    assert "above 2^63 - 1" in section("Channel states")
