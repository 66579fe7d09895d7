"""What compiles keeps nobody waiting who needs no compiling."""

import time

import pytest
import trio

from zerostate.errors import DeadlineError, ModuleError
from zerostate.execution.module_cache import SUFFIX

LOOP_S = 1.0
"""How long the worker is kept busy."""


async def served(bench, runner):
    """Run a task and return where its module came from."""
    with trio.fail_after(10):
        done = await runner.execute(bench.order("word_count", stdin=b"a"))
    assert done.output == b"0 1 1\n"
    # Of those that are under way, none has ended.
    return bench.recorder.named("execution.wasm.compile").attributes["wasm.code.origin"]


@pytest.mark.parametrize("others", [["sha256"], ["sha256", "trap", "sha256"]])
async def test_what_waits_to_be_compiled_holds_no_worker(
    bench, runner, compiling, others
):
    await runner.execute(bench.order("word_count"))
    bench.recorder.clear()

    async with compiling(runner, *map(bench.order, others)):
        assert await served(bench, runner) == "held"


async def test_a_kept_module_is_loaded_while_another_one_compiles(
    bench, tmp_path, compiling
):
    async with bench.open(cache_dir=tmp_path / "modules") as runner:
        await runner.execute(bench.order("word_count"))
    bench.recorder.clear()

    async with (
        bench.open(cache_dir=tmp_path / "modules") as runner,
        compiling(runner, bench.order("sha256")),
    ):
        assert await served(bench, runner) == "kept"


async def test_a_module_that_only_the_worker_has_is_not_compiled_again(
    bench, compiling
):
    async with bench.open(max_cache_entries=0) as runner:
        await runner.execute(bench.order("word_count"))
        bench.recorder.clear()

        async with compiling(runner, bench.order("sha256")):
            assert await served(bench, runner) == "held"


async def test_a_task_whose_kept_module_is_damaged_gives_its_worker_back(
    bench, tmp_path, compiling
):
    directory = tmp_path / "modules"
    async with bench.open(cache_dir=directory) as runner:
        await runner.execute(bench.order("sha256"))
    (entry,) = directory.glob(f"*{SUFFIX}")
    entry.write_bytes(bytes(1000))

    async with bench.open(cache_dir=directory) as runner:
        await runner.execute(bench.order("word_count"))
        bench.recorder.clear()
        async with compiling(runner, bench.order("sha256")):
            assert runner.cache_counts.refused == 1
            assert await served(bench, runner) == "held"
        assert (await runner.execute(bench.order("sha256"))).output


async def test_what_waits_for_the_compiler_is_compiled_in_turn_and_once(
    bench, runner, compiling
):
    orders = [bench.order("sha256", stdin=bytes([each])) for each in range(3)]
    await runner.execute(bench.order("word_count"))
    bench.recorder.clear()
    ended = []

    async def run(order):
        await runner.execute(order)
        ended.append(order)

    async with trio.open_nursery() as nursery:
        async with compiling(runner, bench.order("trap")):
            for order in orders:
                nursery.start_soon(run, order)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert ended == []

    assert len(ended) == 3
    counted = [
        span.attributes.get("wasm.code.origin")
        for span in bench.recorder.spans
        if span.name == "execution.wasm.compile"
    ]
    assert counted.count("compiled") == 1


async def test_a_module_is_compiled_while_every_worker_is_busy(bench, tmp_path):
    busy = bench.when_ended("execution.wasm.instantiate")
    directory = tmp_path / "modules"
    async with (
        bench.open(cache_dir=directory) as runner,
        trio.open_nursery() as nursery,
    ):
        endless = bench.order("loop", fuel=10**13, wall_s=60.0)
        nursery.start_soon(runner.execute, endless)
        await busy.wait()
        nursery.start_soon(runner.execute, bench.order("sha256"))
        with trio.fail_after(10):
            while len(list(directory.glob(f"*{SUFFIX}"))) < 2:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_the_wait_for_a_worker_after_compiling_is_not_the_tasks_time(
    bench, runner
):
    busy = bench.when_ended("execution.wasm.instantiate")
    done = []

    async def loop():
        with pytest.raises(DeadlineError):
            await runner.execute(bench.order("loop", fuel=10**13, wall_s=LOOP_S))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop)
        await busy.wait()
        started = time.perf_counter()
        done.append(await runner.execute(bench.order("sha256")))
        took_s = time.perf_counter() - started

    assert took_s > LOOP_S / 2
    assert done[0].usage.wall_time_ns / 1e9 < took_s - LOOP_S / 2


async def test_a_task_that_ends_while_it_is_compiled_has_used_no_worker(bench, runner):
    with pytest.raises(ModuleError):
        await runner.execute(bench.order(b"no module"))

    usage = bench.recorder.named("execution.resources.measure").attributes
    assert usage["wasm.fuel.used"] == usage["wasm.memory.peak"] == 0
