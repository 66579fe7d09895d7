"""Runners on real worker processes, and orders for them."""

import hashlib
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import wasmtime
from opentelemetry.sdk.trace import SpanProcessor

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.manifest import Limits, Manifest, PriceTerms
from zerostate.execution.runner import TaskOrder, open_runner
from zerostate.execution.tracing import ExecutionTracer
from zerostate.ids import new_guild_id, new_task_id
from zerostate.testing import SpanRecorder

TASKS = Path(__file__).parents[3] / "examples" / "tasks"
EXECUTOR = Identity(bytes(range(32)))
REQUESTER = Identity(bytes(reversed(range(32))))
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TERMS = PriceTerms(base=10, per_gigafuel=5, max_total=1000)


class Workbench:
    """Makes orders, and opens runners that record their spans."""

    def __init__(self):
        self.recorder = SpanRecorder()
        self.executor = EXECUTOR
        self.requester = REQUESTER

    def open(self, **settings):
        return open_runner(
            ExecutionConfig(**settings),
            EXECUTOR,
            tracer=ExecutionTracer(self.recorder.provider),
            clock=SystemClock(),
        )

    def order(self, module, *, stdin=b"", args=(), name="task", **limits):
        """Order an example (by name), a text module, or bytes."""
        if isinstance(module, str) and module.startswith("("):
            module = wasmtime.wat2wasm(module)
        elif isinstance(module, str):
            module = (TASKS / f"{module}.wasm").read_bytes()
        manifest = Manifest(
            name=name,
            version="1",
            module_sha256=hashlib.sha256(module).hexdigest(),
            args=args,
            limits=Limits(**({"fuel": 50_000_000, "wall_s": 20.0} | limits)),
            price=TERMS,
        )
        return TaskOrder(
            task_id=new_task_id(),
            guild_id=new_guild_id(),
            requester=REQUESTER.peer_id,
            manifest=manifest.canonical_bytes(),
            module=module,
            input=stdin,
            trace_id=TRACE_ID,
        )

    def when_ended(self, name):
        """Return an event that is set as soon as a span called `name` ends."""
        event = trio.Event()

        class Signal(SpanProcessor):
            def on_end(self, span):
                if span.name == name:
                    event.set()

        self.recorder.provider.add_span_processor(Signal())
        return event


@pytest.fixture
def bench():
    return Workbench()


@pytest.fixture
async def runner(bench):
    async with bench.open() as opened:
        yield opened


def worker_pids(runner):
    return [worker.pid for worker in runner._pool._workers]


@pytest.fixture(name="worker_pids")
def worker_pids_fixture():
    return worker_pids


def compiler_of(runner):
    (compiler,) = runner._modules._compilers._workers
    return compiler


@pytest.fixture(name="compiler_of")
def compiler_of_fixture():
    return compiler_of


@pytest.fixture
def compiler_pid():
    return lambda runner: compiler_of(runner).pid


@asynccontextmanager
async def never_compiled(runner, *orders):
    """Hold the compiler in the middle of the first of `orders`, for the block."""
    compiler = compiler_of(runner)
    os.kill(compiler.pid, signal.SIGSTOP)
    async with trio.open_nursery() as nursery:
        for order in orders:
            nursery.start_soon(runner.execute, order)
        with trio.fail_after(10):
            while compiler.is_idle:
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.01)
        yield
        nursery.cancel_scope.cancel()


@pytest.fixture
def compiling():
    return never_compiled
