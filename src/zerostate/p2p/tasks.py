"""Background tasks: without somebody else's context, and without wrapping errors."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TypeVarTuple

import trio

_Args = TypeVarTuple("_Args")


def start_clean(
    nursery: trio.Nursery, run: Callable[[*_Args], Awaitable[object]], *args: *_Args
) -> None:
    """Start ``run(*args)`` in `nursery` with an empty context.

    trio copies the starter's context into a new task. A task that outlives the work it
    was started in would carry that work's span for ever, and hand it on to what it
    starts: a stream handler to the span of whoever dialled.
    """
    Context().run(nursery.start_soon, run, *args)


@asynccontextmanager
async def open_background() -> AsyncIterator[trio.Nursery]:
    """Open a nursery for tasks that serve the block and end with it.

    An exception of the block comes out as it is, not in an `ExceptionGroup`: callers
    of a context manager need not know that there is a nursery inside. The failure of a
    single task cancels the block and comes out bare, too.
    """
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except Exception as exc:  # noqa: BLE001  # raised again below, bare
                failure = exc
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None
    if failure is not None:
        raise failure
