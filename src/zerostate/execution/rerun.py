"""Whether a task, run again here, ends as its receipt says."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from zerostate.evidence.receipt import OUTCOME_OK, Receipt
from zerostate.execution._wasmtime.settings import engine_config_sha256, engine_version
from zerostate.execution.manifest import Manifest
from zerostate.execution.receipt_check import check_receipt
from zerostate.execution.runner import TaskRun, TaskRunner

Verdict = Literal["confirmed", "contradicted", "undecided"]
"""What a second run says: the same, another thing, or nothing for certain."""

DETERMINISTIC: Final = frozenset(
    {
        OUTCOME_OK,
        "exit_code",
        "trap",
        "out_of_fuel",
        "memory_limit",
        "output_limit",
        "invalid_module",
    }
)
"""Outcomes that depend on module, input and limits alone. Not a deadline and not a lost
worker: those depend on the machine."""

ENGINE_DEPENDENT_TRAPS: Final = frozenset({"stack_overflow"})
"""Traps that depend on how the engine lays out its stack. An interrupt is none: it is how
a module over its output limit is stopped, and beyond its deadline is not compared."""


@dataclass(frozen=True, slots=True)
class RerunVerdict:
    """What came of running a task again."""

    verdict: Verdict
    reasons: tuple[str, ...]
    """Why it is not confirmed, each as ``field: what is wrong``; else empty."""

    run: TaskRun | None
    """How the task ended here; None if it was not run."""


async def verify_by_rerun(
    runner: TaskRunner,
    receipt: bytes,
    *,
    manifest: bytes,
    module: bytes,
    task_input: bytes,
) -> RerunVerdict:
    """Check a receipt as `check_receipt` does, then run its task again and compare.

    Compared are outcome, exit code, trap and output; with the same engine in the same
    configuration, also memory and the fuel that is billed. Another engine can confirm,
    but what it does differently decides nothing. What speaks against the receipt before
    anything is run contradicts it.

    Raises:
        EnvelopeError: `receipt` is not a signed receipt, or its signature is wrong.
        EvidenceError: It is malformed inside, or not signed by its executor.
        ExecutorBusyError: Too many tasks wait. Nothing was run.
        WorkerLostError: No worker could be started.
    """
    check = check_receipt(
        receipt, manifest=manifest, module=module, task_input=task_input
    )
    if check.problems or check.manifest is None:
        return RerunVerdict("contradicted", check.problems, None)
    if reason := _why_undecidable(check.receipt.outcome, check.receipt.trap):
        return RerunVerdict("undecided", (reason,), None)
    run = await runner.run_again(check.manifest, module, task_input)
    return _compared(check.receipt, check.manifest, run)


def _compared(receipt: Receipt, manifest: Manifest, run: TaskRun) -> RerunVerdict:
    if reason := _why_undecidable(run.outcome, run.trap):
        return RerunVerdict("undecided", (f"here, {reason}",), run)
    is_same_engine = _is_same_engine(receipt, manifest)
    differences = tuple(_differences(receipt, run, is_same_engine=is_same_engine))
    if not differences:
        return RerunVerdict("confirmed", (), run)
    if is_same_engine:
        return RerunVerdict("contradicted", differences, run)
    engine = f"engine_version: {receipt.engine_version} there, {engine_version()} here"
    return RerunVerdict("undecided", (engine, *differences), run)


def _why_undecidable(outcome: str, trap: str) -> str:
    if outcome not in DETERMINISTIC:
        return f"outcome: {outcome} depends on the machine"
    if trap in ENGINE_DEPENDENT_TRAPS:
        return f"trap: {trap} depends on the engine"
    return ""


def _is_same_engine(receipt: Receipt, manifest: Manifest) -> bool:
    here = (engine_version(), engine_config_sha256(manifest.limits.stack_bytes))
    return (receipt.engine_version, receipt.engine_config_sha256) == here


def _differences(
    receipt: Receipt, run: TaskRun, *, is_same_engine: bool
) -> Iterator[str]:
    pairs: list[tuple[str, object, object]] = [
        ("outcome", receipt.outcome, run.outcome),
        ("exit_code", receipt.exit_code, run.exit_code),
        ("trap", receipt.trap, run.trap),
        ("output_sha256", receipt.output_sha256, _sha256(run.output)),
    ]
    if is_same_engine:
        memory = run.usage.memory_peak_bytes
        pairs.append(("memory_peak_bytes", receipt.memory_peak_bytes, memory))
        # Billed alike: where the engine does not know it, both say the whole limit.
        pairs.append(("fuel_used", receipt.fuel_used, run.usage.fuel_used))
    for name, there, here in pairs:
        if there != here:
            yield f"{name}: {there} in the receipt, {here} here"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
