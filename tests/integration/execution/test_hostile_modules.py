"""Modules that mean harm: each ends as it must, and the next task is served."""

import os
import random
import time
from pathlib import Path

import pytest
import trio

from execution_hostile import HOSTILE, TRAPS, slow_to_compile
from zerostate.errors import ExecutionError, ManifestError
from zerostate.evidence.receipt import open_receipt

NEXT_TASK_S = 1.0
"""Longest that a task may wait behind a hostile one, on a machine with time to spare."""

ATTEMPTS = 5
"""How often the wait is measured at most: other work on the machine can only lengthen
it."""


async def ending_of(runner, order):
    try:
        await runner.execute(order)
    except ExecutionError as exc:
        return exc
    return None


async def wait_for_next(bench, runner):
    """Run a modest task and return how long it took, in seconds."""
    order = bench.order("word_count", stdin=b"a b")
    started = time.perf_counter()
    done = await runner.execute(order)
    assert done.output == b"0 2 3\n"
    return time.perf_counter() - started


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_module_ends_as_it_must_and_the_next_task_is_served(
    bench, name
):
    hostile = HOSTILE[name]
    waits_s = []
    async with bench.open(**hostile.settings) as runner:
        await runner.execute(bench.order("word_count"))
        for _ in range(ATTEMPTS):
            failure = await ending_of(
                runner, bench.order(hostile.module, **hostile.limits)
            )
            assert failure.code == hostile.outcome
            waits_s.append(await wait_for_next(bench, runner))
            if waits_s[-1] < NEXT_TASK_S:
                break
    assert min(waits_s) < NEXT_TASK_S
    if isinstance(failure, ManifestError):
        assert failure.receipt is None
    else:
        receipt = open_receipt(failure.receipt)
        assert (receipt.outcome, receipt.price) == (hostile.outcome, 0)


async def test_the_next_task_is_served_while_a_module_compiles(bench, compiler_pid):
    slow = bench.order(slow_to_compile(8_000_000))
    waits_s = []
    async with bench.open() as runner:
        await runner.execute(bench.order("word_count"))
        for _ in range(ATTEMPTS):
            compiler = compiler_pid(runner)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ending_of, runner, slow)
                await working(compiler)
                waits_s.append(await wait_for_next(bench, runner))
                # It has not ended, so it was there all the time.
                assert runner._modules._compiling.locked()
                nursery.cancel_scope.cancel()
            if waits_s[-1] < NEXT_TASK_S:
                break
    assert min(waits_s) < NEXT_TASK_S


async def working(pid):
    """Wait until a process has used some CPU time from now on."""
    before = cpu_ticks(pid)
    with trio.fail_after(10):
        while cpu_ticks(pid) < before + 5:
            await trio.lowlevel.checkpoint()


def cpu_ticks(pid):
    """Return the CPU time of a process, in hundredths of a second (proc(5))."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


@pytest.mark.parametrize("trap", TRAPS)
async def test_each_kind_of_trap_is_named_on_the_span_and_in_the_receipt(
    bench, runner, trap
):
    failure = await ending_of(runner, bench.order(TRAPS[trap]))

    assert failure.code == "trap"
    assert trap.replace("_", " ") in str(failure)
    receipt = open_receipt(failure.receipt)
    assert (receipt.trap, receipt.exit_code) == (trap, 0)
    assert receipt.fuel_used == 50_000_000
    span = bench.recorder.named("execution.wasm.execute")
    assert span.attributes["wasm.trap"] == trap
    assert "process.exit.code" not in span.attributes


FUZZED = 60
"""Modules in `make test`; ten times as many in `make test-slow`."""


@pytest.mark.parametrize(
    "count", [FUZZED, pytest.param(10 * FUZZED, marks=pytest.mark.slow)]
)
async def test_malformed_bytes_cost_a_task_and_no_more(bench, runner, count):
    good = bench.order("word_count").module
    chance = random.Random(20261122)
    outcomes = set()
    for _ in range(count):
        bad = bytearray(good[: chance.randrange(8, len(good))])
        for _ in range(chance.randrange(1, 8)):
            bad[chance.randrange(8, len(bad))] = chance.randrange(256)
        order = bench.order(bytes(bad), fuel=1_000_000, wall_s=1.0)
        failure = await ending_of(runner, order)
        outcomes.add(failure.code if failure else "ok")

    assert "invalid_module" in outcomes
    assert not outcomes & {"worker_lost", "executor_busy", "manifest"}
    assert runner._pool.replaced == 0
    assert await wait_for_next(bench, runner) > 0


ROUND = [
    "infinite loop, by fuel",
    "memory bomb",
    "deep recursion",
    "waiting in a host call",
    "output flood",
    "opening a file",
    "a host function that is not there",
]
LEAK_BYTES = 16 << 20
"""Most that a process may have grown by: a leak of one memory a task would be 64 KiB to
64 MiB each."""


@pytest.mark.parametrize("runs", [100, pytest.param(1000, marks=pytest.mark.slow)])
async def test_nothing_leaks_over_many_hostile_runs(bench, worker_pids, runs):
    async with bench.open() as runner:
        (pid,) = worker_pids(runner)
        # What is loaded and kept once is not a leak.
        for number in range(2 * len(ROUND)):
            await run_one(bench, runner, number)
        before = measured(pid)
        for number in range(runs):
            await run_one(bench, runner, number)
        after = measured(pid)

        assert worker_pids(runner) == [pid]
        assert after["descriptors"] == before["descriptors"]
        assert after["children"] == before["children"]
        assert after["node_bytes"] - before["node_bytes"] < LEAK_BYTES
        assert after["worker_bytes"] - before["worker_bytes"] < LEAK_BYTES
        assert after["mappings"] - before["mappings"] < 20


async def run_one(bench, runner, number):
    hostile = HOSTILE[ROUND[number % len(ROUND)]]
    failure = await ending_of(
        runner, bench.order(hostile.module, **{"fuel": 1_000_000} | hostile.limits)
    )
    assert failure.code in {hostile.outcome, "out_of_fuel"}
    bench.recorder.clear()


async def test_a_node_that_lost_many_workers_has_nothing_left_of_them(bench):
    async with bench.open(compile_timeout_s=1.0) as runner:
        await runner.execute(bench.order("word_count"))
        before = measured(os.getpid())
        for _ in range(3):
            failure = await ending_of(
                runner, bench.order(HOSTILE["slow compile"].module)
            )
            assert failure.code == "deadline"
        # The last one is being started.
        await wait_for_next(bench, runner)
        after = measured(os.getpid())

    assert after["descriptors"] == before["descriptors"]
    assert after["children"] == before["children"]


def measured(pid):
    """Return what this process and its worker `pid` hold."""
    me = Path("/proc/self")
    worker = Path(f"/proc/{pid}")
    children = me / "task" / str(os.getpid()) / "children"
    return {
        "descriptors": len(list((me / "fd").iterdir())),
        "children": len(children.read_text().split()),
        "node_bytes": resident_bytes(me),
        "worker_bytes": resident_bytes(worker),
        "mappings": worker.joinpath("maps").read_text().count("\n"),
    }


def resident_bytes(proc):
    pages = int(proc.joinpath("statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
