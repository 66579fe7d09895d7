"""Workers that die, hang or are not wanted any more: nobody waits, nothing is left."""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from zerostate.errors import DeadlineError, ExecutionError, WorkerLostError
from zerostate.evidence.receipt import open_receipt
from zerostate.testing import assert_trace

SLOW_S = 60.0


def has_ended(pid):
    """Whether no process, not even a zombie, has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def ended(pid):
    """Wait until the process has ended; it may still be a zombie."""
    pidfd = os.pidfd_open(pid)
    try:
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)


async def in_the_middle(bench, runner, act, **limits):
    """Run an endless task, `act` while it runs, and return how it failed."""
    running = bench.when_ended("execution.wasm.instantiate")
    failures = []

    async def run():
        order = bench.order("loop", fuel=10**13, **({"wall_s": SLOW_S} | limits))
        try:
            await runner.execute(order)
        except ExecutionError as exc:
            failures.append(exc)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await running.wait()
            act()
    return failures[0]


async def test_a_worker_killed_in_the_middle_is_lost_and_the_next_task_works(
    bench, runner, worker_pids
):
    (pid,) = worker_pids(runner)

    failure = await in_the_middle(bench, runner, lambda: os.kill(pid, signal.SIGKILL))

    assert isinstance(failure, WorkerLostError)
    assert failure.retryable
    assert "SIGKILL" in str(failure)
    receipt = open_receipt(failure.receipt)
    assert (receipt.outcome, receipt.price) == ("worker_lost", 0)
    assert receipt.fuel_used == 10**13
    assert receipt.cpu_time_ns > 0
    assert_trace(
        bench.recorder.spans,
        """
        execution.task ERROR=worker_lost
          execution.manifest.validate
          execution.wasm.compile
          execution.wasm.instantiate
          execution.wasm.execute ERROR=worker_lost
          execution.resources.measure
          execution.receipt.generate
        """,
    )
    assert has_ended(pid)
    assert (await runner.execute(bench.order("word_count"))).output == b"0 0 0\n"


async def test_a_worker_that_does_not_answer_is_killed_after_the_deadline(
    bench, worker_pids
):
    async with bench.open(kill_grace_s=0.1) as runner:
        (pid,) = worker_pids(runner)

        failure = await in_the_middle(
            bench, runner, lambda: os.kill(pid, signal.SIGSTOP), wall_s=0.5
        )

        assert isinstance(failure, DeadlineError)
        assert "killed" in str(failure)
        assert open_receipt(failure.receipt).outcome == "deadline"
        assert has_ended(pid)


async def test_compiling_has_a_deadline_of_its_own(bench, worker_pids, compiler_pid):
    async with bench.open(compile_timeout_s=1.0) as runner:
        await runner.execute(bench.order("word_count"))
        bench.recorder.clear()
        (worker,) = worker_pids(runner)
        compiler = compiler_pid(runner)
        os.kill(compiler, signal.SIGSTOP)

        with pytest.raises(DeadlineError, match=r"compile: not done after 1 s"):
            await runner.execute(bench.order("trap"))

        assert has_ended(compiler)
        assert compiler_pid(runner) != compiler
        assert worker_pids(runner) == [worker]
    assert_trace(
        bench.recorder.spans,
        """
        execution.task ERROR=deadline
          execution.manifest.validate
          execution.wasm.compile ERROR=deadline
          execution.resources.measure
          execution.receipt.generate
        """,
    )


async def test_a_worker_that_died_idle_costs_no_task(bench, runner, worker_pids):
    (pid,) = worker_pids(runner)
    os.kill(pid, signal.SIGKILL)
    await ended(pid)

    done = await runner.execute(bench.order("word_count"))

    assert done.output == b"0 0 0\n"
    assert worker_pids(runner) != [pid]


async def test_a_cancelled_task_ends_its_worker_and_is_no_error(
    bench, runner, worker_pids
):
    (pid,) = worker_pids(runner)
    running = bench.when_ended("execution.wasm.instantiate")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            runner.execute, bench.order("loop", fuel=10**13, wall_s=SLOW_S)
        )
        await running.wait()
        nursery.cancel_scope.cancel()

    assert has_ended(pid)
    task = bench.recorder.named("execution.task")
    assert task.status.is_unset
    assert task.attributes["zerostate.cancelled"] is True
    assert (await runner.execute(bench.order("word_count"))).output == b"0 0 0\n"


async def test_no_worker_outlives_its_runner(bench, worker_pids):
    async with bench.open(workers=3) as runner:
        pids = worker_pids(runner)
        assert len(pids) == 3

    assert all(has_ended(pid) for pid in pids)


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_task_that_outlives_its_runner_starts_no_other_worker(
    bench, worker_pids, is_cancelled
):
    running = bench.when_ended("execution.wasm.instantiate")
    failures = []

    async def run(runner):
        try:
            await runner.execute(bench.order("loop", fuel=10**13, wall_s=SLOW_S))
        except ExecutionError as exc:
            failures.append(exc.code)

    async with trio.open_nursery() as nursery:
        async with bench.open() as runner:
            (pid,) = worker_pids(runner)
            nursery.start_soon(run, runner)
            await running.wait()
            if is_cancelled:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
        ended_with_its_runner = has_ended(pid)

    assert ended_with_its_runner
    assert failures == ([] if is_cancelled else ["worker_lost"])
    assert worker_pids(runner) == []
    assert runner._pool.replaced == 0


@pytest.mark.parametrize("is_compiled", [True, False])
async def test_a_task_that_waits_when_its_runner_closes_is_given_no_worker(
    bench, worker_pids, compiler_of, is_compiled
):
    running = bench.when_ended("execution.wasm.instantiate")
    failures = {}

    async def run(runner, module):
        try:
            await runner.execute(bench.order(module, fuel=10**13, wall_s=SLOW_S))
        except WorkerLostError as exc:
            failures[module] = str(exc)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            async with bench.open() as runner:
                if is_compiled:
                    await runner.execute(bench.order("word_count"))
                    running = bench.when_ended("execution.wasm.instantiate")
                nursery.start_soon(run, runner, "loop")
                await running.wait()
                compiler = compiler_of(runner)
                os.kill(compiler.pid, signal.SIGSTOP)
                nursery.start_soon(run, runner, "word_count")
                # That all tasks are blocked does not say that it has got there.
                while compiler.is_idle and not is_compiled:
                    await trio.lowlevel.checkpoint()
                await trio.testing.wait_all_tasks_blocked()

    assert failures.keys() == {"loop", "word_count"}
    said = "the workers have ended with their runner" if is_compiled else "SIGKILL"
    assert said in failures["word_count"]
    assert worker_pids(runner) == []


PARENT = """
import os, sys, trio
from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.runner import open_runner
from zerostate.execution.tracing import ExecutionTracer

