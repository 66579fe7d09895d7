"""Run a task: validate, compile, instantiate, execute, measure, sign."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, final

from zerostate.clock import Clock
from zerostate.errors import ExecutionError, ManifestError, WorkerLostError
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import (
    OUTCOME_OK,
    Receipt,
    receipt_sha256,
    seal_receipt,
)
from zerostate.execution._wasmtime.settings import engine_config_sha256, engine_version
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.manifest import Manifest, load_manifest
from zerostate.execution.pool import WorkerPool
from zerostate.execution.session import TaskSession
from zerostate.execution.tracing import (
    ExecutionTracer,
    record_manifest,
    record_outcome,
    record_receipt,
)
from zerostate.execution.usage import Usage
from zerostate.execution.worker_process import WorkerProcess
from zerostate.ids import GuildId, PeerId, TaskId, TraceIdHex
from zerostate.units import Minor

FREE: Final = Minor(0)
"""Price of a failed task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOrder:
    """One task, as asked for."""

    task_id: TaskId
    guild_id: GuildId
    requester: PeerId

    manifest: bytes
    """As received: the receipt names the hash of these bytes."""

    module: bytes
    """The WebAssembly module; never a compiled artefact, which is native code."""

    input: bytes
    """What the module reads from standard input."""

    trace_id: TraceIdHex
    """The trace that the receipt will name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExecution:
    """A task that ended well."""

    output: bytes
    usage: Usage
    receipt: bytes
    """Sealed; see `zerostate.evidence.receipt`."""

    price: Minor


@dataclass(frozen=True, slots=True)
class _Ended:
    started_unix_ns: int
    ended_unix_ns: int
    output: bytes
    exit_code: int
    usage: Usage
    failure: ExecutionError | None

    @property
    def outcome(self) -> str:
        return OUTCOME_OK if self.failure is None else self.failure.code


@final
class TaskRunner:
    """Runs tasks on a pool of worker processes; see `open_runner`."""

    def __init__(
        self,
        config: ExecutionConfig,
        identity: Identity,
        pool: WorkerPool,
        *,
        tracer: ExecutionTracer,
        clock: Clock,
    ) -> None:
        self._config = config
        self._identity = identity
        self._pool = pool
        self._tracer = tracer
        self._clock = clock

    async def execute(self, order: TaskOrder) -> TaskExecution:
        """Run `order` when a worker is free, and sign for what came of it.

        Opens ``execution.task`` with the six phases as siblings beneath. Of a module
        that did not end well too, the use is measured and a receipt (price 0) is
        signed; the error carries it.

        Cancellation: nothing is signed; the worker is killed and replaced.

        Raises:
            ManifestError: Manifest, module and input do not fit together or this node;
                lists every problem. Nothing was run, there is no receipt.
            ExecutorBusyError: Too many tasks wait. Nothing was run.
            ExecutionError: The subclass says how the task ended.
        """
        with self._tracer.trace_task_execution(
            task_id=order.task_id,
            guild_id=order.guild_id,
            input_bytes=len(order.input),
        ) as span:
            manifest = self._validated(order)
            async with self._pool.worker() as worker:
                ended = await self._run(order, manifest, worker)
            price = self._price(manifest, ended)
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
            manifest = load_manifest(order.manifest)
            if problems := self._misfits(order, manifest):
                raise ManifestError(*problems)
            record_manifest(
                span, name=manifest.name, module_sha256=manifest.module_sha256
            )
            return manifest

    def _misfits(self, order: TaskOrder, manifest: Manifest) -> list[str]:
        problems = [
            f"{name}: {len(data)} bytes; this executor takes at most {limit}"
            for name, data, limit in (
                ("module", order.module, self._config.max_module_bytes),
                ("input", order.input, self._config.max_input_bytes),
            )
            if len(data) > limit
        ]
        if not problems and (found := _sha256(order.module)) != manifest.module_sha256:
            problems.append(f"module_sha256: the module that came has {found}")
        problems.extend(
            f"capabilities: this executor does not offer {wanted!r}"
            for wanted in manifest.capabilities
            if wanted not in self._config.capabilities
        )
        return problems

    async def _run(
        self, order: TaskOrder, manifest: Manifest, worker: WorkerProcess
    ) -> _Ended:
        session = TaskSession(
            worker,
            manifest,
            config=self._config,
            tracer=self._tracer,
            clock=self._clock,
        )
        started_unix_ns = self._clock.wall_ns()
        output = b""
        failure: ExecutionError | None = None
        # From the hashes, so that whoever runs it again gets the same random bytes.
        seed = hashlib.sha256(
            bytes.fromhex(manifest.module_sha256 + _sha256(order.input))
        ).digest()
        try:
            output = await session.run(order.module, order.input, seed)
        except ExecutionError as exc:
            failure = exc
        try:
            usage = await session.measure()
        except WorkerLostError as exc:
            failure, output = failure or exc, b""
            usage = session.upper_bound()
        return _Ended(
            started_unix_ns=started_unix_ns,
            ended_unix_ns=max(started_unix_ns, self._clock.wall_ns()),
            output=output,
            exit_code=session.exit_code,
            usage=usage,
            failure=failure,
        )

    def _price(self, manifest: Manifest, ended: _Ended) -> Minor:
        if ended.failure is not None:
            return FREE
        return manifest.price.price(ended.usage.fuel_used)

    def _signed(
        self, order: TaskOrder, manifest: Manifest, ended: _Ended, price: Minor
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

    Use it in the thread that runs trio for as long as the runner lives: the kernel
    ends a worker with the thread that started it.

    Raises:
        WorkerLostError: A worker did not start.
    """
    pool = WorkerPool(config)
    try:
        await pool.start()
        yield TaskRunner(config, identity, pool, tracer=tracer, clock=clock)
    finally:
        await pool.aclose()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
