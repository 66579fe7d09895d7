"""``zerostate doctor`` as a person runs it: against no stack, a stack, bad settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack_process import StackProcess
from zerostate.execution.confinement_report import confinement_report

pytestmark = pytest.mark.e2e

COMMAND = str(Path(sys.executable).parent / "zerostate")


def doctor(*arguments, **environ):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return subprocess.run(
        [COMMAND, "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean | environ,
    )


def test_it_sends_a_span_and_finds_it_again(tmp_path):
    with StackProcess(tmp_path) as stack:
        page, endpoint = stack.ready["ui"], stack.ready["otlp_http"]
        done = doctor("--url", page, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{endpoint}  (OTEL_EXPORTER_OTLP_ENDPOINT)" in done.stdout
    assert "ok   test span" in done.stdout
    assert f"ok   found again: {page}/trace/" in done.stdout
    assert "recorder: python" in done.stdout


def test_it_tells_what_keeps_a_module_in_and_that_is_no_matter_of_spans():
    done = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")

    measures = confinement_report()
    section = done.stdout.partition("What keeps the module")[2].splitlines()[1:]
    told = section[: len(measures)]
    assert told == [
        f"  {'ok ' if one.is_in_force else 'off'}  {one.name}: {one.finding}"
        for one in measures
    ]
    assert "ok   empty environment" in done.stdout


def test_an_endpoint_that_nobody_serves_is_named_with_what_to_do():
    done = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")

    assert done.returncode == 3
    assert (
        "BAD  endpoint: nobody answers at http://127.0.0.1:9/v1/traces" in done.stdout
    )
    assert "zerostate up" in done.stdout


def test_every_bad_setting_is_named():
    done = doctor(OTEL_TRACES_SAMPLER="sometimes", OTEL_BSP_MAX_QUEUE_SIZE="0")

    assert done.returncode == 3
    assert "OTEL_TRACES_SAMPLER" in done.stdout
    assert "OTEL_BSP_MAX_QUEUE_SIZE" in done.stdout
    assert "service_name" not in done.stdout
