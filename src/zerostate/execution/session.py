"""The phases of one task that involve a worker process."""

from typing import Any, Final, final

import trio

from zerostate import errors
from zerostate.clock import Clock
from zerostate.execution._wasmtime.settings import engine_version
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.loan import WorkerLoan
from zerostate.execution.manifest import Manifest
from zerostate.execution.module_cache import cache_key
from zerostate.execution.modules import CompileCost, ModuleStore
from zerostate.execution.replies import failure_of
from zerostate.execution.tracing import (
    CodeOrigin,
    ExecutionSpan,
    ExecutionTracer,
    current_traceparent,
    record_busy,
    record_code,
    record_ending,
    record_near,
    record_usage,
)
from zerostate.execution.usage import NearLimit, Usage, near_limits, seconds_to_near
from zerostate.execution.worker_process import Reply
from zerostate.units import NS_PER_S

MEASURE_TIMEOUT_S: Final = 5.0
"""Longest wait for a worker to say what was used: it has at most 1 GiB to free."""

LOAD_TIMEOUT_S: Final = 10.0
"""Longest wait for a worker to take native code: at most 64 MiB, about 0.2 s."""


@final
class TaskSession:
    """One task on one worker: `prepare`, `run`, then `measure`, once each.

    A module that has to be compiled is so before there is a worker: meanwhile the worker
    serves others.
    """

    def __init__(
        self,
        loan: WorkerLoan,
        manifest: Manifest,
        modules: ModuleStore,
        *,
        config: ExecutionConfig,
        tracer: ExecutionTracer,
        clock: Clock,
    ) -> None:
        self._loan = loan
        self._manifest = manifest
        self._modules = modules
        self._config = config
        self._tracer = tracer
        self._clock = clock
        self._run_started_ns = 0
        self._compile_cost = CompileCost()
        self._wall_time_ns = 0
        self._input_bytes = 0
        self._has_run = False
        self.exit_code = 0
        """The module's exit code; 0 where it did not end by itself."""

        self.trap = ""
        """Why the module trapped; empty where it did not, or nobody knows."""

    async def prepare(self) -> None:
        """Wait for a worker, if the module needs no compiling as far as is known.

        Raises:
            WorkerLostError: No worker could be started.
        """
        if self._modules.holds(self._key) or self._loan.may_have(self._key):
            await self._loan.take()

    async def run(self, module: bytes, stdin: bytes, seed: bytes) -> bytes:
        """Compile, instantiate and execute; return the output.

        Cancellation: the worker is left in the middle of its work; the pool kills it.

        Raises:
            ExecutionError: The subclass says how the task ended; the span of the phase
                in which it did so has ended with it.
        """
        self._input_bytes = len(stdin)
        started_ns, waited_ns = self._clock.monotonic_ns(), self._loan.waited_ns
        try:
            await self._compile(module)
            await self._instantiate(stdin, seed)
            return await self._execute()
        finally:
            waited_ns = self._loan.waited_ns - waited_ns
            self._wall_time_ns = self._clock.monotonic_ns() - started_ns - waited_ns

    async def measure(self) -> Usage:
        """Return what was used; upper bounds, if the worker is gone.

        Raises:
            WorkerLostError: It was there until now; `upper_bound` still tells.
        """
        with self._tracer.trace_resource_measurement() as span:
            if not (self._loan.is_lent and self._loan.worker.is_idle):
                usage = self.upper_bound()
            else:
                reply = await self._ask_ours("measure", timeout_s=MEASURE_TIMEOUT_S)
                usage = self._usage(
                    fuel_used=reply.fuel_used,
                    memory_peak_bytes=reply.memory_peak_bytes,
                    output_bytes=reply.output_bytes,
                )
            record_usage(span, usage)
            return usage

    def upper_bound(self) -> Usage:
        """Return the most that may have been used."""
        limits = self._manifest.limits
        return self._usage(
            fuel_used=limits.fuel if self._has_run else 0,
            memory_peak_bytes=limits.memory_bytes if self._has_run else 0,
            output_bytes=limits.output_bytes if self._has_run else 0,
        )

    def _usage(
        self, *, fuel_used: int, memory_peak_bytes: int, output_bytes: int
    ) -> Usage:
        return Usage(
            fuel_used=fuel_used,
            memory_peak_bytes=memory_peak_bytes,
            cpu_time_ns=self._loan.cpu_time_ns + self._compile_cost.cpu_time_ns,
            wall_time_ns=self._wall_time_ns,
            input_bytes=self._input_bytes,
            output_bytes=output_bytes,
        )

    async def _compile(self, module: bytes) -> None:
        with self._tracer.trace_wasm_compile(
            module_sha256=self._manifest.module_sha256,
            size_bytes=len(module),
            engine_version=engine_version(),
        ) as span:
            origin: CodeOrigin = "held"
            reply = await self._load(b"") if self._loan.is_lent else None
            if reply is None or not reply.is_loaded:
                origin, code = await self._native_code(module)
                await self._loan.take()
                reply = await self._load(code)
            record_code(span, origin)
            record_busy(span, self._compile_cost.busy_ns + reply.busy_ns)

    async def _native_code(self, module: bytes) -> tuple[CodeOrigin, bytes]:
        if kept := await self._modules.kept(self._key):
            return "kept", kept
        # Nobody is to wait for a worker that waits for its module.
        await self._loan.give_back()
        native = await self._modules.compiled(
            self._key,
            module,
            stack_bytes=self._manifest.limits.stack_bytes,
            traceparent=current_traceparent(),
            cost=self._compile_cost,
        )
        return "kept" if native.was_kept else "compiled", native.code

    @property
    def _key(self) -> str:
        limits = self._manifest.limits
        return cache_key(self._manifest.module_sha256, limits.stack_bytes)

    async def _load(self, code: bytes) -> Reply:
        fields = {
            "key": self._key,
            "stack_bytes": self._manifest.limits.stack_bytes,
            "cpu_s": LOAD_TIMEOUT_S + self._run_timeout_s,
        }
        reply = await self._ask_ours("load", fields, code, timeout_s=LOAD_TIMEOUT_S)
        _check(reply)
        if reply.is_loaded:
            self._loan.worker.note_loaded(self._key)
        return reply

    async def _instantiate(self, stdin: bytes, seed: bytes) -> None:
        manifest = self._manifest
        with self._tracer.trace_wasm_instantiate(
            memory_limit_bytes=manifest.limits.memory_bytes
        ) as span:
            self._has_run = True
            self._run_started_ns = self._clock.monotonic_ns()
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
            record_busy(span, reply.busy_ns)
            self._ended_as(reply)
            _check(reply)

    async def _execute(self) -> bytes:
        limits = self._manifest.limits
        with self._tracer.trace_wasm_execute(
            entry_point=self._manifest.entry_point, fuel_limit=limits.fuel
        ) as span:
            reply = await self._run_watched(span)
            record_busy(span, reply.busy_ns)
            self._ended_as(reply)
            record_ending(
                span,
                exit_code=None if reply.trap else reply.exit_code,
                trap=reply.trap,
            )
            for near in near_limits(
                limits,
                # After a trap the budget is billed, but was hardly used.
                fuel_used=reply.fuel_used if reply.fuel_is_exact else 0,
                memory_bytes=reply.memory_peak_bytes,
                output_bytes=reply.output_bytes,
            ):
                record_near(span, near)
            _check(reply)
            return reply.body

    async def _run_watched(self, span: ExecutionSpan) -> Reply:
        """Return the reply to ``execute``; say on the way that time runs short."""
        reply: Reply | None = None
        failure: errors.ExecutionError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_of_time, span)
            # Kept out of the nursery, which would put it into a group.
            try:
                reply = await self._ask("execute", timeout_s=self._run_timeout_s)
            except errors.ExecutionError as exc:
                failure = exc
            nursery.cancel_scope.cancel()
        if reply is None:
            raise failure or errors.WorkerLostError("execute: no reply")
        return reply

    async def _tell_of_time(self, span: ExecutionSpan) -> None:
        limits = self._manifest.limits
        used_ns = self._clock.monotonic_ns() - self._run_started_ns
        await trio.sleep(seconds_to_near(limits, wall_ns=used_ns))
        used_ns = self._clock.monotonic_ns() - self._run_started_ns
        record_near(span, NearLimit("wall", used_ns / NS_PER_S / limits.wall_s))

    @property
    def _run_timeout_s(self) -> float:
        return self._manifest.limits.wall_s + self._config.kill_grace_s

    async def _ask_ours(
        self,
        command: str,
        fields: dict[str, Any] | None = None,
        body: bytes = b"",
        *,
        timeout_s: float,
    ) -> Reply:
        """Ask what takes no module's code, so that being late is the worker's fault."""
        try:
            return await self._ask(command, fields, body, timeout_s=timeout_s)
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
        header = {
            "command": command,
            "traceparent": current_traceparent(),
            **(fields or {}),
        }
        try:
            with trio.fail_after(timeout_s):
                return await self._loan.worker.ask(header, body)
        except trio.TooSlowError as exc:
            await self._loan.worker.kill()
            raise errors.DeadlineError(
                f"{command}: not done after {timeout_s:g} s; the worker was killed"
            ) from exc

    def _ended_as(self, reply: Reply) -> None:
        self.exit_code = reply.exit_code
        self.trap = reply.trap


def _check(reply: Reply) -> None:
    if failure := failure_of(reply):
        raise failure
