"""node.evidence_check: a receipt proves one task, and no other."""

import hashlib
from dataclasses import fields, replace

import pytest

from zerostate.errors import EnvelopeError, EvidenceError
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import (
    DOMAIN,
    PAYLOAD_TYPE,
    Receipt,
    open_receipt,
    seal_receipt,
)
from zerostate.execution.manifest import Limits, Manifest, PriceTerms
from zerostate.execution.signed_manifest import manifest_sha256, seal_manifest
from zerostate.ids import GuildId, TaskId, TraceIdHex
from zerostate.node.evidence_check import ExpectedTask, check_receipt
from zerostate.units import Minor


def sha256(data):
    return hashlib.sha256(data).hexdigest()


EXECUTOR = Identity(bytes([1]) * 32)
REQUESTER = Identity(bytes([2]) * 32)
OTHER = Identity(bytes([3]) * 32)
OUTPUT = b"what the module wrote"
MANIFEST = Manifest(
    name="task",
    version="1",
    module_sha256=sha256(b"module"),
    limits=Limits(),
    price=PriceTerms(base=10, per_gigafuel=5, max_total=40),
)
SEALED = seal_manifest(REQUESTER, MANIFEST)
EXPECTED = ExpectedTask(
    task_id=TaskId("task-" + "1" * 32),
    trace_id="a" * 32,
    guild_id=GuildId("guild-" + "2" * 32),
    requester=REQUESTER.peer_id,
    executor=EXECUTOR.peer_id,
    manifest=SEALED,
    input=b"what the module reads",
)
DONE = Receipt(
    task_id=EXPECTED.task_id,
    trace_id=TraceIdHex(EXPECTED.trace_id),
    guild_id=EXPECTED.guild_id,
    requester=EXPECTED.requester,
    executor=EXPECTED.executor,
    manifest_sha256=manifest_sha256(SEALED),
    module_sha256=MANIFEST.module_sha256,
    input_sha256=sha256(EXPECTED.input),
    output_sha256=sha256(OUTPUT),
    outcome="ok",
    exit_code=0,
    fuel_used=2_000_000_000,
    memory_peak_bytes=131_072,
    cpu_time_ns=90_000_000,
    wall_time_ns=99_000_000,
    started_unix_ns=1_800_000_000_000_000_000,
    ended_unix_ns=1_800_000_000_099_000_000,
    engine_version="wasmtime 50.0.1",
    engine_config_sha256="7" * 64,
    price=Minor(20),
)
FAILED = replace(DONE, outcome="trap", output_sha256=sha256(b""), price=Minor(0))


def check_done(receipt, signer=EXECUTOR):
    sealed = seal_receipt(signer, receipt)
    return check_receipt(sealed, EXPECTED, outcome="ok", output=OUTPUT)


def check_failed(receipt, outcome="trap"):
    sealed = seal_receipt(EXECUTOR, receipt)
    return check_receipt(sealed, EXPECTED, outcome=outcome, output=b"")


def forged(receipt, signer):
    """Return `receipt` under the signature of somebody whom it does not name."""
    own = seal_receipt(EXECUTOR, receipt)
    payload = unseal(own, domain=DOMAIN, payload_type=PAYLOAD_TYPE).payload
    return seal(signer, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)


def test_a_receipt_of_the_task_is_returned_as_signed():
    assert check_done(DONE) == DONE
    assert check_failed(FAILED) == FAILED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requester", OTHER.peer_id),
        ("task_id", "task-" + "9" * 32),
        ("trace_id", "9" * 32),
        ("guild_id", "guild-" + "9" * 32),
        ("manifest_sha256", "9" * 64),
        ("module_sha256", "9" * 64),
        ("input_sha256", "9" * 64),
        ("output_sha256", "9" * 64),
    ],
)
def test_a_receipt_that_differs_in_one_field_proves_nothing(field, value):
    with pytest.raises(EvidenceError, match=f"prove this task: {field}: "):
        check_done(replace(DONE, **{field: value}))


