"""Several things at once, and one error when one of them fails."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def all_or_first_error() -> AsyncIterator[asyncio.TaskGroup]:
    """Give a task group that raises one exception, not a group of them.

    When a task fails the others are cancelled and awaited, and its exception is raised
    as it is: for the person who waits, the first failure is the reason.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures


async def concurrently(work: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Await all of `work` at once, as `all_or_first_error`; results are in order."""
    async with all_or_first_error() as group:
        tasks = [group.create_task(each) for each in work]
    return [task.result() for task in tasks]


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
