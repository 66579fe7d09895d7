"""The guide's example of the execution layer, as it stands there: each span once."""

import hashlib

import pytest

from zerostate.errors import ExecutionError, ManifestError
from zerostate.evidence.receipt import open_receipt
from zerostate.execution.examples import sha256_module
from zerostate.execution.tracing import ExecutionTracer
from zerostate.ids import new_guild_id, new_task_id
from zerostate.telemetry import record_error
from zerostate.testing import assert_trace

WHOLE = """
execution.task
  execution.manifest.validate
  execution.wasm.compile
  execution.wasm.instantiate
  execution.wasm.execute
  execution.resources.measure
  execution.receipt.generate
"""


async def guides_example(bench, runner, wasm_bytes):
    tracer = ExecutionTracer(bench.recorder.provider)
    task_id, guild_id = new_task_id(), new_guild_id()
    with tracer.trace_task_execution(task_id, guild_id) as span:
        try:
            result = await runner.execute(task_id, guild_id, wasm_bytes, "_start")
        except ExecutionError as exc:
            record_error(span, exc)
            return task_id, None
        span.set_attributes(
            {
                "memory_used": result.usage.memory_peak_bytes,
                "duration_ms": result.usage.wall_time_ns // 1_000_000,
            }
        )
    return task_id, result


async def test_the_guides_example_yields_each_span_once(bench, runner):
    task_id, result = await guides_example(bench, runner, sha256_module())

    assert result.output.decode() == hashlib.sha256(b"").hexdigest()
    assert_trace(bench.recorder.spans, WHOLE)
    task = bench.recorder.named("execution.task")
    assert task.attributes["task.id"] == task_id
    assert task.attributes["task.input.size"] == 0
    assert task.attributes["memory_used"] > 0
    receipt = open_receipt(result.receipt)
    assert receipt.trace_id == f"{task.context.trace_id:032x}"
    assert receipt.requester == receipt.executor == bench.executor.peer_id
    assert receipt.price == result.price == 0


async def test_without_a_span_around_it_execute_opens_its_own(bench, runner):
    await runner.execute(new_task_id(), new_guild_id(), sha256_module())

    assert_trace(bench.recorder.spans, WHOLE)


async def test_a_failure_in_the_guides_form_is_recorded_once(bench, runner):
    _, result = await guides_example(bench, runner, b"\0asm\x01\0\0\0")

    assert result is None
    assert_trace(
        bench.recorder.spans,
        """
        execution.task ERROR=invalid_module
          execution.manifest.validate
          execution.wasm.compile
          execution.wasm.instantiate ERROR=invalid_module
          execution.resources.measure
          execution.receipt.generate
        """,
    )
    task = bench.recorder.named("execution.task")
    assert [event.name for event in task.events] == ["exception"]


async def test_a_name_that_is_no_entry_point_is_a_problem_of_the_manifest(
    bench, runner
):
    with pytest.raises(ManifestError, match="entry_point"):
        await runner.execute(new_task_id(), new_guild_id(), sha256_module(), "a b")

    assert_trace(
        bench.recorder.spans,
        """
        execution.task ERROR=manifest
          execution.manifest.validate ERROR=manifest
        """,
    )


async def test_the_receipt_names_no_trace_where_there_is_none(bench):
    bench.recorder.provider = None
    async with bench.open() as runner:
        done = await runner.execute(
            new_task_id(), new_guild_id(), sha256_module(), task_input=b"abc"
        )

    assert open_receipt(done.receipt).trace_id == "0" * 32
    assert done.output.decode() == hashlib.sha256(b"abc").hexdigest()


async def test_the_guides_form_needs_a_guild(runner):
    with pytest.raises(ValueError, match="guild_id"):
        await runner.execute(new_task_id())
