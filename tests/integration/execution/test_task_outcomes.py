"""How a task can end: the error, the failed span, the receipt, in a real worker."""

import hashlib

import pytest

from zerostate import errors
from zerostate.evidence.receipt import open_receipt, receipt_sha256
from zerostate.testing import assert_trace

EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
MEMORY = '(memory (export "memory") 1)'


def body(code, *, extra=""):
    return f'(module {EXIT} {MEMORY} {extra} (func $start (export "_start") {code}))'


async def failure_of(runner, order):
    with pytest.raises(errors.ExecutionError) as caught:
        await runner.execute(order)
    return caught.value


async def test_sha256_of_the_input_with_a_receipt_that_says_so(bench, runner):
    data = bytes(range(256)) * 1000
    order = bench.order("sha256", stdin=data)

    done = await runner.execute(order)

    assert done.output.decode() == hashlib.sha256(data).hexdigest()
    receipt = open_receipt(done.receipt)
    assert receipt.task_id == order.task_id
    assert receipt.trace_id == order.trace_id
    assert receipt.guild_id == order.guild_id
    assert receipt.requester == order.requester
    assert receipt.executor == bench.executor.peer_id
    assert receipt.manifest_sha256 == hashlib.sha256(order.manifest).hexdigest()
    assert receipt.module_sha256 == hashlib.sha256(order.module).hexdigest()
    assert receipt.input_sha256 == hashlib.sha256(data).hexdigest()
    assert receipt.output_sha256 == hashlib.sha256(done.output).hexdigest()
    assert (receipt.outcome, receipt.exit_code) == ("ok", 0)
    assert receipt.fuel_used == done.usage.fuel_used > 1_000_000
    assert receipt.memory_peak_bytes == done.usage.memory_peak_bytes >= 65_536
    assert receipt.price == done.price == 11
    assert 0 < receipt.cpu_time_ns < 20_000_000_000
    assert receipt.wall_time_ns > 0
    assert receipt.started_unix_ns < receipt.ended_unix_ns
    assert receipt.engine_version == "wasmtime 50.0.1"


async def test_the_six_phases_are_siblings_under_the_task(bench, runner):
    done = await runner.execute(bench.order("word_count", stdin=b"one two\nthree\n"))

    assert done.output == b"2 3 14\n"
    assert_trace(
        bench.recorder.spans,
        """
        execution.task
          execution.manifest.validate
          execution.wasm.compile
          execution.wasm.instantiate
          execution.wasm.execute
          execution.resources.measure
          execution.receipt.generate
        """,
    )
    (event,) = bench.recorder.named("execution.receipt.generate").events
    assert event.name == "receipt.issued"
    assert event.attributes["receipt.envelope"] == done.receipt
    generated = bench.recorder.named("execution.receipt.generate").attributes
    assert generated["receipt.sha256"] == receipt_sha256(done.receipt)


