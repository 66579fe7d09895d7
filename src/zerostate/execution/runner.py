"""Run a task: validate, compile, instantiate, execute, measure, sign."""

import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final, overload

from zerostate.clock import Clock
from zerostate.errors import ExecutionError, ExecutorBusyError, WorkerLostError
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import (
    OUTCOME_OK,
    Receipt,
    receipt_sha256,
    seal_receipt,
)
from zerostate.execution._wasmtime.settings import engine_config_sha256, engine_version
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.loan import WorkerLoan
from zerostate.execution.manifest import COMMAND, Manifest
from zerostate.execution.module_cache import CacheCounts, ModuleCache, mac_key
from zerostate.execution.modules import ModuleStore
from zerostate.execution.order import TaskExecution, TaskOrder
from zerostate.execution.order_check import check_order
from zerostate.execution.own_task import own_order
from zerostate.execution.pool import WorkerPool
from zerostate.execution.session import TaskSession
from zerostate.execution.tracing import (
    ExecutionSpan,
    ExecutionTracer,
    current_trace_id,
    record_manifest,
    record_outcome,
    record_receipt,
)
from zerostate.execution.usage import Usage
from zerostate.ids import GuildId, TaskId, TraceIdHex
from zerostate.units import Minor

__all__ = ["TaskExecution", "TaskOrder", "TaskRun", "TaskRunner", "open_runner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """How a module ended, well or badly, and what it used."""

    started_unix_ns: int
    ended_unix_ns: int
    output: bytes
    exit_code: int
    trap: str
    usage: Usage
    failure: ExecutionError | None

    @property
    def outcome(self) -> str:
        """``ok``, or the code of the failure."""
        return OUTCOME_OK if self.failure is None else self.failure.code


@final
class TaskRunner:
    """Runs tasks on a pool of worker processes; see `open_runner`."""

    def __init__(
        self,
        config: ExecutionConfig,
        identity: Identity,
        pool: WorkerPool,
        modules: ModuleStore,
        *,
        tracer: ExecutionTracer,
        clock: Clock,
    ) -> None:
        self._config = config
        self._identity = identity
        self._pool = pool
        self._modules = modules
        self._tracer = tracer
        self._clock = clock
        self._under_way = 0

    @property
    def cache_counts(self) -> CacheCounts:
        """What became of what was asked of the module cache."""
        return self._modules.counts

    @property
    def unfiltered(self) -> str:
        """Why workers' system calls are not filtered here; empty if they are."""
        return self._pool.unfiltered

    @overload
    async def execute(self, order: TaskOrder, /) -> TaskExecution: ...

    @overload
    async def execute(
        self,
        task_id: TaskId,
        guild_id: GuildId,
        wasm_bytes: bytes,
        entry: str = COMMAND,
        /,
        *,
        task_input: bytes = b"",
    ) -> TaskExecution: ...

    async def execute(
        self,
        order: TaskOrder | TaskId,
        guild_id: GuildId | None = None,
        wasm_bytes: bytes = b"",
        entry: str = COMMAND,
        /,
        *,
        task_input: bytes = b"",
    ) -> TaskExecution:
        """Run a task when a worker is free, and sign for what came of it.

        A module that this node has compiled before waits for a worker only. Others are
        compiled first, one at a time, and take a worker then.

        In the second form this node asks itself: the manifest is its own, with the
        limits that are the default, and costs nothing.

        Opens ``execution.task`` with the six phases as siblings beneath. Of a module
        that did not end well too, the use is measured and a receipt is signed, at
        the price that the terms give for such a failure; the error carries it.

        Cancellation: nothing is signed; the worker is killed and replaced.

        Raises:
            ManifestError: Manifest, module and input do not fit together or this node;
                lists every problem. Nothing was run, there is no receipt.
            ExecutorBusyError: Too many tasks wait. Nothing was run.
            ExecutionError: The subclass says how the task ended.
            ValueError: `guild_id` is missing.
        """
        if isinstance(order, TaskOrder):
            with self._tracer.trace_task_execution(
                order.task_id, order.guild_id, input_bytes=len(order.input)
            ) as span:
                return await self._execute(order, span)
        if guild_id is None:
            raise ValueError("guild_id: missing")
        with self._tracer.trace_task_execution(
            order, guild_id, input_bytes=len(task_input)
        ) as span:
            own = own_order(
                self._identity,
                order,
                guild_id,
                wasm_bytes,
                entry,
                task_input=task_input,
                trace_id=TraceIdHex(current_trace_id()),
            )
            return await self._execute(own, span)

    async def run_again(
        self, manifest: Manifest, module: bytes, task_input: bytes
    ) -> TaskRun:
        """Run a module as its manifest says, without a receipt and without a price.

        Opens the spans of the phases, in the current one.

        Raises:
            ExecutorBusyError: Too many tasks wait. Nothing was run.
            WorkerLostError: No worker could be started.
        """
        async with self._session(manifest) as session:
            return await self._run(session, manifest, module, task_input)

    async def _execute(self, order: TaskOrder, span: ExecutionSpan) -> TaskExecution:
        manifest = self._validated(order)
        async with self._session(manifest) as session:
            ended = await self._run(session, manifest, order.module, order.input)
        price = manifest.price.price(ended.usage.fuel_used, ended.outcome)
        receipt = self._signed(order, manifest, ended, price)
        record_outcome(
            span,
            outcome=ended.outcome,
            output_sha256=_sha256(ended.output),
            size=len(ended.output),
        )
        if ended.failure is not None:
            ended.failure.receipt = receipt
            raise ended.failure
        return TaskExecution(
            output=ended.output, usage=ended.usage, receipt=receipt, price=price
        )

    def _validated(self, order: TaskOrder) -> Manifest:
        sha256 = _sha256(order.manifest)
        with self._tracer.trace_manifest_validation(manifest_sha256=sha256) as span:
            manifest = check_order(order, self._config)
            record_manifest(
                span, name=manifest.name, module_sha256=manifest.module_sha256
            )
            return manifest

    @asynccontextmanager
    async def _session(self, manifest: Manifest) -> AsyncIterator[TaskSession]:
        with self._admitted():
            async with WorkerLoan(self._pool, self._clock) as loan:
                yield TaskSession(
                    loan,
                    manifest,
                    self._modules,
                    config=self._config,
                    tracer=self._tracer,
                    clock=self._clock,
                )

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._under_way >= self._config.workers + self._config.max_waiting:
            raise ExecutorBusyError(
                f"{self._under_way} tasks run or wait here already; try again later"
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _run(
        self,
        session: TaskSession,
        manifest: Manifest,
        module: bytes,
        task_input: bytes,
    ) -> TaskRun:
        await session.prepare()
        started_unix_ns = self._clock.wall_ns()
        output = b""
        failure: ExecutionError | None = None
        # From the hashes, so that whoever runs it again gets the same random bytes.
        seed = hashlib.sha256(
            bytes.fromhex(manifest.module_sha256 + _sha256(task_input))
        ).digest()
        try:
            output = await session.run(module, task_input, seed)
        except ExecutionError as exc:
            failure = exc
        try:
            usage = await session.measure()
        except WorkerLostError as exc:
            failure, output = failure or exc, b""
            usage = session.upper_bound()
        return TaskRun(
            started_unix_ns=started_unix_ns,
            ended_unix_ns=max(started_unix_ns, self._clock.wall_ns()),
            output=output,
            exit_code=session.exit_code,
            trap=session.trap,
            usage=usage,
            failure=failure,
        )

    def _signed(
        self, order: TaskOrder, manifest: Manifest, ended: TaskRun, price: Minor
    ) -> bytes:
        with self._tracer.trace_receipt_generation(outcome=ended.outcome) as span:
            receipt = Receipt(
                task_id=order.task_id,
                trace_id=order.trace_id,
                guild_id=order.guild_id,
                requester=order.requester,
                executor=self._identity.peer_id,
                manifest_sha256=_sha256(order.manifest),
                module_sha256=manifest.module_sha256,
                input_sha256=_sha256(order.input),
                output_sha256=_sha256(ended.output),
                outcome=ended.outcome,
                exit_code=ended.exit_code,
                fuel_used=ended.usage.fuel_used,
                memory_peak_bytes=ended.usage.memory_peak_bytes,
                cpu_time_ns=ended.usage.cpu_time_ns,
                wall_time_ns=ended.usage.wall_time_ns,
                started_unix_ns=ended.started_unix_ns,
                ended_unix_ns=ended.ended_unix_ns,
                engine_version=engine_version(),
                engine_config_sha256=engine_config_sha256(manifest.limits.stack_bytes),
                price=price,
                trap=ended.trap,
            )
            sealed = seal_receipt(self._identity, receipt)
            record_receipt(span, envelope=sealed, sha256=receipt_sha256(sealed))
            return sealed


@asynccontextmanager
async def open_runner(
    config: ExecutionConfig,
    identity: Identity,
    *,
    tracer: ExecutionTracer,
    clock: Clock,
) -> AsyncIterator[TaskRunner]:
    """Start the workers and give a runner; end them all when the block is left.

    There is one process more than workers: the one that compiles.

    Use it in the thread that runs trio for as long as the runner lives: the kernel
    ends a worker with the thread that started it.

    Raises:
        ConfigError: The cache's directory cannot be used.
        WorkerLostError: A worker did not start.
    """
    with _open_cache(config, identity) as cache:
        pool = WorkerPool(config, role="run", size=config.workers)
        compilers = WorkerPool(config, role="compile", size=1)
        try:
            pool.start()
            compilers.start()
            # The compiler gets ready meanwhile; the first module waits for it.
            await pool.wait_ready()
            modules = ModuleStore(config, cache, compilers)
            yield TaskRunner(
                config, identity, pool, modules, tracer=tracer, clock=clock
            )
        finally:
            await pool.aclose()
            await compilers.aclose()


@contextmanager
def _open_cache(config: ExecutionConfig, identity: Identity) -> Iterator[ModuleCache]:
    with tempfile.TemporaryDirectory(prefix="zerostate-modules-") as temporary:
        yield ModuleCache(
            Path(temporary) if config.cache_dir is None else config.cache_dir,
            key=mac_key(identity),
            max_entries=config.max_cache_entries,
            max_bytes=config.max_cache_bytes,
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
