"""execution.receipt_check: what a receipt proves, from bytes alone."""

import dataclasses
import hashlib

import pytest

from zerostate.errors import EnvelopeError, EvidenceError
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import Receipt, seal_receipt
from zerostate.execution.manifest import Limits, Manifest, PriceTerms
from zerostate.execution.receipt_check import check_receipt
from zerostate.execution.signed_manifest import seal_manifest

EXECUTOR = Identity(bytes(range(32)))
REQUESTER = Identity(bytes(reversed(range(32))))
MODULE, INPUT, OUTPUT = b"a module", b"an input", b"an output"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


ASKED = Manifest(
    name="task",
    version="1",
    module_sha256=sha256(MODULE),
    limits=Limits(fuel=5_000_000_000, memory_bytes=1 << 20),
    price=PriceTerms(base=10, per_gigafuel=5, max_total=100),
)
MANIFEST = seal_manifest(REQUESTER, ASKED)
RECEIPT = Receipt(
    task_id="task-" + "1" * 32,
    trace_id="a" * 32,
    guild_id="guild-" + "2" * 32,
    requester=REQUESTER.peer_id,
    executor=EXECUTOR.peer_id,
    manifest_sha256=sha256(MANIFEST),
    module_sha256=sha256(MODULE),
    input_sha256=sha256(INPUT),
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
    price=20,
)


def check(receipt=RECEIPT, **given):
    everything = {
        "manifest": MANIFEST,
        "module": MODULE,
        "task_input": INPUT,
        "output": OUTPUT,
    }
    return check_receipt(seal_receipt(EXECUTOR, receipt), **(everything | given))


def test_a_receipt_that_agrees_with_everything_is_proven():
    found = check()

    assert found.is_proven
    assert (found.receipt, found.manifest) == (RECEIPT, ASKED)


def test_what_is_not_given_is_not_held_against_it():
    assert check(module=None, task_input=None, output=None).is_proven


def test_a_manifest_that_was_not_sealed_is_read_as_it_is():
    plain = ASKED.canonical_bytes()

    assert check(changed(manifest_sha256=sha256(plain)), manifest=plain).is_proven


def changed(**fields):
    return dataclasses.replace(RECEIPT, **fields)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"manifest": ASKED.canonical_bytes()}, "manifest_sha256"),
        ({"module": b"another"}, "module_sha256"),
        ({"task_input": b"another"}, "input_sha256"),
        ({"output": b"another"}, "output_sha256"),
    ],
)
def test_other_bytes_than_the_receipt_names_speak_against_it(given, field):
    (problem,) = check(**given).problems

    assert problem.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"exit_code": 3}, ["exit_code"]),
        ({"trap": "unreachable"}, ["trap"]),
        ({"outcome": "trap"}, ["output_sha256", "price"]),
        ({"outcome": "trap", "price": 0}, ["output_sha256"]),
        ({"ended_unix_ns": 1}, ["ended_unix_ns"]),
        ({"price": 21}, ["price"]),
        ({"price": 19}, ["price"]),
        ({"fuel_used": 5_000_000_001, "price": 36}, ["fuel_used"]),
        ({"memory_peak_bytes": 1 << 21}, ["memory_peak_bytes"]),
    ],
)
def test_what_cannot_be_true_together_speaks_against_it(fields, expected):
    found = check(changed(**fields))

    assert [one.partition(":")[0] for one in found.problems] == expected
    assert not found.is_proven


PAYS_FAILURES = ASKED.model_copy(
    update={
        "price": PriceTerms(
            base=10,
            per_gigafuel=5,
            max_total=30,
            on_failure={"trap": "metered", "exit_code": "base"},
        )
    }
)
TRAPPED = changed(
    outcome="trap", output_sha256=sha256(b""), fuel_used=5_000_000_000, price=30
)
LEFT = {"outcome": "exit_code", "exit_code": 3}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"fuel_used": 2_000_000_000, "price": 20}, []),
        ({"price": 31}, ["price"]),
        ({"price": 0}, ["price"]),
        ({**LEFT, "price": 10}, []),
        ({**LEFT, "price": 30}, ["price"]),
        ({**LEFT, "price": 10, "exit_code": 0}, ["exit_code"]),
        ({"outcome": "out_of_fuel", "price": 10}, ["price"]),
        ({"outcome": "worker_lost", "price": 10}, ["price"]),
        ({"outcome": "worker_lost", "price": 0}, []),
    ],
)
def test_a_failed_task_costs_what_the_signed_terms_give_for_such_a_failure(
    fields, expected
):
    sealed = seal_manifest(REQUESTER, PAYS_FAILURES)
    receipt = dataclasses.replace(TRAPPED, manifest_sha256=sha256(sealed), **fields)
    found = check(receipt, manifest=sealed, output=b"")

    assert [one.partition(":")[0] for one in found.problems] == expected


def test_another_module_than_the_manifest_asks_for_speaks_against_it():
    receipt = changed(module_sha256=sha256(b"another"))

    (problem,) = check(receipt, module=b"another").problems

    assert problem == f"module_sha256: the manifest asks for {sha256(MODULE)}"


def test_a_manifest_that_another_than_the_requester_signed_speaks_against_it():
    sealed = seal_manifest(EXECUTOR, ASKED)

    found = check(changed(manifest_sha256=sha256(sealed)), manifest=sealed)

    assert found.manifest is None
    assert found.problems[0].startswith("manifest: signature: ")


def test_all_problems_come_at_once():
    found = check(changed(exit_code=1, price=1), module=b"", output=b"")

    assert [one.partition(":")[0] for one in found.problems] == [
        "module_sha256",
        "output_sha256",
        "exit_code",
        "price",
    ]


def test_what_is_no_signed_receipt_is_an_error():
    sealed = bytearray(seal_receipt(EXECUTOR, RECEIPT))
    sealed[-1] ^= 1

    with pytest.raises(EnvelopeError):
        check_receipt(bytes(sealed), manifest=MANIFEST)
    with pytest.raises((EnvelopeError, EvidenceError)):
        check_receipt(b"", manifest=MANIFEST)
