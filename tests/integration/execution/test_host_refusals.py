"""What a module is told of files and sockets, of which there are none."""

import pytest

from zerostate.execution._wasmtime.refusals import refused_functions

WASI = "wasi_snapshot_preview1"
WRITE = (
    '(import "{wasi}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
)


def calling(calls):
    """Return a module that makes calls and writes the errno of each, a byte each."""
    imports, body = [WRITE.format(wasi=WASI)], []
    for number, (name, parameters, values) in enumerate(calls):
        types = " ".join(parameters)
        imports.append(
            f'(import "{WASI}" "{name}" (func $f{number} (param {types}) (result i32)))'
        )
        given = " ".join(
            f"({one}.const {value})"
            for one, value in zip(parameters, values, strict=True)
        )
        body.append(
            f"(i32.store8 (i32.const {1024 + number}) (call $f{number} {given}))"
        )
    return f"""(module {" ".join(imports)} (memory (export "memory") 1)
      (func (export "_start") {" ".join(body)}
        (i32.store (i32.const 0) (i32.const 1024))
        (i32.store (i32.const 4) (i32.const {len(calls)}))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


REFUSED = {
    name: [str(one) for one in parameters]
    for name, parameters in refused_functions().items()
}
NATIVE = {
    "args_get": ["i32", "i32"],
    "args_sizes_get": ["i32", "i32"],
    "environ_get": ["i32", "i32"],
    "environ_sizes_get": ["i32", "i32"],
}


@pytest.mark.parametrize("descriptor", [0, 1, 3, -1])
async def test_no_function_of_the_system_interface_costs_the_worker(
    bench, runner, worker_pids, descriptor
):
    pids = worker_pids(runner)
    calls = [
        (name, parameters, [descriptor, *([512] * len(parameters))][: len(parameters)])
        for name, parameters in REFUSED.items()
    ]

    done = await runner.execute(bench.order(calling(calls)))

    found = dict(zip(REFUSED, done.output, strict=True))
    assert worker_pids(runner) == pids
    assert {name for name, errno in found.items() if errno == 0} == {"sched_yield"}
    assert set(found.values()) <= {0, 8, 58, 70}
    of_paths = {
        errno for name, errno in found.items() if name[:5] in ("path_", "sock_")
    }
    assert of_paths == {8}
    assert found["fd_seek"] == (70 if descriptor in (0, 1) else 8)


async def test_what_is_left_to_the_engine_works_behind_the_filter(bench, runner):
    calls = [(name, types, [512, 1536]) for name, types in NATIVE.items()]

    done = await runner.execute(bench.order(calling(calls)))

    assert done.output == bytes(len(NATIVE))


async def test_a_stream_that_was_closed_is_gone(bench, runner):
    one, three = ["i32"], ["i32", "i32"]
    calls = [
        ("fd_fdstat_get", three, [0, 512]),
        ("fd_close", one, [0]),
        ("fd_fdstat_get", three, [0, 512]),
        ("fd_filestat_get", three, [0, 512]),
        ("fd_filestat_get", three, [2, 512]),
        ("fd_close", one, [0]),
        ("fd_close", one, [7]),
    ]

    done = await runner.execute(bench.order(calling(calls)))

    assert list(done.output) == [0, 0, 8, 8, 0, 8, 8]
