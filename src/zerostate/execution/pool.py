"""A fixed number of worker processes, replaced when they are lost."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, final

import trio

from zerostate.errors import WorkerLostError
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.worker_process import WorkerProcess

_log: Final = logging.getLogger(__name__)


@final
class WorkerPool:
    """Hands out workers, one to a task. `start` before use, `aclose` after.

    How many tasks wait for one is bounded by whoever lets them in.

    Args:
        config: For its waits and bounds.
        role: What they do, ``run`` or ``compile``; see `zerostate.execution.worker`.
        size: How many there are.
    """

    def __init__(self, config: ExecutionConfig, *, role: str, size: int) -> None:
        self._config = config
        self._role = role
        self._size = size
        self._give_back, self._take = trio.open_memory_channel[WorkerProcess | None](
            size
        )
        self._workers: set[WorkerProcess] = set()
        self._is_closed = False
        self.replaced: int = 0
        """Workers that were lost or killed and replaced, since the start."""

    def start(self) -> None:
        """Start all workers, without waiting for them; see `wait_ready`."""
        for _ in range(self._size):
            self._give_back.send_nowait(self._spawn())

    async def wait_ready(self) -> None:
        """Wait until each worker that was started is ready.

        Raises:
            WorkerLostError: One did not start. `aclose` ends the others.
        """
        if len(self._workers) < self._size:
            raise WorkerLostError("no worker process could be started")
        for worker in tuple(self._workers):
            await worker.wait_ready(self._config.start_timeout_s)

    @property
    def unfiltered(self) -> str:
        """Why some worker's system calls are not filtered; empty if all are."""
        return next((one.unfiltered for one in self._workers if one.unfiltered), "")

    def may_have(self, key: str) -> bool:
        """Whether a worker was given the module `key` of late."""
        return any(one.has_loaded(key) for one in self._workers)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[WorkerProcess]:
        """Wait for a worker and lend it.

        A worker that does not come back idle is killed, and another one is started.

        Raises:
            WorkerLostError: No worker could be started, or the pool is closed.
        """
        lent = await self._take.receive()
        try:
            lent = await self._usable(lent)
            yield lent
        finally:
            if lent is None or not lent.is_idle:
                lent = await self._replace(lent)
            self._give_back.send_nowait(lent)

    async def aclose(self) -> None:
        """End every worker process; none is started any more.

        A task under way loses its worker, and whoever waits for one gets none.

        Cancellation: waits to the end all the same, within `REAP_TIMEOUT_S` a worker.
        """
        self._is_closed = True
        while self._workers:
            await self._workers.pop().kill()

    async def _usable(self, worker: WorkerProcess | None) -> WorkerProcess:
        """Return `worker`, or another one if it died while nobody used it."""
        if worker is None or not worker.is_running:
            worker = await self._replace(worker)
        if worker is None:
            raise WorkerLostError(
                "the workers have ended with their runner"
                if self._is_closed
                else "no worker process could be started"
            )
        await worker.wait_ready(self._config.start_timeout_s)
        return worker

    async def _replace(self, worker: WorkerProcess | None) -> WorkerProcess | None:
        if worker is not None:
            await worker.kill()
            self._workers.discard(worker)
        # Asked after the wait above, in which the pool may have been closed.
        if self._is_closed:
            return None
        if worker is not None:
            self.replaced += 1
        return self._spawn()

    def _spawn(self) -> WorkerProcess | None:
        try:
            worker = WorkerProcess.spawn(self._role)
        except OSError:
            _log.warning("no worker process could be started", exc_info=True)
            return None
        self._workers.add(worker)
        return worker
