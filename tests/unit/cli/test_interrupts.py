"""Being told to stop."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from zerostate.cli.failures import Failure
from zerostate.cli.interrupts import StopRequest, stop_requests


def make_request():
    calls = []
    request = StopRequest(lambda: calls.append("drain"), lambda: calls.append("kill"))
    return request, calls


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGHUP, "terminated"),
    ],
)
def test_the_first_signal_drains_and_gives_the_reason(number, code):
    request, calls = make_request()

    request.by_signal(number)

    assert calls == ["drain"]
    assert request.reason.code == code


def test_a_second_signal_kills_and_keeps_the_first_reason():
    request, calls = make_request()

    request.by_signal(signal.SIGTERM)
    request.by_signal(signal.SIGINT)

    assert calls == ["drain", "kill"]
    assert request.reason.code == "terminated"


def test_closed_output_drains_once():
    request, calls = make_request()

    request.by_closed_output()
    request.by_closed_output()

    assert calls == ["drain"]
    assert request.reason == Failure("terminated", "standard output was closed")


def test_signals_of_this_process_are_caught_and_then_left_as_they_were():
    before = signal.getsignal(signal.SIGTERM)

    async def run():
        told = asyncio.Event()
        with stop_requests(told.set, told.set) as request:
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(5):
                await told.wait()
            return request.reason

    assert asyncio.run(run()).code == "terminated"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_pipe_that_nobody_reads_any_more_is_noticed():
    script = """
import asyncio, sys
from zerostate.cli.interrupts import stop_requests
async def main():
    told = asyncio.Event()
    with stop_requests(told.set, told.set) as request:
        print("up", flush=True)
        await asyncio.wait_for(told.wait(), 10)
        print(request.reason.message, file=sys.stderr)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "up\n"
        process.stdout.close()

        assert process.stderr.read() == "standard output was closed\n"
