"""telemetry.locks: a fork at the wrong moment locks nobody out."""

import os
import threading

import pytest

from zerostate.telemetry.locks import ForkSafeLock


def test_one_at_a_time_holds_it():
    lock = ForkSafeLock()
    entered = threading.Event()

    def enter():
        with lock:
            entered.set()

    with lock:
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.01)
    other.join(5)
    assert entered.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_child_can_take_what_its_parent_held():
    lock = ForkSafeLock()
    with lock:
        child = os.fork()
        if child == 0:
            with lock:
                os._exit(7)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 7