ENDINGS_IN_EXECUTE = {
    "unreachable": ("trap", {}, "trap", "unreachable"),
    "division by zero": (
        body("(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        {},
        "trap",
        "division by zero",
    ),
    "beyond the memory": (
        body("(drop (i32.load (i32.const 65536)))"),
        {},
        "trap",
        "out of bounds",
    ),
    "stack overflow": (body("(call $start)"), {}, "trap", "stack overflow"),
    "exit code": ("exit_code", {}, "exit_code", "exit code 3"),
    "loop, by fuel": ("loop", {"fuel": 1_000_000}, "out_of_fuel", "1000000 units"),
    "loop, by wall clock": (
        "loop",
        {"fuel": 10**13, "wall_s": 0.1},
        "deadline",
        "0.1 s allowed",
    ),
    "memory, then trap": ("memory_bomb", {}, "memory_limit", "67108864"),
    "memory at one stroke, then exit": (
        body("(drop (memory.grow (i32.const 60000))) (call $exit (i32.const 1))"),
        {},
        "memory_limit",
        "3932225536 bytes",
    ),
    "output": ("output_flood", {"output_bytes": 100_000}, "output_limit", "100000"),
}


EXIT_CODES = {"exit code": 3, "memory at one stroke, then exit": 1}


@pytest.mark.parametrize("case", ENDINGS_IN_EXECUTE)
async def test_a_module_that_fails_while_running(bench, runner, case):
    module, limits, code, message = ENDINGS_IN_EXECUTE[case]

    failure = await failure_of(runner, bench.order(module, **limits))

    assert failure.code == code
    assert message in str(failure)
    receipt = open_receipt(failure.receipt)
    assert (receipt.outcome, receipt.price) == (code, 0)
    assert receipt.exit_code == EXIT_CODES.get(case, 0)
    assert receipt.output_sha256 == hashlib.sha256(b"").hexdigest()
    assert_trace(
        bench.recorder.spans,
        f"""
        execution.task ERROR={code}
          execution.manifest.validate
          execution.wasm.compile
          execution.wasm.instantiate
          execution.wasm.execute ERROR={code}
          execution.resources.measure
          execution.receipt.generate
        """,
    )


FAILURES_IN_INSTANTIATE = {
    "missing import": (
        '(module (import "env" "f" (func)))',
        "invalid_module",
        "env::f",
    ),
    "no _start": ("(module)", "invalid_module", "exports no function _start"),
    "_start with a parameter": (
        '(module (func (export "_start") (param i32)))',
        "invalid_module",
        "_start must take () and return ()",
    ),
    "initial memory": (
        '(module (memory 1025) (func (export "_start")))',
        "memory_limit",
        "67174400 bytes",
    ),
    "start function": (
        '(module (func $f unreachable) (start $f) (func (export "_start")))',
        "trap",
        "unreachable",
    ),
    "endless start function": (
        '(module (func $f (loop (br 0))) (start $f) (func (export "_start")))',
        "out_of_fuel",
        "fuel",
    ),
}


@pytest.mark.parametrize("case", FAILURES_IN_INSTANTIATE)
async def test_a_module_that_cannot_be_instantiated(bench, runner, case):
    module, code, message = FAILURES_IN_INSTANTIATE[case]

    failure = await failure_of(runner, bench.order(module))

    assert failure.code == code
    assert message in str(failure)
    assert open_receipt(failure.receipt).outcome == code
    assert_trace(
        bench.recorder.spans,
        f"""
        execution.task ERROR={code}
          execution.manifest.validate
          execution.wasm.compile
          execution.wasm.instantiate ERROR={code}
          execution.resources.measure
          execution.receipt.generate
        """,
    )


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(b"# A text file\n", id="not WebAssembly"),
        pytest.param(b"", id="empty"),
        pytest.param(b'(module (func (export "_start")))', id="WebAssembly's text"),
        pytest.param(b"\0asm\x01\0\0\0\xff", id="cut off"),
        pytest.param(b"\0asm\x0d\0\x01\0", id="a component"),
    ],
)
async def test_bytes_that_are_no_module_fail_to_compile(bench, runner, module):
    failure = await failure_of(runner, bench.order(module))

    assert failure.code == "invalid_module"
    receipt = open_receipt(failure.receipt)
    assert (receipt.outcome, receipt.fuel_used) == ("invalid_module", 0)
    assert_trace(
        bench.recorder.spans,
        """
        execution.task ERROR=invalid_module
          execution.manifest.validate
          execution.wasm.compile ERROR=invalid_module
          execution.resources.measure
          execution.receipt.generate
        """,
    )


async def test_a_module_refused_more_memory_may_still_end_well(bench, runner):
    order = bench.order(body("(drop (memory.grow (i32.const 60000)))"))

    done = await runner.execute(order)

    assert done.usage.memory_peak_bytes == 65_536


async def test_after_a_trap_the_whole_budget_is_billed_as_used(bench, runner):
    failure = await failure_of(runner, bench.order("trap", fuel=12_345))

    assert open_receipt(failure.receipt).fuel_used == 12_345
    assert bench.recorder.named("execution.wasm.execute").events[0].name == "exception"
