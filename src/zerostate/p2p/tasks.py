"""Background tasks: without somebody else's context, and without wrapping errors."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TypeVar, TypeVarTuple

import trio

_Args = TypeVarTuple("_Args")
_Result = TypeVar("_Result")


def start_clean(
    nursery: trio.Nursery, run: Callable[[*_Args], Awaitable[object]], *args: *_Args
) -> None:
    """Start ``run(*args)`` in `nursery` with an empty context.

    trio copies the starter's context into a new task. A task that outlives the work it
    was started in would carry that work's span for ever, and hand it on to what it
    starts: a stream handler to the span of whoever dialled.
    """
    Context().run(nursery.start_soon, run, *args)


async def run_clean(
    run: Callable[[*_Args], Awaitable[_Result]], *args: *_Args
) -> _Result:
    """Return what ``run(*args)`` returns, run in a task with an empty context.

    For calls that start tasks of their own, which outlive the call; see `start_clean`.
    An exception comes out as it is.
    """
    results: list[_Result] = []
    failure: Exception | None = None

    async def call() -> None:
        nonlocal failure
        try:
            results.append(await run(*args))
        except Exception as exc:  # noqa: BLE001  # raised again below, bare
            failure = exc

    async with trio.open_nursery() as nursery:
        start_clean(nursery, call)
    if failure is not None:
        raise failure
    return results[0]


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
