"""Events near a limit: the guide's, once each, and only where they are true."""

import pytest

from zerostate.errors import ExecutionError

# Takes 60 of 64 pages; then writes, loops, or ends.
MEMORY = """(module
  (memory (export "memory") 1)
  (func (export "_start") (drop (memory.grow (i32.const 59)))))
"""
WRITES = """(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\52\\00\\00\\00")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""
COUNTS = """(module
  (memory (export "memory") 1)
  (func (export "_start") (local $n i32)
    (local.set $n (i32.const 1000))
    (loop $again
      (br_if $again
        (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
"""


def near(bench):
    """Return the events near a limit, with their shares."""
    span = bench.recorder.named("execution.wasm.execute")
    return [
        (event.name, event.attributes["limit.used_ratio"])
        for event in span.events
        if event.name != "exception"
    ]


async def test_a_modest_task_has_no_event(bench, runner):
    await runner.execute(bench.order("word_count", stdin=b"a b c"))

    assert near(bench) == []


async def test_memory_of_which_most_was_used_is_one_event(bench, runner):
    await runner.execute(bench.order(MEMORY, memory_bytes=64 << 16))

    assert near(bench) == [("high_memory_usage", 60 / 64)]


async def test_output_of_which_most_was_used_is_one_event(bench, runner):
    await runner.execute(bench.order(WRITES, output_bytes=100))

    assert near(bench) == [("approaching_output_limit", 0.82)]


async def test_fuel_of_which_most_was_used_is_one_event(bench, runner):
    used = (await runner.execute(bench.order(COUNTS))).usage.fuel_used
    bench.recorder.clear()

    await runner.execute(bench.order(COUNTS, fuel=used + used // 10))

    ((name, ratio),) = near(bench)
    assert name == "approaching_fuel_limit"
    assert 0.9 < ratio < 0.92


async def test_time_that_runs_short_is_told_while_the_module_runs(bench, runner):
    with pytest.raises(ExecutionError) as caught:
        await runner.execute(bench.order("loop", fuel=10**13, wall_s=0.5))

    assert caught.value.code == "deadline"
    ((name, ratio),) = near(bench)
    assert name == "approaching_timeout"
    assert ratio >= 0.8
    span = bench.recorder.named("execution.wasm.execute")
    event = span.events[0]
    assert span.start_time < event.timestamp < span.end_time


async def test_after_a_trap_no_word_of_the_fuel_that_nobody_knows(bench, runner):
    with pytest.raises(ExecutionError):
        await runner.execute(bench.order("trap", fuel=100))

    assert near(bench) == []
