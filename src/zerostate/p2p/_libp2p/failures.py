"""The one table that turns libp2p's exceptions into ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio
from libp2p.exceptions import BaseLibp2pError, MultiError

from zerostate.errors import P2PError

FOREIGN: Final = (
    BaseLibp2pError,
    OSError,  # ConnectionError among them, which the relay code raises
    EOFError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.BusyResourceError,
)
"""What libp2p raises when the network is at fault, as far as was seen or read."""


@contextmanager
def failing_as(make: Callable[[str], P2PError]) -> Iterator[None]:
    """Turn a failure of libp2p, bare or in a group, into ``make(reason)``.

    Whatever is not the network's fault goes through as it is.
    """
    try:
        yield
    except FOREIGN as exc:
        raise make(_reason(exc)) from exc
    except ExceptionGroup as group:
        if group.split(FOREIGN)[1] is not None:
            raise
        raise make(_reason(group.exceptions[0])) from group


def _reason(exc: BaseException) -> str:
    # The outermost says only that something failed.
    while (inner := _inner(exc)) is not None:
        exc = inner
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text[:200]}" if text else type(exc).__name__


def _inner(exc: BaseException) -> BaseException | None:
    if isinstance(exc, MultiError) and exc.errors:
        return exc.errors[0]
    return exc.__cause__
