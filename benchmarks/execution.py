"""What running a task costs, beside the WebAssembly engine alone.

Run: python benchmarks/execution.py (about 30 s). Overhead and phases are of sha256 over
1 KiB on a warm worker; phases are read off the spans, so they include the round trip to
the worker process. Other work on the machine lengthens everything: read medians.
"""

import hashlib
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import trio
import wasmtime

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import open_receipt
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.examples import sha256_module
from zerostate.execution.manifest import Manifest, PriceTerms
from zerostate.execution.runner import TaskOrder, open_runner
from zerostate.execution.tracing import ExecutionTracer
from zerostate.ids import TraceIdHex, new_guild_id, new_task_id
from zerostate.testing import SpanRecorder

TASKS = 60
VERIFICATIONS = 500
RATE_SECONDS = 2.0
WORKERS = (1, 2, 4)
COMPILATIONS = 3
BAR_CHARS = 36
INPUT = bytes(1024)
EXECUTOR = Identity.generate()
REQUESTER = Identity.generate()
JAVASCRIPT = (
    Path(__file__).parent.parent / "examples" / "tasks" / "javascript.wasm"
).read_bytes()


def make_order(module: bytes, task_input: bytes = INPUT) -> TaskOrder:
    manifest = Manifest(
        name="bench",
        version="1",
        module_sha256=hashlib.sha256(module).hexdigest(),
        price=PriceTerms(base=1, per_gigafuel=1, max_total=100),
    )
    return TaskOrder(
        task_id=new_task_id(),
        guild_id=new_guild_id(),
        requester=REQUESTER.peer_id,
        manifest=manifest.canonical_bytes(),
        module=module,
        input=task_input,
        trace_id=TraceIdHex("1" * 32),
    )


def opened(provider=None, **settings):
    return open_runner(
        ExecutionConfig(**settings),
        EXECUTOR,
        tracer=ExecutionTracer(provider),
        clock=SystemClock(),
    )


def head(what: str) -> None:
    print(f"\n{what}")


def bars(values: dict[str, float], unit: str) -> None:
    """Print a bar for each value, the largest at full length."""
    largest = max(values.values())
    for name, value in values.items():
        bar = "#" * max(1, round(BAR_CHARS * value / largest))
        print(f"  {name:<34}{value:>12,.0f} {unit:<8}{bar}")


def median_us(durations_ns: list[int]) -> float:
    return statistics.median(durations_ns) / 1e3


def bare_wasmtime() -> list[int]:
    """Time the same task on the engine alone: module ready, stock WASI, no process."""
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    module = wasmtime.Module(engine, sha256_module())
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    durations_ns = []
    with tempfile.TemporaryDirectory() as directory:
        given, taken = Path(directory) / "input", Path(directory) / "output"
        given.write_bytes(INPUT)
        for _ in range(TASKS):
            started_ns = time.perf_counter_ns()
            store = wasmtime.Store(engine)
            store.set_fuel(10**10)
            wasi = wasmtime.WasiConfig()
            wasi.stdin_file = str(given)
            wasi.stdout_file = str(taken)
            store.set_wasi(wasi)
            instance = linker.instantiate(store, module)
            instance.exports(store)["_start"](store)
            store.close()
            durations_ns.append(time.perf_counter_ns() - started_ns)
        assert taken.read_text() == hashlib.sha256(INPUT).hexdigest()
    return durations_ns


async def timed(runner, order: TaskOrder, count: int) -> list[int]:
    durations_ns = []
    for _ in range(count):
        started_ns = time.perf_counter_ns()
        await runner.execute(order)
        durations_ns.append(time.perf_counter_ns() - started_ns)
    return durations_ns


async def overhead() -> bytes:
    """Print a warm task beside bare wasmtime; return a receipt."""
    order = make_order(sha256_module())
    async with opened() as runner:
        done = await runner.execute(order)
        plain_ns = await timed(runner, order, TASKS)
    recorder = SpanRecorder()
    async with opened(recorder.provider) as runner:
        await runner.execute(order)
        recorder.clear()
        traced_ns = await timed(runner, order, TASKS)
    bare_ns = bare_wasmtime()
    bare_us = median_us(bare_ns)
    head("A warm task, sha256 of 1 KiB (median)")
    bars(
        {
            "bare wasmtime, this process": bare_us,
            "task with receipt": median_us(plain_ns),
            "task with receipt and spans": median_us(traced_ns),
        },
        "us",
    )
    best_us = (min(plain_ns) - min(bare_ns)) / 1e3
    print(
        f"  overhead of a task: {median_us(plain_ns) - bare_us:,.0f} us in the median,"
        f" {best_us:,.0f} us of the best of {TASKS} each"
    )
    durations_us = defaultdict(list)
    for span in recorder.spans:
        durations_us[span.name].append((span.end_time - span.start_time) / 1e3)
    head("Its phases (median)")
    bars(
        {name: statistics.median(of) for name, of in reversed(durations_us.items())},
        "us",
    )
    return done.receipt


async def rates() -> None:
    head(f"Tasks a second, {os.cpu_count()} cores")
    order = make_order(sha256_module())
    found = {}
    for workers in WORKERS:
        async with opened(workers=workers) as runner:
            await runner.execute(order)
            found[f"with {workers} at work"] = await rate(runner, order, workers)
    bars(found, "/s")


async def rate(runner, order: TaskOrder, workers: int) -> float:
    done = 0

    async def keep_busy() -> None:
        nonlocal done
        while True:
            await runner.execute(order)
            done += 1

    started = time.perf_counter()
    with trio.move_on_after(RATE_SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(workers):
                nursery.start_soon(keep_busy)
    return done / (time.perf_counter() - started)


async def compile_cache() -> None:
    recorder = SpanRecorder()
    order = make_order(JAVASCRIPT, b"print(1)")
    for _ in range(COMPILATIONS):
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory) / "modules"
            for _ in range(2):
                async with opened(recorder.provider, cache_dir=place) as runner:
                    await runner.execute(order)
                    await runner.execute(order)
    durations_us = defaultdict(list)
    for span in recorder.spans:
        if span.name == "execution.wasm.compile":
            origin = span.attributes["wasm.code.origin"]
            durations_us[origin].append((span.end_time - span.start_time) / 1e3)
    head(
        f"execution.wasm.compile of {len(JAVASCRIPT) >> 10} KiB (best of {COMPILATIONS})"
    )
    labels = {
        "compiled": "miss: compiled",
        "kept": "hit: from disk, MAC checked",
        "held": "hit: held by the worker",
    }
    bars({label: min(durations_us[one]) for one, label in labels.items()}, "us")


async def start() -> None:
    started = time.perf_counter()
    async with opened():
        taken_us = (time.perf_counter() - started) * 1e6
    head("Once")
    bars({"start of a runner, one worker": taken_us}, "us")


def verification(receipt: bytes) -> None:
    durations_ns = []
    for _ in range(VERIFICATIONS):
        started_ns = time.perf_counter_ns()
        open_receipt(receipt)
        durations_ns.append(time.perf_counter_ns() - started_ns)
    bars({"verify a receipt": median_us(durations_ns)}, "us")
    print(f"  {len(receipt)} bytes; fuel {open_receipt(receipt).fuel_used:,}")


async def main() -> None:
    receipt = await overhead()
    await rates()
    await compile_cache()
    await start()
    verification(receipt)


if __name__ == "__main__":
    trio.run(main)
