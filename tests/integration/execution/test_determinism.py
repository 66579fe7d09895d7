"""A module sees the same world on every run, and no other."""

import pytest

# Calls one host function, then writes its errno (one byte) and 16 bytes from 512 on.
PROBE = """(module
  (import "wasi_snapshot_preview1" "{name}" (func $probe {signature}))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\ff\\01\\00\\00\\11\\00\\00\\00")
  (func (export "_start")
    (i32.store8 (i32.const 511) (call $probe {arguments}))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""
FOUR = "(param i32 i32 i32 i32) (result i32)"
TWO = "(param i32 i32) (result i32)"


async def probe(bench, runner, name, signature, *arguments):
    given = " ".join(
        f"(i64.const {value[1:]})" if value.startswith("L") else f"(i32.const {value})"
        for value in arguments
    )
    text = PROBE.format(name=name, signature=signature, arguments=given)
    done = await runner.execute(bench.order(text, stdin=b"input"))
    return done.output[0], done.output[1:]


async def test_the_same_task_takes_the_same_fuel_on_another_worker(bench):
    used = []
    for _ in range(2):
        async with bench.open() as runner:
            done = await runner.execute(bench.order("sha256", stdin=b"same"))
            used.append((done.usage.fuel_used, done.usage.memory_peak_bytes))

    assert used[0] == used[1]


async def test_random_bytes_depend_on_module_and_input_only(bench, runner):
    first = await probe(bench, runner, "random_get", TWO, "512", "16")
    second = await probe(bench, runner, "random_get", TWO, "512", "16")

    assert first == second
    assert first[0] == 0
    assert len(set(first[1])) > 4


async def test_the_clock_stands_still(bench, runner):
    signature = "(param i32 i64 i32) (result i32)"

    found = await probe(bench, runner, "clock_time_get", signature, "0", "L1", "512")

    assert found == (0, bytes(16))


async def test_waiting_is_refused_at_once(bench, runner):
    errno, _ = await probe(bench, runner, "poll_oneoff", FOUR, "64", "512", "1", "128")

    assert errno == 58


@pytest.mark.parametrize("name", ["fd_read", "fd_write"])
@pytest.mark.parametrize(
    ("arguments", "errno"),
    [
        pytest.param(("0", "1", "65533"), 21, id="the count does not fit"),
        pytest.param(("65532", "1", "128"), 21, id="the array does not fit"),
        pytest.param(("-8", "1", "128"), 21, id="the array is at 4 GiB"),
        pytest.param(("0", "-1", "128"), 28, id="too many buffers"),
        pytest.param(("256", "1", "128"), 0, id="an empty buffer"),
    ],
)
async def test_every_pointer_of_the_guest_is_checked(
    bench, runner, name, arguments, errno
):
    descriptor = "0" if name == "fd_read" else "2"

    found, _ = await probe(bench, runner, name, FOUR, descriptor, *arguments)

    assert found == errno


async def test_a_random_buffer_beyond_the_memory_is_refused(bench, runner):
    errno, _ = await probe(bench, runner, "random_get", TWO, "65530", "16")

    assert errno == 21


async def test_there_are_no_directories_and_no_environment(bench, runner):
    found, _ = await probe(bench, runner, "fd_prestat_get", TWO, "3", "512")
    assert found == 8

    found = await probe(bench, runner, "environ_sizes_get", TWO, "512", "516")
    assert found == (0, bytes(16))


async def test_arguments_arrive_after_the_tasks_name(bench, runner):
    signature = TWO
    text = PROBE.format(
        name="args_get",
        signature=signature,
        arguments="(i32.const 256) (i32.const 512)",
    )

    done = await runner.execute(bench.order(text, name="wc", args=("-l", "ä")))

    assert done.output[1:].startswith("wc\0-l\0ä\0".encode())
