"""evidence.witness: that a third has seen a receipt, and cannot be made to have."""

from dataclasses import replace

import pytest

from zerostate.errors import EnvelopeError, EvidenceError
from zerostate.evidence import receipt_pb2 as pb
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import Receipt, receipt_sha256, seal_receipt
from zerostate.evidence.witness import (
    DOMAIN,
    MAX_STATEMENT_BYTES,
    PAYLOAD_TYPE,
    ReceiptWitness,
    open_witness,
    seal_witness,
)

EXECUTOR, REQUESTER, WITNESS = (Identity(bytes([n]) * 32) for n in (1, 2, 3))
SEEN_NS = 1_800_000_000_000_000_000
RECEIPT = Receipt(
    task_id="task-" + "1" * 32,
    trace_id="a" * 32,
    guild_id="guild-" + "2" * 32,
    requester=REQUESTER.peer_id,
    executor=EXECUTOR.peer_id,
    manifest_sha256="1" * 64,
    module_sha256="2" * 64,
    input_sha256="3" * 64,
    output_sha256="4" * 64,
    outcome="ok",
    exit_code=0,
    fuel_used=1,
    memory_peak_bytes=2,
    cpu_time_ns=3,
    wall_time_ns=4,
    started_unix_ns=5,
    ended_unix_ns=6,
    engine_version="an engine",
    engine_config_sha256="5" * 64,
    price=7,
)
SEALED = seal_receipt(EXECUTOR, RECEIPT)
STATEMENT = seal_witness(WITNESS, SEALED, seen_unix_ns=SEEN_NS)


def test_a_statement_says_who_saw_which_receipt_when():
    assert open_witness(STATEMENT, receipt=SEALED) == ReceiptWitness(
        receipt_sha256=receipt_sha256(SEALED),
        task_id=RECEIPT.task_id,
        executor=EXECUTOR.peer_id,
        seen_unix_ns=SEEN_NS,
        witness=WITNESS.peer_id,
    )
    assert len(STATEMENT) <= MAX_STATEMENT_BYTES


@pytest.mark.parametrize("party", [EXECUTOR, REQUESTER], ids=["executor", "requester"])
def test_who_has_a_part_in_the_task_is_no_witness(party):
    with pytest.raises(EvidenceError, match="has a part in the task"):
        seal_witness(party, SEALED, seen_unix_ns=SEEN_NS)
    payload = unseal(STATEMENT, domain=DOMAIN, payload_type=PAYLOAD_TYPE).payload
    forged = seal(party, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)
    with pytest.raises(EvidenceError, match="has a part in the task"):
        open_witness(forged, receipt=SEALED)


def test_what_is_no_receipt_is_not_witnessed():
    with pytest.raises((EnvelopeError, EvidenceError)):
        seal_witness(WITNESS, b"a receipt", seen_unix_ns=SEEN_NS)


def test_a_statement_about_another_receipt_is_refused():
    other = seal_receipt(EXECUTOR, replace(RECEIPT, price=8))

    with pytest.raises(EvidenceError, match="another one"):
        open_witness(STATEMENT, receipt=other)


@pytest.mark.parametrize(
    "fields",
    [
        {"receipt_sha256": b"\0" * 31},
        {"receipt_sha256": b"\0" * 32},
        {"task_id": "task"},
        {"task_id": "task-" + "9" * 32},
        {"executor": "nobody"},
        {"executor": REQUESTER.peer_id},
        {"seen_unix_ns": 2**63},
    ],
    ids=str,
)
def test_a_signed_statement_that_says_something_else_is_refused(fields):
    message = pb.ReceiptWitness.FromString(
        unseal(STATEMENT, domain=DOMAIN, payload_type=PAYLOAD_TYPE).payload
    )
    for name, value in fields.items():
        setattr(message, name, value)
    payload = message.SerializeToString()
    forged = seal(WITNESS, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)

    with pytest.raises(EvidenceError):
        open_witness(forged, receipt=SEALED)


@pytest.mark.parametrize("position", range(0, len(STATEMENT), 7))
def test_a_statement_that_was_changed_anywhere_is_refused(position):
    changed = bytearray(STATEMENT)
    changed[position] ^= 1

    with pytest.raises((EnvelopeError, EvidenceError)):
        open_witness(bytes(changed), receipt=SEALED)


def test_too_many_bytes_are_not_looked_at():
    with pytest.raises(EvidenceError, match="has up to 512"):
        open_witness(b"\0" * (MAX_STATEMENT_BYTES + 1), receipt=SEALED)
