"""node.foreground: signals, as the process sends them to itself."""

import gc
import signal

import pytest
import trio

from zerostate.node.signals import DRAIN_S, cancel_on_signal

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@pytest.fixture(autouse=True)
def signals_as_before():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    gc.unfreeze()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_begins_the_end_and_the_others_change_nothing(
    second, caplog
):
    drained = False
    with trio.CancelScope() as scope, cancel_on_signal(scope):
        signal.raise_signal(signal.SIGINT)
        try:
            await trio.sleep_forever()
        finally:
            signal.raise_signal(second)
            with trio.CancelScope(shield=True), trio.fail_after(5):
                while not caplog.messages:
                    await trio.lowlevel.checkpoint()
            drained = True
    signal.raise_signal(second)

    assert scope.cancelled_caught
    assert drained
    assert caplog.messages == ["already ending; it takes 5 s at most"]
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= DRAIN_S
    assert gc.get_freeze_count() > 0


async def test_without_a_signal_all_is_as_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    with trio.CancelScope() as scope, cancel_on_signal(scope):
        assert signal.getsignal(signal.SIGINT) != before[1]
        await trio.lowlevel.checkpoint()

    assert gc.get_freeze_count() == 0
    assert [signal.getsignal(number) for number in SIGNALS] == before
