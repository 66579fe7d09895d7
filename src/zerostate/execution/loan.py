"""The worker that one task has, for as long as there is work for it."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, final

from zerostate.clock import Clock
from zerostate.execution.pool import WorkerPool
from zerostate.execution.worker_process import WorkerProcess


@final
class WorkerLoan:
    """Takes a worker of a pool when it is wanted, and gives it back at the end.

    What it tells of time covers every worker that it ever had.

    Args:
        pool: Lends the workers.
        clock: For the time that is waited.
    """

    def __init__(self, pool: WorkerPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._lending = AsyncExitStack()
        self._worker: WorkerProcess | None = None
        self._cpu_started_ns = 0
        self._cpu_before_ns = 0
        self.waited_ns: int = 0
        """What the waits for a worker took."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.give_back()

    @property
    def worker(self) -> WorkerProcess:
        """The worker that is lent now.

        Raises:
            RuntimeError: There is none.
        """
        if self._worker is None:
            raise RuntimeError("no worker is lent")
        return self._worker

    @property
    def is_lent(self) -> bool:
        """Whether there is a worker, be it alive or lost."""
        return self._worker is not None

    @property
    def cpu_time_ns(self) -> int:
        """CPU time of the workers while they were lent, up to the last reply."""
        return self._cpu_before_ns + self._cpu_now_ns()

    def may_have(self, key: str) -> bool:
        """Whether the pool has a worker that may hold the module `key`."""
        return self._pool.may_have(key)

    async def take(self) -> None:
        """Wait for a worker, unless there is one already.

        Raises:
            WorkerLostError: No worker could be started, or the pool is closed.
        """
        if self._worker is not None:
            return
        started_ns = self._clock.monotonic_ns()
        try:
            worker = await self._lending.enter_async_context(self._pool.worker())
        finally:
            self.waited_ns += self._clock.monotonic_ns() - started_ns
        self._worker, self._cpu_started_ns = worker, worker.cpu_time_ns

    async def give_back(self) -> None:
        """Give the worker back, if there is one; `take` may get another one.

        Cancellation: one that is not idle is killed and replaced all the same.
        """
        self._cpu_before_ns += self._cpu_now_ns()
        self._worker = None
        await self._lending.aclose()

    def _cpu_now_ns(self) -> int:
        if self._worker is None:
            return 0
        return max(0, self._worker.cpu_time_ns - self._cpu_started_ns)
