"""A module called as a function on bytes: input in, output out, both bounded."""

import dataclasses
import hashlib

import pytest

from zerostate import errors
from zerostate.evidence.receipt import open_receipt
from zerostate.execution.manifest import Manifest
from zerostate.execution.signed_manifest import seal_manifest

# Returns its input behind the byte "<"; writes to standard output too, which counts,
# but is not the result.
ECHO = """(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\0f\\00\\00\\00\\01\\00\\00\\00")
  (global $initialised (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $initialised (i32.const 60)))
  (func (export "alloc") (param i32) (result i32) (i32.const 16))
  (func (export "echo") (param $start i32) (param $length i32) (result i64)
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store8 (i32.const 15) (global.get $initialised))
    (i64.or (i64.shl (i64.const 15) (i64.const 32))
            (i64.extend_i32_u (i32.add (local.get $length) (i32.const 1)))))
  (func (export "beyond") (param i32 i32) (result i64) (i64.const 0x0000ffff00000002))
  (func (export "high") (param i32 i32) (result i64) (i64.const -1))
  (func (export "fails") (param i32 i32) (result i64) unreachable)
  (func (export "odd") (param i32) (result i64) (i64.const 0)))
"""
MISPLACED = """(module (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const {place}))
  (func (export "run") (param i32 i32) (result i64) (i64.const 0)))
"""


def calling(order, entry_point):
    manifest = Manifest.parse(order.manifest)
    changed = manifest.model_copy(update={"entry_point": entry_point})
    return dataclasses.replace(order, manifest=changed.canonical_bytes())


async def failure_of(runner, order):
    with pytest.raises(errors.ExecutionError) as caught:
        await runner.execute(order)
    return caught.value


@pytest.mark.parametrize("data", [b"", b"abc", bytes(60_000)])
async def test_a_function_gets_the_input_and_gives_the_output(bench, runner, data):
    done = await runner.execute(calling(bench.order(ECHO, stdin=data), "echo"))

    assert done.output == b"<" + data
    assert done.usage.input_bytes == len(data)
    assert done.usage.output_bytes == len(data) + 2
    receipt = open_receipt(done.receipt)
    assert receipt.output_sha256 == hashlib.sha256(done.output).hexdigest()
    execute = bench.recorder.named("execution.wasm.execute")
    assert execute.attributes["wasm.entry_point"] == "echo"


REFUSED = {
    "beyond": ("beyond", "invalid_module", "returned bytes beyond the memory"),
    "at 4 GiB": ("high", "invalid_module", "returned bytes beyond the memory"),
    "trap": ("fails", "trap", "unreachable"),
    "a parameter too few": ("odd", "invalid_module", "must take (i32, i32)"),
    "no such function": ("none", "invalid_module", "exports no function none"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_function_that_breaks_the_agreement(bench, runner, case):
    name, code, message = REFUSED[case]

    failure = await failure_of(runner, calling(bench.order(ECHO), name))

    assert failure.code == code
    assert message in str(failure)


@pytest.mark.parametrize("place", [65_534, -1])
async def test_an_allocator_that_points_beyond_the_memory(bench, runner, place):
    module = MISPLACED.format(place=place)

    failure = await failure_of(
        runner, calling(bench.order(module, stdin=b"abc"), "run")
    )

    assert failure.code == "invalid_module"
    assert "alloc returned an address beyond the memory" in str(failure)


async def test_a_result_over_the_output_limit_is_not_taken(bench, runner):
    order = bench.order(ECHO, stdin=bytes(100), output_bytes=100)

    failure = await failure_of(runner, calling(order, "echo"))

    assert failure.code == "output_limit"
    assert open_receipt(failure.receipt).output_sha256 == hashlib.sha256().hexdigest()


async def test_a_manifest_may_come_signed_and_its_hash_is_of_the_envelope(
    bench, runner
):
    order = bench.order("word_count", stdin=b"a b")
    sealed = seal_manifest(bench.requester, Manifest.parse(order.manifest))

    done = await runner.execute(dataclasses.replace(order, manifest=sealed))

    assert done.output == b"0 2 3\n"
    receipt = open_receipt(done.receipt)
    assert receipt.manifest_sha256 == hashlib.sha256(sealed).hexdigest()


async def test_a_manifest_signed_by_another_than_the_requester_is_refused(
    bench, runner
):
    order = bench.order("word_count")
    sealed = seal_manifest(bench.executor, Manifest.parse(order.manifest))

    failure = await failure_of(runner, dataclasses.replace(order, manifest=sealed))

    assert failure.code == "manifest"
    assert "asks for the task" in str(failure)


async def test_a_node_may_insist_on_a_signature(bench):
    async with bench.open(requires_signed_manifest=True) as runner:
        failure = await failure_of(runner, bench.order("word_count"))

    assert failure.problems == ("signature: not a signed envelope",)