def test_a_receipt_that_another_peer_signed_for_itself_proves_nothing():
    with pytest.raises(EvidenceError, match=f"executor: '{OTHER.peer_id}'"):
        check_done(replace(DONE, executor=OTHER.peer_id), signer=OTHER)


def test_a_receipt_that_another_peer_signed_in_the_executors_name_is_refused():
    sealed = forged(DONE, OTHER)

    with pytest.raises(EvidenceError, match=f"{OTHER.peer_id} signed it"):
        check_receipt(sealed, EXPECTED, outcome="ok", output=OUTPUT)


def test_the_outcome_beside_the_receipt_must_be_the_signed_one():
    with pytest.raises(EvidenceError, match="outcome: 'trap', not 'deadline'"):
        check_failed(FAILED, outcome="deadline")


@pytest.mark.parametrize("price", [0, 19, 21, 1000])
def test_a_good_result_costs_what_its_fuel_costs_by_the_terms(price):
    with pytest.raises(
        EvidenceError, match=f"price: {price}, though the terms make it 20"
    ):
        check_done(replace(DONE, price=Minor(price)))


def test_no_fuel_costs_more_than_the_agreed_total():
    fuel_used = MANIFEST.limits.fuel
    check_done(replace(DONE, fuel_used=fuel_used, price=Minor(40)))

    with pytest.raises(EvidenceError, match="price: 60, though the terms make it 40"):
        check_done(replace(DONE, fuel_used=fuel_used, price=Minor(60)))


def test_a_failed_task_is_not_paid_for():
    with pytest.raises(EvidenceError, match="price: 20, though the terms make it 0"):
        check_failed(replace(FAILED, price=Minor(20)))


def test_a_receipt_beyond_the_limits_of_the_manifest_proves_nothing():
    limit = MANIFEST.limits.memory_bytes

    with pytest.raises(EvidenceError, match=f"though the limit is {limit}"):
        check_done(replace(DONE, memory_peak_bytes=limit + 1))


def test_all_differences_are_told_at_once():
    receipt = replace(DONE, trace_id=TraceIdHex("9" * 32), price=Minor(21))

    with pytest.raises(EvidenceError, match=r"trace_id: .*; price: 21, though the"):
        check_done(receipt)


def test_every_field_of_a_receipt_that_the_requester_knows_is_compared():
    measured = {
        "exit_code",
        "fuel_used",
        "memory_peak_bytes",
        "cpu_time_ns",
        "wall_time_ns",
        "started_unix_ns",
        "ended_unix_ns",
        "engine_version",
        "engine_config_sha256",
        "trap",
    }
    known = {field.name for field in fields(Receipt)} - measured
    nothing = ExpectedTask(
        task_id=TaskId(""),
        trace_id="",
        guild_id=GuildId(""),
        requester=OTHER.peer_id,
        executor=OTHER.peer_id,
        manifest=b"another manifest",
        input=b"",
    )

    with pytest.raises(EvidenceError) as failure:
        check_receipt(seal_receipt(EXECUTOR, DONE), nothing, outcome="", output=b"")
    # What the manifest says is compared only if it is the receipt's.
    with pytest.raises(EvidenceError) as breach:
        check_done(replace(DONE, module_sha256="9" * 64, price=Minor(21)))

    told = f"{failure.value} {breach.value}"
    assert {name for name in known if f" {name}: " in told} == known


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, bytes(2000)])
def test_bytes_that_are_no_envelope_are_refused(data):
    with pytest.raises(EnvelopeError):
        check_receipt(data, EXPECTED, outcome="ok", output=OUTPUT)


def test_a_receipt_with_a_changed_byte_is_refused():
    sealed = bytearray(seal_receipt(EXECUTOR, DONE))
    sealed[-1] ^= 1

    with pytest.raises(EnvelopeError):
        check_receipt(bytes(sealed), EXPECTED, outcome="ok", output=OUTPUT)
    sealed[-1] ^= 1
    assert open_receipt(bytes(sealed)) == DONE
