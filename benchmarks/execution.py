"""What one task costs, phase by phase: sha256 of 1 KiB on a warm worker.

Run: python benchmarks/execution.py (about 5 s). The phases are read off the spans, so
they include the round trip to the worker process.
"""

import hashlib
import statistics
import time
from collections import defaultdict

import trio

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

TASKS = 40
VERIFICATIONS = 500


def make_order(requester: Identity) -> TaskOrder:
    module = sha256_module()
    manifest = Manifest(
        name="sha256",
        version="1",
        module_sha256=hashlib.sha256(module).hexdigest(),
        price=PriceTerms(base=1, per_gigafuel=1, max_total=100),
    )
    return TaskOrder(
        task_id=new_task_id(),
        guild_id=new_guild_id(),
        requester=requester.peer_id,
        manifest=manifest.canonical_bytes(),
        module=module,
        input=bytes(1024),
        trace_id=TraceIdHex("1" * 32),
    )


def show(what: str, durations_us: list[float]) -> None:
    ordered = sorted(durations_us)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    print(f"{what:<30}{statistics.median(ordered):>12,.0f}{p95:>12,.0f}")


async def main() -> None:
    recorder = SpanRecorder()
    order = make_order(Identity.generate())
    print(f"{'microseconds':<30}{'median':>12}{'p95':>12}")
    started = time.perf_counter()
    async with open_runner(
        ExecutionConfig(),
        Identity.generate(),
        tracer=ExecutionTracer(recorder.provider),
        clock=SystemClock(),
    ) as runner:
        show("start of a worker", [(time.perf_counter() - started) * 1e6])
        done = await runner.execute(order)
        recorder.clear()
        for _ in range(TASKS):
            await runner.execute(order)
    durations_us = defaultdict(list)
    for span in recorder.spans:
        durations_us[span.name].append((span.end_time - span.start_time) / 1e3)
    for name, values in reversed(durations_us.items()):
        show(name, values)
    verifications_us = []
    for _ in range(VERIFICATIONS):
        started = time.perf_counter()
        open_receipt(done.receipt)
        verifications_us.append((time.perf_counter() - started) * 1e6)
    show("verify a receipt", verifications_us)
    print(f"receipt {len(done.receipt)} bytes; fuel {done.usage.fuel_used:,}")


if __name__ == "__main__":
    trio.run(main)
