"""What an exception says about a span: failed, or only told to stop."""

from typing import Final

from opentelemetry.trace import Span, Status, StatusCode

from zerostate.errors import RemoteError, ZeroStateError
from zerostate.semconv import attributes as attr

MAX_MESSAGE_CHARS: Final = 1024
"""Longest status message and exception message that is kept, in characters."""


def record_error(span: Span, failure: BaseException) -> None:
    """Mark `span` failed with `failure`.

    Args:
        span: The span to mark; if it has ended, nothing happens.
        failure: What went wrong; ``error.type`` becomes its ``code`` (for an error that
            another peer answered with, that peer's code), or its class name when it is
            not one of ours.
    """
    span.record_exception(failure)
    span.set_attribute(attr.ERROR_TYPE, error_type(failure))
    span.set_status(Status(StatusCode.ERROR, message_of(failure)))


def record_ending(span: Span, exc: BaseException) -> None:
    """Say on `span` how the block that `exc` left has ended.

    A failure makes the status ERROR with ``error.type``; being told to stop
    (cancellation, ``KeyboardInterrupt``) sets ``zerostate.cancelled`` and leaves the
    status unset.
    """
    failure = first_failure(exc)
    if failure is None:
        span.set_attribute(attr.CANCELLED, True)
    else:
        record_error(span, failure)


def message_of(failure: BaseException) -> str:
    """Return the message of `failure`, at most `MAX_MESSAGE_CHARS` characters.

    Never raises, though ``str(failure)`` runs the exception's own code.
    """
    try:
        return str(failure)[:MAX_MESSAGE_CHARS]
    except Exception as exc:  # noqa: BLE001  # somebody's __str__ may raise anything
        return f"<{type(failure).__name__}; its str() raised {type(exc).__name__}>"


def error_type(failure: BaseException) -> str:
    """Return the low-cardinality name of `failure`, for ``error.type``."""
    if isinstance(failure, RemoteError):
        return failure.remote_code
    if isinstance(failure, ZeroStateError):
        return failure.code
    return type(failure).__name__


def first_failure(exc: BaseException) -> Exception | None:
    """Return the first real failure in `exc`, depth first.

    Returns:
        The first leaf that is an `Exception`; None if `exc` only asks us to stop
        (`trio.Cancelled`, `KeyboardInterrupt`), alone or in a group.
    """
    if isinstance(exc, BaseExceptionGroup):
        found = (first_failure(inner) for inner in exc.exceptions)
        return next((failure for failure in found if failure is not None), None)
    return exc if isinstance(exc, Exception) else None
