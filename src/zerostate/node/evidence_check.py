"""Whether a receipt proves the task that it came with."""

import hashlib
from dataclasses import dataclass

from zerostate.errors import EvidenceError
from zerostate.evidence.receipt import Receipt, open_receipt
from zerostate.execution.manifest import Manifest
from zerostate.ids import GuildId, PeerId, TaskId


@dataclass(frozen=True, slots=True)
class ExpectedTask:
    """What the requester knows of its own task, from its own bytes."""

    task_id: TaskId
    trace_id: str
    guild_id: GuildId
    requester: PeerId
    executor: PeerId
    manifest: Manifest
    input: bytes


def check_receipt(
    data: bytes, expected: ExpectedTask, *, outcome: str, output: bytes
) -> Receipt:
    """Verify `data` on its signed bytes against everything that the requester knows.

    Args:
        data: The sealed receipt as received.
        expected: The task.
        outcome: What the executor said beside the receipt.
        output: The output as received.

    Returns:
        The receipt, signed by the executor and bound to task, trace, guild and bytes.

    Raises:
        EvidenceError: With every difference at once.
        EnvelopeError: Not a signed envelope, or a wrong signature.
    """
    receipt = open_receipt(data)
    manifest = expected.manifest
    pairs = {
        "executor": (receipt.executor, expected.executor),
        "requester": (receipt.requester, expected.requester),
        "task_id": (receipt.task_id, expected.task_id),
        "trace_id": (receipt.trace_id, expected.trace_id),
        "guild_id": (receipt.guild_id, expected.guild_id),
        "manifest_sha256": (receipt.manifest_sha256, manifest.sha256()),
        "module_sha256": (receipt.module_sha256, manifest.module_sha256),
        "input_sha256": (receipt.input_sha256, _sha256(expected.input)),
        "output_sha256": (receipt.output_sha256, _sha256(output)),
        "outcome": (receipt.outcome, outcome),
    }
    problems = [
        f"{name} is {claimed!r}, not {known!r}"
        for name, (claimed, known) in pairs.items()
        if claimed != known
    ]
    agreed = manifest.price.price(receipt.fuel_used) if outcome == "ok" else 0
    if receipt.price != agreed:
        problems.append(f"price is {receipt.price}, not {agreed} as the terms have it")
    if problems:
        raise EvidenceError(
            "the receipt does not prove this task: " + "; ".join(problems)
        )
    return receipt


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
