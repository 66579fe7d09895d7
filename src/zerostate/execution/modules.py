"""From a module's bytes to its native code: out of the cache, or compiled now."""

from dataclasses import dataclass
from typing import Final, final

import trio

from zerostate.errors import DeadlineError
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.module_cache import CacheCounts, ModuleCache
from zerostate.execution.pool import WorkerPool
from zerostate.execution.replies import failure_of

CPU_GRACE_S: Final = 1.0
"""CPU time that a compiling process may use beyond its deadline, in seconds, so that the
deadline ends it and not the kernel."""


@dataclass(frozen=True, slots=True)
class NativeCode:
    """A module, compiled."""

    code: bytes
    was_kept: bool
    """Whether another task had it compiled meanwhile."""


@dataclass(slots=True)
class CompileCost:
    """What a module took to compile, also if that failed; 0 where nothing was."""

    cpu_time_ns: int = 0
    busy_ns: int = 0
    """By the compiling process's own clock."""


@final
class ModuleStore:
    """Compiles modules, one at a time, each once.

    The compiling process never runs a module: what a stranger's code could do to the
    process that it runs in can never reach what is kept.

    Args:
        config: For the deadline.
        cache: Where native code is kept.
        compilers: Lends the process that compiles.
    """

    def __init__(
        self, config: ExecutionConfig, cache: ModuleCache, compilers: WorkerPool
    ) -> None:
        self._config = config
        self._cache = cache
        self._compilers = compilers
        self._compiling = trio.Lock()
        self._disk = trio.Lock()

    @property
    def counts(self) -> CacheCounts:
        """What became of what was asked of the cache."""
        return self._cache.counts

    def holds(self, key: str) -> bool:
        """Whether something is kept under `key`; it may still be damaged or gone."""
        return self._cache.holds(key)

    async def kept(self, key: str) -> bytes | None:
        """Return the native code that is kept under `key`, or None.

        Waits for no compilation.
        """
        async with self._disk:
            return await trio.to_thread.run_sync(self._cache.read, key)

    async def compiled(
        self,
        key: str,
        module: bytes,
        *,
        stack_bytes: int,
        traceparent: str,
        cost: CompileCost,
    ) -> NativeCode:
        """Compile `module`, keep it under its cache key `key`, and add to `cost`.

        Waits its turn behind other modules, each within the deadline.

        Cancellation: the compiling process is killed and replaced.

        Raises:
            ModuleError: Not a valid module.
            DeadlineError: It takes too long to compile; the process is replaced.
            WorkerLostError: The compiling process died, perhaps of the module.
        """
        async with self._compiling:
            # Perhaps compiled for another task, while this one waited.
            if self._cache.holds(key) and (kept := await self.kept(key)):
                return NativeCode(kept, was_kept=True)
            code = await self._compile(module, stack_bytes, traceparent, cost)
            async with self._disk:
                await trio.to_thread.run_sync(self._cache.write, key, code)
        return NativeCode(code, was_kept=False)

    async def _compile(
        self, module: bytes, stack_bytes: int, traceparent: str, cost: CompileCost
    ) -> bytes:
        timeout_s = self._config.compile_timeout_s
        header = {
            "command": "compile",
            "stack_bytes": stack_bytes,
            "cpu_s": timeout_s + CPU_GRACE_S,
            "traceparent": traceparent,
        }
        async with self._compilers.worker() as compiler:
            before_ns = compiler.cpu_time_ns
            try:
                with trio.fail_after(timeout_s):
                    reply = await compiler.ask(header, module)
            except trio.TooSlowError as exc:
                await compiler.kill()
                raise DeadlineError(
                    f"compile: not done after {timeout_s:g} s; the compiler was killed"
                ) from exc
            finally:
                cost.cpu_time_ns += max(0, compiler.cpu_time_ns - before_ns)
            cost.busy_ns += reply.busy_ns
            if failure := failure_of(reply):
                raise failure
            return reply.body
