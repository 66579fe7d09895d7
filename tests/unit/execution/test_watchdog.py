"""execution._wasmtime.deadline: late blocks are told, others never."""

import time
from threading import Event, active_count

import pytest

from zerostate.execution._wasmtime.deadline import Watchdog


def test_a_block_that_takes_too_long_is_told_while_it_runs():
    passed = Event()

    with Watchdog().guard(0.01, passed.set):
        assert passed.wait(10)


def test_a_block_that_ends_in_time_is_not_told_and_the_next_one_is():
    watchdog, early, late = Watchdog(), Event(), Event()

    with watchdog.guard(0.05, early.set):
        pass
    with watchdog.guard(0.1, late.set):
        assert late.wait(10)

    assert not early.is_set()


def test_a_shorter_block_after_a_longer_one_is_told_in_time():
    watchdog, passed = Watchdog(), Event()
    with watchdog.guard(600, passed.set):
        pass

    started = time.monotonic()
    with watchdog.guard(0.01, passed.set):
        assert passed.wait(10)
    assert time.monotonic() - started < 10


def test_a_block_without_time_is_told_at_once():
    passed = Event()

    with Watchdog().guard(0, passed.set):
        assert passed.wait(10)


def test_many_blocks_take_one_thread():
    watchdog = Watchdog()
    before = active_count()

    for _ in range(100):
        with watchdog.guard(600, lambda: None):
            pass

    assert active_count() <= before + 1


def test_a_block_that_fails_is_not_told_later():
    watchdog, first, second = Watchdog(), Event(), Event()

    with pytest.raises(ValueError, match="inside"), watchdog.guard(0.05, first.set):
        raise ValueError("inside")
    with watchdog.guard(0.1, second.set):
        assert second.wait(10)

    assert not first.is_set()
