"""A large real program as a task: QuickJS, running the JavaScript that is its input."""

import pytest

from zerostate.errors import ExitCodeError, OutOfFuelError, TrapError

PROGRAM = b"""
const fib = n => (n < 2 ? n : fib(n - 1) + fib(n - 2));
const words = "the quick brown fox jumps over the lazy dog the end".split(" ");
const counts = new Map();
for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
print(JSON.stringify({ fib: fib(15), the: counts.get("the"), args: scriptArgs }));
print((0.1 + 0.2).toFixed(20), Math.random(), Date.now(), 2n ** 70n, "\\u00e4");
Promise.resolve("later").then(print);
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A directory for the compiled module, shared: compiling it takes a second."""
    return tmp_path_factory.mktemp("javascript") / "modules"


async def run(bench, modules, program, **settings):
    order = bench.order("javascript", stdin=program, **({"fuel": 10**9} | settings))
    async with bench.open(cache_dir=modules) as runner:
        return await runner.execute(order)


async def test_a_program_in_javascript_runs_as_a_task(bench, modules):
    done = await run(bench, modules, PROGRAM, args=("a", "b"))

    first, second, last = done.output.decode().splitlines()
    assert first == '{"fib":610,"the":3,"args":["a","b"]}'
    assert second.startswith("0.30000000000000004441 0.")
    assert second.endswith(" 0 1180591620717411303424 \u00e4")
    assert last == "later"


async def test_it_gives_the_same_output_and_takes_the_same_fuel_again(bench, modules):
    first = await run(bench, modules, PROGRAM)
    second = await run(bench, modules, PROGRAM)

    assert first.output == second.output
    assert first.usage.fuel_used == second.usage.fuel_used > 1_000_000


async def test_an_exception_that_nobody_catches_is_an_exit_code(bench, modules):
    with pytest.raises(ExitCodeError, match="exit code 1"):
        await run(bench, modules, b"nonsense(")


async def test_an_endless_program_runs_out_of_fuel(bench, modules):
    with pytest.raises(OutOfFuelError):
        await run(bench, modules, b"for (;;);", fuel=10**7)


async def test_an_endless_recursion_traps(bench, modules):
    with pytest.raises(TrapError):
        await run(bench, modules, b"const f = () => f() + 1; f();")
