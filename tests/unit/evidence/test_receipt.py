"""evidence.receipt: who signed what about a task."""

import dataclasses

import pytest

from zerostate.errors import EnvelopeError, EvidenceError
from zerostate.evidence.envelope import seal
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import (
    DOMAIN,
    MAX_RECEIPT_BYTES,
    PAYLOAD_TYPE,
    Receipt,
    open_receipt,
    receipt_sha256,
    seal_receipt,
)

EXECUTOR = Identity(bytes(range(32)))
REQUESTER = Identity(bytes(reversed(range(32))))

RECEIPT = Receipt(
    task_id="task-" + "1" * 32,
    trace_id="a" * 32,
    guild_id="guild-" + "2" * 32,
    requester=REQUESTER.peer_id,
    executor=EXECUTOR.peer_id,
    manifest_sha256="3" * 64,
    module_sha256="4" * 64,
    input_sha256="5" * 64,
    output_sha256="6" * 64,
    outcome="ok",
    exit_code=0,
    fuel_used=25_035,
    memory_peak_bytes=131_072,
    cpu_time_ns=90_000_000,
    wall_time_ns=99_000_000,
    started_unix_ns=1_800_000_000_000_000_000,
    ended_unix_ns=1_800_000_000_099_000_000,
    engine_version="wasmtime 50.0.1",
    engine_config_sha256="7" * 64,
    price=2,
)


def test_a_sealed_receipt_opens_as_it_was():
    sealed = seal_receipt(EXECUTOR, RECEIPT)

    assert open_receipt(sealed) == RECEIPT
    assert len(sealed) < MAX_RECEIPT_BYTES
    assert seal_receipt(EXECUTOR, RECEIPT) == sealed


def test_nobody_signs_a_receipt_in_anothers_name():
    with pytest.raises(EvidenceError, match="must not sign"):
        seal_receipt(REQUESTER, RECEIPT)


def test_a_receipt_signed_by_another_than_its_executor_is_refused():
    payload = receipt_payload(RECEIPT)
    forged = seal(REQUESTER, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)

    with pytest.raises(EvidenceError, match="signed it"):
        open_receipt(forged)


def test_a_signature_made_for_another_purpose_does_not_count():
    payload = receipt_payload(RECEIPT)
    message = seal(
        EXECUTOR,
        domain="zerostate-message",
        payload_type=PAYLOAD_TYPE,
        payload=payload,
    )

    with pytest.raises(EnvelopeError):
        open_receipt(message)


def test_a_receipt_over_4_kib_is_not_looked_at():
    with pytest.raises(EvidenceError, match="4096"):
        open_receipt(bytes(MAX_RECEIPT_BYTES + 1))


def test_a_payload_that_is_no_receipt_is_refused():
    for payload in (b"", b"\xff\xff\xff"):
        sealed = seal(
            EXECUTOR, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload
        )
        with pytest.raises(EvidenceError, match="not a receipt"):
            open_receipt(sealed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_id", "task-1"),
        ("trace_id", "A" * 32),
        ("guild_id", ""),
        ("requester", "me"),
        ("output_sha256", "6" * 63),
        ("outcome", "fine"),
        ("price", -1),
        ("fuel_used", 2**63),
        ("exit_code", 2**31),
        ("engine_version", "x" * 65),
        ("trap", "Not A Name"),
        ("trap", "x" * 65),
    ],
)
def test_a_field_out_of_form_is_refused(field, value):
    with pytest.raises(ValueError):  # noqa: PT011  # parsers of ids word their own
        dataclasses.replace(RECEIPT, **{field: value})


def test_the_hash_is_of_the_sealed_bytes():
    sealed = seal_receipt(EXECUTOR, RECEIPT)

    assert len(receipt_sha256(sealed)) == 64
    assert receipt_sha256(sealed) != receipt_sha256(sealed + b"\0")


def test_a_trap_is_one_more_field_at_the_end_of_what_was_always_signed():
    untold = dataclasses.replace(RECEIPT, outcome="trap")
    told = dataclasses.replace(untold, trap="unreachable")

    assert receipt_payload(told) == receipt_payload(untold) + b"\xaa\x01\x0bunreachable"
    assert open_receipt(seal_receipt(EXECUTOR, told)) == told
    assert open_receipt(seal_receipt(EXECUTOR, untold)).trap == ""


def receipt_payload(receipt):
    from zerostate.evidence import envelope_pb2

    return envelope_pb2.Envelope.FromString(seal_receipt(EXECUTOR, receipt)).payload
