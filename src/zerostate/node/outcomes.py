"""What an executor's answer means for its requester."""

from typing import Final

from zerostate.errors import (
    ERROR_CODES,
    ExecutionError,
    ExecutorBusyError,
    PeerLostError,
    PeerUnreachableError,
    RemoteError,
    RequestTimeoutError,
    TaskDeadlineError,
    WorkerLostError,
    ZeroStateError,
)
from zerostate.node import messages_pb2 as pb
from zerostate.node.history import Ending

_SILENCE: Final = (PeerLostError, PeerUnreachableError, RequestTimeoutError)

_OWN_FAULT: Final = (ExecutorBusyError, WorkerLostError)
"""Failures that an executor signs for although the module is not to blame."""


def failure_of(result: pb.TaskResult) -> ZeroStateError:
    """Return the error of our own tree that the executor named."""
    cls = next(
        (sub for sub in ExecutionError.__subclasses__() if sub.code == result.outcome),
        None,
    )
    if cls is None:
        return RemoteError(known_code(result.outcome), result.message)
    error = cls(result.message)
    error.receipt = result.receipt or None
    return error


def known_code(code: str) -> str:
    """Return `code`, which becomes an attribute's value, if it is one of ours."""
    return code if code in ERROR_CODES else RemoteError.code


def ending_of(failure: ZeroStateError | None, *, is_proved: bool) -> Ending:
    """Return how a task ended that an executor had accepted.

    Args:
        failure: Why it did not end well, None if it did.
        is_proved: Whether a receipt proves what came of it.
    """
    if isinstance(failure, _SILENCE):
        return "lost"
    if isinstance(failure, TaskDeadlineError):
        return "late"
    if not is_proved or isinstance(failure, _OWN_FAULT):
        return "failed"
    return "completed"


def is_silence(failure: ZeroStateError) -> bool:
    """Whether `failure` is that nobody answered, not that somebody declined."""
    return isinstance(failure, _SILENCE)
