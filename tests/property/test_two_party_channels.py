"""Nobody loses money on a channel, whatever fails; see `two_party_machine`."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from two_party_checks import Parties
from two_party_machine import TwoParties
from two_party_payments import PayingParties


def run(machine: type[Parties], examples: int, steps: int) -> int:
    before = machine.steps_run
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine.steps_run - before


def test_nobody_loses_money_whatever_fails() -> None:
    run(TwoParties, examples=12, steps=30)


def test_nobody_loses_money_while_many_payments_wait_for_each_other() -> None:
    run(PayingParties, examples=10, steps=20)
    assert PayingParties.states_shared > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nobody_loses_money_in_10000_steps(capsys: pytest.CaptureFixture[str]) -> None:
    done = 0
    while done < 10_000:
        done += run(TwoParties, examples=40, steps=60)
        done += run(PayingParties, examples=10, steps=60)
    with capsys.disabled():
        print(f"\n{done} steps of two ends, a chain and a network")  # noqa: T201  # how many they were is asked for
