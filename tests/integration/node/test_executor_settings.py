"""What an operator sets for the tasks of strangers holds on a whole peer."""

import os
from pathlib import Path

import pytest

from execution_hostile import slow_to_compile
from task_world import TASKS, open_world

WORD_COUNT = (TASKS / "word_count.wasm").read_bytes()


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ({"max_task_wall_s": 5.0}, {"wall_s": 6.0}),
        ({"max_task_memory_bytes": 1 << 20}, {"memory_bytes": 2 << 20}),
    ],
)
async def test_a_task_that_asks_for_more_than_the_operator_allows_is_not_taken(
    tmp_path, settings, limits
):
    async with open_world(tmp_path, executor=settings) as world:
        report = await world.run(WORD_COUNT, manifest={"limits": limits})

        assert report.error_code == "manifest"
        assert "execution.wasm.compile" not in {one.name for one in world.all_spans()}

        allowed = {name: value / 2 for name, value in limits.items()}
        allowed |= {"memory_bytes": 1 << 20}
        report = await world.run(WORD_COUNT, manifest={"limits": allowed})
        assert report.outcome == "ok"


async def test_a_module_is_compiled_for_no_longer_than_the_operator_allows(tmp_path):
    async with open_world(tmp_path, executor={"compile_timeout_s": 0.2}) as world:
        report = await world.run(slow_to_compile())

        assert report.error_code == "deadline"
        failed = world.failed(report.trace_id)
        assert failed["execution.wasm.compile"] == "deadline"


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_peer_has_as_many_workers_as_the_operator_wants(tmp_path, workers):
    before = worker_processes()
    async with open_world(tmp_path, executor={"workers": workers}):
        assert worker_processes() - before == workers


def worker_processes():
    """Return how many children of this process run modules."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children]
    return sum(line[-2:-1] == [b"run"] for line in lines)
