"""Whether a receipt proves the task that it came with."""

from dataclasses import dataclass

from zerostate.errors import EvidenceError
from zerostate.evidence.receipt import Receipt
from zerostate.execution.receipt_check import check_receipt as check_against_manifest
from zerostate.ids import GuildId, PeerId, TaskId


@dataclass(frozen=True, slots=True)
class ExpectedTask:
    """What the requester knows of its own task, from its own bytes."""

    task_id: TaskId
    trace_id: str
    guild_id: GuildId
    requester: PeerId
    executor: PeerId
    manifest: bytes
    """Sealed, as the executor was sent it."""
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
    check = check_against_manifest(
        data, manifest=expected.manifest, task_input=expected.input, output=output
    )
    receipt = check.receipt
    pairs = {
        "executor": (receipt.executor, expected.executor),
        "requester": (receipt.requester, expected.requester),
        "task_id": (receipt.task_id, expected.task_id),
        "trace_id": (receipt.trace_id, expected.trace_id),
        "guild_id": (receipt.guild_id, expected.guild_id),
        "outcome": (receipt.outcome, outcome),
    }
    problems = [
        f"{name}: {claimed!r}, not {known!r}"
        for name, (claimed, known) in pairs.items()
        if claimed != known
    ]
    problems += check.problems
    if problems:
        raise EvidenceError(
            "the receipt does not prove this task: " + "; ".join(problems)
        )
    return receipt
