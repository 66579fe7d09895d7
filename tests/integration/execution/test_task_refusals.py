"""Orders that are refused before anything is run, and the order of concurrent ones."""

import dataclasses
import json

import pytest
import trio

from zerostate.errors import ExecutorBusyError, ManifestError
from zerostate.semconv import spans
from zerostate.telemetry import LayerTracer
from zerostate.testing import assert_trace


async def problems_of(runner, order):
    with pytest.raises(ManifestError) as caught:
        await runner.execute(order)
    assert caught.value.receipt is None
    return caught.value.problems


async def test_another_module_than_the_manifest_names_is_refused(bench, runner):
    order = dataclasses.replace(bench.order("trap"), module=b"\0asm\x01\0\0\0")

    (problem,) = await problems_of(runner, order)

    assert problem.startswith("module_sha256: the module that came has ")
    assert_trace(
        bench.recorder.spans,
        """
        execution.task ERROR=manifest
          execution.manifest.validate ERROR=manifest
        """,
    )


async def test_all_that_does_not_fit_this_executor_is_named_at_once(bench):
    order = bench.order("sha256", stdin=b"12345", wall_s=5.5, memory_bytes=65537)
    manifest = json.loads(order.manifest) | {"capabilities": ["wasm", "gpu"]}
    order = dataclasses.replace(order, manifest=json.dumps(manifest).encode())

    async with bench.open(
        max_module_bytes=100,
        max_input_bytes=4,
        max_task_wall_s=5.0,
        max_task_memory_bytes=65536,
    ) as runner:
        problems = await problems_of(runner, order)

    assert problems == (
        f"module: {len(order.module)} bytes; this executor takes at most 100",
        "input: 5 bytes; this executor takes at most 4",
        "limits.wall_s: 5.5; this executor allows at most 5.0",
        "limits.memory_bytes: 65537; this executor allows at most 65536",
        "capabilities: this executor does not offer 'gpu'",
    )


async def test_one_task_too_many_is_refused_while_the_others_wait(bench):
    endless = bench.order("loop", fuel=10**13, wall_s=60.0)
    running = bench.when_ended("execution.wasm.instantiate")

    async with bench.open(max_waiting=0) as runner:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner.execute, endless)
            await running.wait()
            with pytest.raises(ExecutorBusyError, match="try again"):
                await runner.execute(bench.order("sha256"))
            nursery.cancel_scope.cancel()


async def test_a_task_that_is_compiled_counts_as_one_that_waits(bench, compiling):
    async with bench.open(max_waiting=0) as runner:
        await runner.execute(bench.order("word_count"))
        async with compiling(runner, bench.order("sha256")):
            with pytest.raises(ExecutorBusyError, match="try again"):
                await runner.execute(bench.order("word_count"))
        done = await runner.execute(bench.order("word_count", stdin=b"a"))

    assert done.output == b"0 1 1\n"


async def test_tasks_run_at_once_each_in_its_own_trace(bench):
    tracer = LayerTracer("test", bench.recorder.provider)

    async def run(runner, word):
        with tracer.span(spans.GUILD_RECEIVE_MESSAGE, {"word": word}):
            order = bench.order("word_count", stdin=word.encode(), name=word)
            await runner.execute(order)

    async with bench.open(workers=2) as runner:
        async with trio.open_nursery() as nursery:
            for word in ("a", "b", "c"):
                nursery.start_soon(run, runner, word)

    recorded = bench.recorder.spans
    assert len({span.context.trace_id for span in recorded}) == 3
    for root in (span for span in recorded if span.parent is None):
        mine = [s for s in recorded if s.context.trace_id == root.context.trace_id]
        names = {s.attributes.get("manifest.name") for s in mine} - {None}
        assert names == {root.attributes["word"]}
        assert_trace(
            mine,
            """
            guild.receive_message
              execution.task
                execution.manifest.validate
                execution.wasm.compile
                execution.wasm.instantiate
                execution.wasm.execute
                execution.resources.measure
                execution.receipt.generate
            """,
        )
