"""Nobody loses money on a channel, whatever fails; see `two_party_machine`."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from two_party_machine import TwoParties


def run(examples: int, steps: int) -> int:
    before = TwoParties.steps_run
    run_state_machine_as_test(
        TwoParties,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return TwoParties.steps_run - before


def test_nobody_loses_money_whatever_fails() -> None:
    run(examples=12, steps=30)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nobody_loses_money_in_10000_steps(capsys: pytest.CaptureFixture[str]) -> None:
    done = 0
    while done < 10_000:
        done += run(examples=50, steps=60)
    with capsys.disabled():
        print(f"\n{done} steps of two ends, a chain and a network")  # noqa: T201  # how many they were is asked for
