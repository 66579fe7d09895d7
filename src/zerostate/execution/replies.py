"""What a worker's answer means."""

from typing import Final

from zerostate import errors
from zerostate.evidence.receipt import OUTCOME_OK
from zerostate.execution.worker_process import Reply

MAX_MESSAGE_CHARS: Final = 500
"""Longest message of a worker that is passed on."""

_FAILURES: Final = {
    failure.code: failure
    for failure in (
        errors.ModuleError,
        errors.TrapError,
        errors.ExitCodeError,
        errors.OutOfFuelError,
        errors.MemoryLimitError,
        errors.DeadlineError,
        errors.OutputLimitError,
    )
}
"""How a worker may say that a module failed."""


def failure_of(reply: Reply) -> errors.ExecutionError | None:
    """Return the error that a worker speaks of; None if it speaks of none.

    An outcome that no worker of ours sends makes the worker a lost one.
    """
    if reply.outcome == OUTCOME_OK:
        return None
    failure = _FAILURES.get(reply.outcome, errors.WorkerLostError)
    return failure(reply.message[:MAX_MESSAGE_CHARS] or reply.outcome[:80])
