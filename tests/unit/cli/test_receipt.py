"""``zerostate task verify`` on files: verdicts, exit codes, what is told."""

import dataclasses
import hashlib
import json

import pytest

from zerostate.cli.main import main
from zerostate.cli.receipt import NOT_SHOWN, NOT_SIGNED
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import Receipt, seal_receipt
from zerostate.evidence.witness import seal_witness
from zerostate.execution.manifest import Manifest, PriceTerms
from zerostate.execution.signed_manifest import manifest_sha256, seal_manifest
from zerostate.units import Minor

EXECUTOR, REQUESTER = Identity(bytes([1]) * 32), Identity(bytes([2]) * 32)
FILES = {"module": b"a module", "input": b"an input", "output": b"an output"}


def sha256(name):
    return hashlib.sha256(FILES[name]).hexdigest()


ASKED = Manifest(
    name="task",
    version="1",
    module_sha256=sha256("module"),
    price=PriceTerms(base=10, per_gigafuel=5, max_total=100),
)
MANIFEST = seal_manifest(REQUESTER, ASKED)
MANIFEST_OF_NOBODY = ASKED.canonical_bytes()
RECEIPT = Receipt(
    task_id="task-" + "1" * 32,
    trace_id="a" * 32,
    guild_id="guild-" + "2" * 32,
    requester=REQUESTER.peer_id,
    executor=EXECUTOR.peer_id,
    manifest_sha256=manifest_sha256(MANIFEST),
    module_sha256=sha256("module"),
    input_sha256=sha256("input"),
    output_sha256=sha256("output"),
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


@pytest.fixture
def verify(tmp_path, capsys):
    """Write the files, `changed` in them, and run the command with options.

    Files whose names are options are named; those in `beside` lie beside the receipt.
    """

    def run(*options, receipt=RECEIPT, beside=(), **changed):
        files = {"witness": b"", "manifest": MANIFEST} | FILES | changed
        (tmp_path / "named").mkdir(exist_ok=True)
        (tmp_path / "receipt").write_bytes(seal_receipt(EXECUTOR, receipt))
        for name, data in files.items():
            (tmp_path / "named" / name).write_bytes(data)
            if name in beside:
                (tmp_path / name).write_bytes(data)
        words = [
            f"--{word}={tmp_path / 'named' / word}" if word in files else word
            for word in options
        ]
        code = main(["task", "verify", str(tmp_path / "receipt"), *words])
        return code, capsys.readouterr()

    return run


def lines(told):
    return told.out.splitlines()


ALL = ("manifest", "module", "input", "output")
NOT_AGAIN = (*ALL, "--no-rerun")


def test_a_receipt_that_agrees_with_all_files_is_confirmed(verify):
    code, told = verify(*NOT_AGAIN)

    assert code == 0
    assert lines(told)[-3:] == [
        "The receipt is confirmed.",
        "Not run again: --no-rerun.",
        NOT_SHOWN,
    ]
    assert "beside" not in told.out
    assert f"executor              {EXECUTOR.peer_id}" in told.out
    assert told.err == ""


def test_the_manifest_alone_is_enough(verify):
    code, told = verify("manifest", "--json")

    assert code == 0
    verdict = json.loads(told.out)
    assert (verdict["verdict"], verdict["reasons"]) == ("confirmed", [])
    assert verdict["receipt"] == json.loads(json.dumps(dataclasses.asdict(RECEIPT)))
    assert verdict["rerun"] is None
    again = "Not run again: name the --module and the --input."
    assert verdict["notes"] == [again, NOT_SHOWN]
    assert verdict["beside"] == []


def test_a_manifest_that_nobody_signed_proves_no_order_at_all(verify):
    manifest = MANIFEST_OF_NOBODY
    receipt = dataclasses.replace(
        RECEIPT, manifest_sha256=hashlib.sha256(manifest).hexdigest()
    )
    code, told = verify("manifest", receipt=receipt, manifest=manifest)

    assert code == 0
    assert lines(told)[-1] == NOT_SIGNED


def test_files_that_are_not_named_are_taken_from_beside_the_receipt(verify):
    code, told = verify("--no-rerun", "--json", beside=ALL)

    verdict = json.loads(told.out)
    assert (code, verdict["verdict"]) == (0, "confirmed")
    assert verdict["beside"] == list(ALL)
    code, told = verify("--no-rerun", beside=ALL)
    beside = "Held against what lies beside it: manifest, module, input, output."
    assert beside in lines(told)


@pytest.mark.parametrize("name", ALL)
def test_another_file_beside_the_receipt_contradicts_it(verify, name):
    code, told = verify("--json", beside=ALL, **{name: b"another"})

    verdict = json.loads(told.out)
    assert (code, verdict["verdict"]) == (4, "contradicted")
    assert verdict["reasons"][0].startswith(f"{name}_sha256: ")
    assert (verdict["rerun"], verdict["notes"]) == (None, [])


def test_a_file_that_is_named_is_taken_instead_of_the_one_beside(verify, tmp_path):
    verify("--no-rerun", beside=ALL)
    (tmp_path / "output").write_bytes(b"another")

    code, told = verify("output", "--no-rerun", "--json")

    assert code == 0
    assert json.loads(told.out)["beside"] == ["manifest", "module", "input"]


def test_the_directory_of_a_receipt_stands_for_it(verify, tmp_path, capsys):
    verify("--no-rerun", beside=ALL)
    (tmp_path / "named" / "output").unlink()
    code = main(["task", "verify", str(tmp_path), "--no-rerun"])

    assert code == 0
    beside = "Held against what lies beside it: manifest, module, input, output."
    assert beside in capsys.readouterr().out.splitlines()


def test_a_receipt_that_is_not_there_is_asked_for_by_its_argument(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for named in (tmp_path / "none", tmp_path / "empty"):
        assert main(["task", "verify", str(named)]) == 2

        error, hint = capsys.readouterr().err.splitlines()
        assert error.endswith(": No such file or directory")
        assert hint.startswith("hint: RECEIPT is ")


def test_a_directory_beside_the_receipt_is_no_file_of_it(verify, tmp_path):
    (tmp_path / "output").mkdir()
    code, told = verify(beside=["manifest"])

    assert code == 0
    assert "Held against what lies beside it: manifest." in lines(told)


def test_without_a_manifest_it_is_told_where_one_is_looked_for(verify, tmp_path):
    code, told = verify("module", "--json")

    assert code == 2
    error = json.loads(told.out)["error"]
    assert error["code"] == "config"
    expected = f"no manifest lies beside {tmp_path / 'receipt'}: name it (--manifest)"
    assert error["message"] == expected


# By its hash right, and no module at all: the worker that compiles it says so.
IS_RUN = ("module", "input")


@pytest.mark.parametrize("beside", [True, False])
def test_with_module_and_input_the_task_is_run_again_unless_told_not_to(verify, beside):
    words = ("manifest",) if beside else ("manifest", *IS_RUN)
    code, told = verify(*words, "--json", beside=IS_RUN if beside else ())

    verdict = json.loads(told.out)
    assert (code, verdict["rerun"]["outcome"]) == (5, "invalid_module")
    assert verdict["verdict"] == "undecided"
    # Another engine than the one that the receipt names.
    assert verdict["reasons"][0].startswith("engine_version: wasmtime 50.0.1 there")
    assert verdict["notes"] == [NOT_SHOWN]


@pytest.mark.parametrize("name", ["module", "input", "output", "manifest"])
def test_another_file_contradicts_the_receipt(verify, name):
    code, told = verify(*ALL, "--json", **{name: b"another"})

    verdict = json.loads(told.out)
    assert (code, verdict["verdict"]) == (4, "contradicted")
    (reason,) = verdict["reasons"]
    assert reason.startswith(f"{name}_sha256: ")


def test_a_price_beyond_the_terms_contradicts_the_receipt(verify):
    receipt = dataclasses.replace(RECEIPT, price=Minor(21))
    code, told = verify(*ALL, receipt=receipt)

    assert code == 4
    assert lines(told)[-2:] == [
        "The receipt is contradicted.",
        "  price: 21, though the terms make it 20",
    ]


def test_a_receipt_with_a_changed_byte_is_contradicted_and_not_shown(
    verify, tmp_path, capsys
):
    verify("--no-rerun", beside=["manifest"])
    sealed = bytearray((tmp_path / "receipt").read_bytes())
    sealed[-1] ^= 1
    (tmp_path / "receipt").write_bytes(sealed)
    code = main(["task", "verify", str(tmp_path / "receipt")])

    assert code == 4
    _beside, first, reason = capsys.readouterr().out.splitlines()
    assert first == "The receipt is contradicted."
    assert reason.startswith("  receipt: ")


def test_a_rerun_without_module_and_input_is_refused(verify):
    code, told = verify("manifest", "input", "--rerun", "--json")

    assert code == 2
    assert json.loads(told.out)["error"]["code"] == "config"
    assert told.err.startswith("error: --rerun: name the --module")


def test_what_speaks_against_a_receipt_spares_the_rerun(verify):
    code, told = verify(*ALL, "--rerun", "--json", output=b"another")

    verdict = json.loads(told.out)
    assert (code, verdict["rerun"]) == (4, None)


def test_a_missing_file_is_named(verify, tmp_path, capsys):
    code, told = verify("manifest", f"--module={tmp_path / 'none'}")

    assert code == 2
    assert f"error: module {tmp_path / 'none'}: No such file" in told.err


def witnessed(receipt=RECEIPT):
    sealed = seal_receipt(EXECUTOR, receipt)
    return seal_witness(
        Identity(bytes([3]) * 32), sealed, seen_unix_ns=1_800_000_000_000_000_000
    )


def test_a_witness_that_saw_the_receipt_is_named(verify):
    files = ("manifest", "witness")
    code, told = verify(*files, witness=witnessed())

    witness = Identity(bytes([3]) * 32).peer_id
    assert code == 0
    seen = f"{witness} signed that it saw the receipt at 2027-01-15T08:00:00Z."
    assert seen in told.out.splitlines()
    code, told = verify(*files, "--json", witness=witnessed())
    assert json.loads(told.out)["witness"]["witness"] == witness


@pytest.mark.parametrize(
    "statement",
    [witnessed(dataclasses.replace(RECEIPT, fuel_used=1)), b"", b"\xff" * 200],
    ids=["another receipt", "empty", "no statement"],
)
def test_a_witness_of_something_else_contradicts_the_receipt(verify, statement):
    code, told = verify("manifest", "witness", witness=statement)

    assert code == 4
    assert "  witness: " in told.out
    assert "signed that it saw" not in told.out
