"""A task run again: confirmed, contradicted, or not to be decided."""

import dataclasses

import pytest

from zerostate.errors import ExecutionError
from zerostate.evidence.receipt import open_receipt, seal_receipt
from zerostate.execution.rerun import verify_by_rerun
from zerostate.testing import assert_trace

STACK = '(module (func $f (export "_start") (call $f)))'


async def receipt_of(runner, order):
    try:
        return (await runner.execute(order)).receipt
    except ExecutionError as exc:
        return exc.receipt


async def verdict_of(runner, order, receipt):
    return await verify_by_rerun(
        runner,
        receipt,
        manifest=order.manifest,
        module=order.module,
        task_input=order.input,
    )


def forged(bench, receipt, **changes):
    """Return `receipt` with changes, signed by the executor, who lies."""
    changed = dataclasses.replace(open_receipt(receipt), **changes)
    return seal_receipt(bench.executor, changed)


@pytest.mark.parametrize(
    ("module", "limits", "outcome"),
    [
        ("sha256", {}, "ok"),
        ("exit_code", {}, "exit_code"),
        ("trap", {}, "trap"),
        ("loop", {"fuel": 100_000}, "out_of_fuel"),
        ("memory_bomb", {}, "memory_limit"),
        ("output_flood", {"output_bytes": 1000}, "output_limit"),
        (b"no module", {}, "invalid_module"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_honest_receipt_is_confirmed(bench, runner, module, limits, outcome):
    order = bench.order(module, stdin=b"abc", **limits)
    receipt = await receipt_of(runner, order)
    assert open_receipt(receipt).outcome == outcome

    found = await verdict_of(runner, order, receipt)

    assert (found.verdict, found.reasons) == ("confirmed", ())
    assert found.run.outcome == outcome


@pytest.mark.parametrize("lie", ["output_sha256", "fuel_used", "memory_peak_bytes"])
async def test_a_lie_about_what_happened_is_found(bench, runner, lie):
    order = bench.order("word_count", stdin=b"abc")
    receipt = await receipt_of(runner, order)
    value = "1" * 64 if lie == "output_sha256" else 1
    lying = forged(bench, receipt, **{lie: value})

    found = await verdict_of(runner, order, lying)

    assert found.verdict == "contradicted"
    (reason,) = found.reasons
    assert reason.startswith(f"{lie}: {value} in the receipt, ")


@pytest.mark.parametrize(
    ("module", "limits"),
    [("trap", {}), ("memory_bomb", {}), ("output_flood", {"output_bytes": 1000})],
)
async def test_a_lie_about_the_fuel_that_a_failure_is_billed_is_found(
    bench, runner, module, limits
):
    order = bench.order(module, **limits)
    receipt = await receipt_of(runner, order)
    billed = open_receipt(receipt).fuel_used

    found = await verdict_of(
        runner, order, forged(bench, receipt, fuel_used=billed - 1)
    )

    assert found.verdict == "contradicted"
    assert found.reasons == (f"fuel_used: {billed - 1} in the receipt, {billed} here",)


async def test_a_failure_that_did_not_happen_is_found(bench, runner):
    order = bench.order("trap")
    receipt = await receipt_of(runner, order)
    lying = forged(bench, receipt, trap="integer_division_by_zero")

    found = await verdict_of(runner, order, lying)

    assert found.reasons == (
        "trap: integer_division_by_zero in the receipt, unreachable here",
    )


async def test_a_receipt_that_contradicts_itself_is_not_run(bench, runner):
    order = bench.order("word_count")
    receipt = await receipt_of(runner, order)
    bench.recorder.clear()

    found = await verdict_of(runner, order, forged(bench, receipt, price=999))

    assert (found.verdict, found.run) == ("contradicted", None)
    assert found.reasons[0].startswith("price: 999")
    assert bench.recorder.spans == ()


@pytest.mark.parametrize(
    "changes", [{"outcome": "deadline"}, {"outcome": "worker_lost"}]
)
async def test_what_depends_on_the_machine_is_not_decided(bench, runner, changes):
    order = bench.order("trap")
    receipt = forged(bench, await receipt_of(runner, order), trap="", **changes)

    found = await verdict_of(runner, order, receipt)

    assert (found.verdict, found.run) == ("undecided", None)


async def test_a_stack_overflow_is_not_decided(bench, runner):
    order = bench.order(STACK)
    receipt = await receipt_of(runner, order)
    assert open_receipt(receipt).trap == "stack_overflow"

    assert (await verdict_of(runner, order, receipt)).verdict == "undecided"


async def test_another_engine_confirms_but_does_not_contradict(bench, runner):
    order = bench.order("word_count", stdin=b"abc")
    receipt = await receipt_of(runner, order)
    other = {"engine_version": "wasmtime 49.0.0"}

    same = await verdict_of(runner, order, forged(bench, receipt, fuel_used=1, **other))
    different = await verdict_of(
        runner, order, forged(bench, receipt, output_sha256="1" * 64, **other)
    )

    assert (same.verdict, different.verdict) == ("confirmed", "undecided")
    assert "wasmtime 49.0.0 there" in different.reasons[0]


async def test_a_second_run_is_three_phases_and_signs_nothing(bench, runner):
    order = bench.order("word_count", stdin=b"abc")
    receipt = await receipt_of(runner, order)
    bench.recorder.clear()

    await verdict_of(runner, order, receipt)

    assert_trace(
        bench.recorder.spans,
        """
        execution.wasm.compile
        execution.wasm.instantiate
        execution.wasm.execute
        execution.resources.measure
        """,
    )
