"""Where native code comes from: compiled once, kept on disk, held by the worker."""

import os
import signal

import pytest
import trio

from zerostate.errors import WorkerLostError
from zerostate.execution.frames import encode_frame
from zerostate.execution.module_cache import SUFFIX

COMPILE = "execution.wasm.compile"


def origins(recorder):
    return [
        span.attributes["wasm.code.origin"]
        for span in recorder.spans
        if span.name == COMPILE
    ]


async def kill(pid):
    """Kill the process and wait until it has ended."""
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)


async def test_a_module_is_compiled_once_for_all_tasks_and_workers(bench, worker_pids):
    async with bench.open(workers=1) as runner:
        await runner.execute(bench.order("word_count"))
        await runner.execute(bench.order("word_count"))
        await kill(*worker_pids(runner))
        await runner.execute(bench.order("word_count"))

        assert origins(bench.recorder) == ["compiled", "held", "kept"]
        assert (runner.cache_counts.hits, runner.cache_counts.misses) == (1, 1)


async def test_a_restart_finds_what_was_compiled_before(bench, tmp_path):
    directory = tmp_path / "modules"
    for _ in range(2):
        async with bench.open(cache_dir=directory) as runner:
            done = await runner.execute(bench.order("word_count", stdin=b"a"))
            assert done.output == b"0 1 1\n"

    assert origins(bench.recorder) == ["compiled", "kept"]


async def test_a_damaged_entry_is_compiled_anew(bench, tmp_path):
    directory = tmp_path / "modules"
    async with bench.open(cache_dir=directory) as runner:
        await runner.execute(bench.order("word_count"))
    (entry,) = directory.glob(f"*{SUFFIX}")
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes(data)

    async with bench.open(cache_dir=directory) as runner:
        done = await runner.execute(bench.order("word_count", stdin=b"a"))

        assert done.output == b"0 1 1\n"
        assert runner.cache_counts.refused == 1
    assert origins(bench.recorder) == ["compiled", "compiled"]


async def test_another_stack_is_another_compilation(bench, runner):
    await runner.execute(bench.order("word_count", stack_bytes=1 << 17))
    await runner.execute(bench.order("word_count", stack_bytes=1 << 18))

    assert origins(bench.recorder) == ["compiled", "compiled"]


async def test_two_tasks_that_want_the_same_module_compile_it_once(bench):
    async with bench.open(workers=2) as runner:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(runner.execute, bench.order("sha256"))

    assert sorted(origins(bench.recorder)) == ["compiled", "kept"]


async def test_a_compiling_process_that_dies_is_replaced(bench, runner, compiler_pid):
    await runner.execute(bench.order("word_count"))
    (compiler,) = runner._modules._compilers._workers
    order = bench.order("sha256")
    os.kill(compiler.pid, signal.SIGSTOP)
    failures = []

    async def run():
        try:
            await runner.execute(order)
        except WorkerLostError as exc:
            failures.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        while compiler.is_idle:
            await trio.lowlevel.checkpoint()
        os.kill(compiler.pid, signal.SIGKILL)

    assert "SIGKILL" in str(failures[0])
    assert len((await runner.execute(order)).output) == 64
    assert compiler_pid(runner) != compiler.pid


async def test_what_compiling_took_is_billed_as_cpu_time(bench, runner):
    compiled = await runner.execute(bench.order("sha256"))
    held = await runner.execute(bench.order("sha256"))

    assert compiled.usage.cpu_time_ns > 2 * held.usage.cpu_time_ns > 0


async def test_each_phase_says_what_it_took_inside_the_worker(bench, runner):
    await runner.execute(bench.order("sha256", stdin=bytes(100_000)))

    for phase in ("compile", "instantiate", "execute"):
        span = bench.recorder.named(f"execution.wasm.{phase}")
        busy_ns = span.attributes["worker.busy_time_ns"]
        assert 0 < busy_ns <= span.end_time - span.start_time


async def test_a_worker_that_fails_says_in_which_trace(runner):
    (worker,) = runner._pool._workers

    with pytest.raises(WorkerLostError, match=r"in nonsense, trace 00-of-this-span$"):
        await worker.ask({"command": "nonsense", "traceparent": "00-of-this-span"})


async def test_a_worker_that_answers_what_was_asked_before_is_lost(runner):
    (worker,) = runner._pool._workers
    before = {"command": "measure", "traceparent": "00-of-another-span"}
    await worker._to_worker.send_all(encode_frame(before))

    with pytest.raises(WorkerLostError, match="not asked"):
        await worker.ask({**before, "traceparent": "00-of-this-span"})
