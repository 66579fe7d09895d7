"""The phases of one task that involve a worker process."""

from typing import Any, Final, final

import trio

from zerostate import errors
from zerostate.clock import Clock
from zerostate.evidence.receipt import OUTCOME_OK
from zerostate.execution._wasmtime.settings import engine_version
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.manifest import Manifest
from zerostate.execution.tracing import (
    ExecutionTracer,
    record_ending,
    record_usage,
)
from zerostate.execution.usage import Usage, near_limits
from zerostate.execution.worker_process import Reply, WorkerProcess

MEASURE_TIMEOUT_S: Final = 5.0
"""Longest wait for a worker to say what was used: it has at most 1 GiB to free."""

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


@final
class TaskSession:
    """One task on one worker: `run`, then `measure`, once each."""

    def __init__(
        self,
        worker: WorkerProcess,
        manifest: Manifest,
        *,
        config: ExecutionConfig,
        tracer: ExecutionTracer,
        clock: Clock,
    ) -> None:
        self._worker = worker
        self._manifest = manifest
        self._config = config
        self._tracer = tracer
        self._clock = clock
        self._started_ns = clock.monotonic_ns()
        self._cpu_started_ns = worker.cpu_time_ns
        self._wall_time_ns = 0
        self._has_run = False
        self.exit_code = 0
        """The module's exit code; 0 where it did not end by itself."""

    async def run(self, module: bytes, stdin: bytes, seed: bytes) -> bytes:
        """Compile, instantiate and execute; return the output.

        Cancellation: the worker is left in the middle of its work; the pool kills it.

        Raises:
            ExecutionError: The subclass says how the task ended; the span of the phase
                in which it did so has ended with it.
        """
        try:
            await self._compile(module)
            await self._instantiate(stdin, seed)
            return await self._execute()
        finally:
            self._wall_time_ns = self._clock.monotonic_ns() - self._started_ns

    async def measure(self) -> Usage:
        """Return what was used; upper bounds, if the worker is gone.

        Raises:
            WorkerLostError: It was there until now; `upper_bound` still tells.
        """
        with self._tracer.trace_resource_measurement() as span:
            if not self._worker.is_idle:
                usage = self.upper_bound()
            else:
                reply = await self._measured()
                usage = self._usage(
                    fuel_used=reply.fuel_used,
                    memory_peak_bytes=reply.memory_peak_bytes,
                )
            record_usage(span, usage)
            return usage

    def upper_bound(self) -> Usage:
        """Return the most that may have been used."""
        limits = self._manifest.limits
        return self._usage(
            fuel_used=limits.fuel if self._has_run else 0,
            memory_peak_bytes=limits.memory_bytes if self._has_run else 0,
        )

    def _usage(self, *, fuel_used: int, memory_peak_bytes: int) -> Usage:
        return Usage(
            fuel_used=fuel_used,
            memory_peak_bytes=memory_peak_bytes,
            cpu_time_ns=max(0, self._worker.cpu_time_ns - self._cpu_started_ns),
            wall_time_ns=self._wall_time_ns,
        )

    async def _compile(self, module: bytes) -> None:
        timeout_s = self._config.compile_timeout_s
        with self._tracer.trace_wasm_compile(
            module_sha256=self._manifest.module_sha256,
            size_bytes=len(module),
            engine_version=engine_version(),
        ):
            reply = await self._ask(
                "compile",
                {
                    "stack_bytes": self._manifest.limits.stack_bytes,
                    "cpu_s": timeout_s + self._run_timeout_s,
                },
                module,
                timeout_s=timeout_s,
            )
            self._check(reply)

    async def _instantiate(self, stdin: bytes, seed: bytes) -> None:
        manifest = self._manifest
        with self._tracer.trace_wasm_instantiate(
            memory_limit_bytes=manifest.limits.memory_bytes
        ):
            self._has_run = True
            reply = await self._ask(
                "instantiate",
                {
                    "limits": manifest.limits.model_dump(exclude={"stack_bytes"}),
                    "argv": [manifest.name, *manifest.args],
                    "entry_point": manifest.entry_point,
                    "seed": seed.hex(),
                },
                stdin,
                timeout_s=self._run_timeout_s,
            )
            self._check(reply)

    async def _execute(self) -> bytes:
        limits = self._manifest.limits
        with self._tracer.trace_wasm_execute(
            entry_point=self._manifest.entry_point, fuel_limit=limits.fuel
        ) as span:
            started_ns = self._clock.monotonic_ns()
            reply = await self._ask("execute", timeout_s=self._run_timeout_s)
            near = near_limits(
                limits,
                # After a trap the budget is billed, but was hardly used.
                fuel_used=reply.fuel_used if reply.fuel_is_exact else 0,
                memory_bytes=reply.memory_peak_bytes,
                wall_ns=self._clock.monotonic_ns() - started_ns,
                output_bytes=reply.output_bytes,
            )
            self.exit_code = reply.exit_code
            record_ending(
                span,
                exit_code=None if reply.trap else reply.exit_code,
                trap=reply.trap,
                near=near,
            )
            self._check(reply)
            return reply.body

    @property
    def _run_timeout_s(self) -> float:
        return self._manifest.limits.wall_s + self._config.kill_grace_s

    async def _measured(self) -> Reply:
        try:
            return await self._ask("measure", timeout_s=MEASURE_TIMEOUT_S)
        except errors.DeadlineError as exc:
            raise errors.WorkerLostError(str(exc)) from exc

    async def _ask(
        self,
        command: str,
        fields: dict[str, Any] | None = None,
        body: bytes = b"",
        *,
        timeout_s: float,
    ) -> Reply:
        header = {"command": command, **(fields or {})}
        try:
            with trio.fail_after(timeout_s):
                return await self._worker.ask(header, body)
        except trio.TooSlowError as exc:
            await self._worker.kill()
            raise errors.DeadlineError(
                f"{command}: not done after {timeout_s:g} s; the worker was killed"
            ) from exc

    def _check(self, reply: Reply) -> None:
        if reply.outcome == OUTCOME_OK:
            return
        failure = _FAILURES.get(reply.outcome, errors.WorkerLostError)
        raise failure(reply.message[:MAX_MESSAGE_CHARS] or reply.outcome[:80])
