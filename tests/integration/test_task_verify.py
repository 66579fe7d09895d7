"""``zerostate task verify --rerun``: receipts of real runs, run again by real workers."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import trio

from zerostate.cli.main import main
from zerostate.clock import SystemClock
from zerostate.errors import ExecutionError
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import open_receipt, seal_receipt
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.manifest import Limits, Manifest, PriceTerms
from zerostate.execution.order import TaskOrder
from zerostate.execution.runner import open_runner
from zerostate.execution.signed_manifest import seal_manifest
from zerostate.execution.tracing import ExecutionTracer
from zerostate.ids import new_guild_id, new_task_id

TASKS = Path(__file__).parents[2] / "examples" / "tasks"
EXECUTOR, REQUESTER = Identity(bytes([1]) * 32), Identity(bytes([2]) * 32)
INPUT = b"one two\nthree\n"


def run(name, **limits):
    """Run an example; return its receipt and all that belongs to it, by name."""
    module = (TASKS / f"{name}.wasm").read_bytes()
    manifest = Manifest(
        name=name,
        version="1",
        module_sha256=hashlib.sha256(module).hexdigest(),
        limits=Limits(**limits),
        price=PriceTerms(base=10, per_gigafuel=5, max_total=1000),
    )
    sealed = seal_manifest(REQUESTER, manifest)
    order = TaskOrder(
        task_id=new_task_id(),
        guild_id=new_guild_id(),
        requester=REQUESTER.peer_id,
        manifest=sealed,
        module=module,
        input=INPUT,
        trace_id="a" * 32,
    )

    async def execute():
        async with open_runner(
            ExecutionConfig(requires_signed_manifest=True),
            EXECUTOR,
            tracer=ExecutionTracer(),
            clock=SystemClock(),
        ) as runner:
            try:
                return (await runner.execute(order)).receipt
            except ExecutionError as exc:
                return exc.receipt

    receipt = trio.run(execute)
    return {"receipt": receipt, "manifest": sealed, "module": module, "input": INPUT}


@pytest.fixture
def verify(tmp_path, capsys):
    def run(files):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        named = [f"--{name}={tmp_path / name}" for name in files if name != "receipt"]
        receipt = str(tmp_path / "receipt")
        code = main(["task", "verify", receipt, *named, "--rerun", "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def changed(files, **fields):
    """Return `files` with another receipt that the executor signed, too."""
    lie = dataclasses.replace(open_receipt(files["receipt"]), **fields)
    return files | {"receipt": seal_receipt(EXECUTOR, lie)}


def test_an_honest_receipt_is_confirmed_and_a_lie_about_the_output_is_not(verify):
    files = run("word_count")
    code, verdict = verify(files)
    assert (code, verdict["verdict"], verdict["reasons"]) == (0, "confirmed", [])
    assert verdict["rerun"]["fuel_used"] == verdict["receipt"]["fuel_used"]

    code, verdict = verify(changed(files, output_sha256="9" * 64))
    assert (code, verdict["verdict"]) == (4, "contradicted")
    (reason,) = verdict["reasons"]
    assert reason.startswith("output_sha256: " + "9" * 64)
    assert verdict["rerun"]["outcome"] == "ok"


def test_a_trap_is_confirmed_and_a_deadline_cannot_be_decided(verify):
    files = run("trap")
    assert verify(files)[0] == 0

    code, verdict = verify(changed(files, outcome="deadline", trap=""))
    assert (code, verdict["verdict"]) == (5, "undecided")
    assert verdict["reasons"] == ["outcome: deadline depends on the machine"]
    assert verdict["rerun"] is None