async def main():
    runner = open_runner(
        ExecutionConfig(), Identity.generate(),
        tracer=ExecutionTracer(), clock=SystemClock(),
    )
    async with runner as opened:
        print(*(worker.pid for worker in opened._pool._workers), flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.parametrize("is_stopped", [False, True])
def test_no_worker_outlives_a_node_that_was_killed(is_stopped):
    node = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    with node:
        pid = int(node.stdout.readline())
        pidfd = os.pidfd_open(pid)
        try:
            if is_stopped:
                # Like one in the middle of a module, it does not see its pipe close.
                os.kill(pid, signal.SIGSTOP)
            node.kill()
            readable, _, _ = select.select([pidfd], [], [], 5)
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)

    assert readable


async def test_a_worker_has_given_up_what_it_does_not_need(runner, worker_pids):
    (pid,) = worker_pids(runner)
    proc = Path(f"/proc/{pid}")
    limits = proc.joinpath("limits").read_text()

    assert os.getsid(pid) == pid
    assert proc.joinpath("environ").read_bytes() == b""
    assert str(proc.joinpath("cwd").readlink()).endswith(" (deleted)")
    assert [limits_row(limits, name) for name in ("core file", "file", "data")] == [
        0,
        64 << 10,
        3 << 30,
    ]
    assert "NoNewPrivs:\t1" in proc.joinpath("status").read_text()


async def test_a_worker_may_use_no_more_cpu_time_than_its_task_can_take(
    bench, runner, worker_pids, compiler_pid
):
    allowed_s = {}
    for wall_s in (5.0, 50.0):
        await runner.execute(bench.order("word_count", wall_s=wall_s))
        allowed_s[wall_s] = cpu_limit_s(*worker_pids(runner))

    assert 15 < allowed_s[5.0] < 25
    assert 60 < allowed_s[50.0] < 70
    assert 20 < cpu_limit_s(compiler_pid(runner)) < 30


def cpu_limit_s(pid):
    limits = Path(f"/proc/{pid}/limits").read_text()
    (row,) = (line for line in limits.splitlines() if line.startswith("Max cpu time"))
    return int(row.split()[3])


def limits_row(limits, name):
    (row,) = (
        line for line in limits.splitlines() if line.startswith(f"Max {name} size")
    )
    return int(row.split()[-3])


def test_a_worker_starts_without_the_nodes_libraries():
    code = (
        "import sys, zerostate.execution.worker\n"
        "print({'trio', 'opentelemetry', 'pydantic', 'libp2p'} & set(sys.modules))"
    )

    found = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )

    assert found.stdout == "set()\n"
