"""However a demo ends, it says so and leaves nothing behind."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
import wasmtime

from e2e.demo_process import REPOSITORY, TASKS, demo, span_named
from zerostate.cli.processes import CLIENT_GRACE_S

pytestmark = pytest.mark.e2e

LOOP = str(TASKS / "loop.wasm")

COUNTS = """(module
  (memory (export "memory") 1)
  (func (export "_start") (local $n i32)
    (local.set $n (i32.const 800000000))
    (loop $again
      (br_if $again
        (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
"""
"""Ends well, after some two seconds: long enough to kill somebody meanwhile."""


def test_a_peer_killed_in_the_middle_of_its_task_is_told_with_all_it_had_sent(tmp_path):
    with demo(tmp_path, "--module", LOOP) as running:
        running.wait_for("took task")
        wait_for_operation(running.ui(), "executor", "execution.wasm.instantiate")
        os.kill(running.pid_of("executor"), signal.SIGKILL)
        killed_at_s = time.monotonic()
        running.wait_for("the trace has gaps")
        took_s = time.monotonic() - killed_at_s
        url = running.wait_for("Running on at").split()[3].rstrip(";")
        with urllib.request.urlopen(f"{url}/api/v3/services", timeout=5) as answer:
            assert answer.status == 200
        running.signal(signal.SIGINT)
        code, out = running.finish()

    # From the kill until it is reported, and the trace is read back on top.
    assert took_s < 10
    assert code == 1
    lines = out.splitlines()
    [result] = [line for line in lines if "─ task.result " in line]
    assert "ERROR peer_lost" in result
    missing = [n for n, line in enumerate(lines) if line.startswith("missing parent")]
    assert missing
    assert lines[missing[0]].endswith("never arrived (its process may have died)")
    below = [line for line in lines[missing[0] :] if " execution.wasm." in line]
    assert [line.split()[1] for line in below] == [
        "execution.wasm.compile",
        "execution.wasm.instantiate",
    ]
    assert "See it at http://127.0.0.1:" in out
    assert "error: " in "".join(running.progress)
    assert running.processes_left() == []


def test_a_requester_killed_in_the_middle_leaves_what_was_known(tmp_path):
    with demo(tmp_path, "--once", "--module", LOOP) as running:
        running.wait_for("took task")
        wait_for_operation(running.ui(), "executor", "execution.wasm.instantiate")
        os.kill(running.pid_of("requester"), signal.SIGKILL)
        code, out = running.finish()

    assert code == 1
    assert "error: requester went away" in "".join(running.progress)
    assert "\nTrace " in out
    assert "\n  id             task-" in out
    assert "execution.wasm.instantiate" in out
    assert (
        "`zerostate up` shows the trace again, at http://127.0.0.1:16686/trace/" in out
    )
    assert "See it at" not in out
    assert running.processes_left() == []


def test_nobody_works_where_the_chain_has_died(tmp_path):
    with demo(tmp_path, "--once", "--json") as running:
        running.wait_for("chain is ready")
        os.kill(running.pid_of("chain"), signal.SIGKILL)
        code, out = running.finish()

    report = json.loads(out)
    assert code == 3
    assert report["error"]["code"] == "chain_unreachable"
    assert report["receipt"] is None
    assert report["payment"] is None
    run = span_named(report, "task.run")
    assert run["attributes"]["error.type"] == "chain_unreachable"
    assert "chain has ended" in "".join(running.progress)
    assert running.processes_left() == []


def test_a_chain_that_dies_later_fails_the_payment_and_not_the_task(tmp_path):
    module = tmp_path / "counts.wasm"
    module.write_bytes(wasmtime.wat2wasm(COUNTS))
    with demo(tmp_path, "--once", "--json", "--module", str(module)) as running:
        running.wait_for("took task")
        os.kill(running.pid_of("chain"), signal.SIGKILL)
        code, out = running.finish()

    report = json.loads(out)
    assert code == 3
    assert report["error"]["code"] == "chain_unreachable"
    assert report["task"]["outcome"] == "ok"
    assert report["receipt"]["verified"] is True
    assert report["payment"] is None
    opening = span_named(report, "payment.channel.open")
    assert opening["attributes"]["error.type"] == "chain_unreachable"
    assert running.processes_left() == []


def test_it_runs_on_until_ctrl_c_and_its_trace_can_be_shown(tmp_path):
    with demo(tmp_path) as running:
        url = running.wait_for("Running on at").split()[3].rstrip(";")
        blank, title = (
            running.process.stdout.readline(),
            running.process.stdout.readline(),
        )
        trace_id = title.split()[1]
        shown = zerostate("trace", "show", trace_id, "--url", url)
        unknown = zerostate("trace", "show", "abc", "--url", url)
        running.signal(signal.SIGINT)
        code, _ = running.finish()

    assert blank == "\n"
    assert code == 0
    assert shown.returncode == 0
    assert "task.run" in shown.stdout
    assert f"See it at {url}/trace/{trace_id}" in shown.stdout
    assert unknown.returncode == 2
    assert f"has no trace {'abc'.rjust(32, '0')}" in unknown.stderr
    assert running.processes_left() == []


def test_sigterm_before_the_result_drains_everything(tmp_path):
    with demo(tmp_path, "--once", "--json") as running:
        running.wait_for("stack is ready")
        running.signal(signal.SIGTERM)
        code, out = running.finish()

    assert code == 143
    assert json.loads(out)["error"]["code"] == "terminated"
    assert running.processes_left() == []


def test_ctrl_c_before_the_result_is_an_interruption_with_the_trace_so_far(tmp_path):
    with demo(tmp_path, "--json", "--module", LOOP) as running:
        running.wait_for("took task")
        running.signal(signal.SIGINT)
        code, out = running.finish()

    assert code == 130
    report = json.loads(out)
    assert report["error"]["code"] == "interrupted"
    assert len(report["trace_id"]) == 32
    root = span_named(report, "task.run")
    assert root["attributes"]["task.id"] == report["task"]["id"]
    assert running.processes_left() == []


def test_a_second_ctrl_c_does_not_wait_for_a_frozen_peer(tmp_path):
    with demo(tmp_path) as running:
        running.wait_for("Running on")
        os.kill(running.pid_of("member"), signal.SIGSTOP)
        running.signal(signal.SIGINT)
        running.wait_for("Stopping")
        before_s = time.monotonic()
        running.signal(signal.SIGINT)
        running.finish()
        took_s = time.monotonic() - before_s

    assert took_s < CLIENT_GRACE_S
    assert running.processes_left() == []


def test_it_ends_when_nobody_reads_its_output_any_more(tmp_path):
    with demo(tmp_path) as running:
        running.wait_for("Running on")
        running.process.stdout.close()
        code, _ = running.finish()

    assert code == 143
    assert running.processes_left() == []


def test_kill_9_ends_all(tmp_path):
    with demo(tmp_path) as running:
        running.wait_for("Running on")
        watched = [
            os.pidfd_open(running.pid_of(name))
            for name in ("stack", "chain", "executor")
        ]
        running.signal(signal.SIGKILL)
        running.process.wait()
        ended = [wait_readable(each) for each in watched]
        for each in watched:
            os.close(each)

    assert ended == [True] * 3


def test_a_second_demo_beside_the_first_takes_other_ports_and_keeps_its_traces(
    tmp_path,
):
    with demo(tmp_path) as first:
        url = first.wait_for("Running on at").split()[3].rstrip(";")
        with demo(tmp_path, "--once", "--json") as second:
            code, out = second.finish()
        first.signal(signal.SIGINT)
        assert first.finish()[0] == 0

    assert code == 0, "".join(second.progress)
    assert json.loads(out)["urls"]["ui"] != url
    assert "traces go to a temporary directory" in "".join(second.progress)
    assert first.processes_left() == second.processes_left() == []


def test_a_data_directory_that_was_asked_for_and_is_held_is_an_error(tmp_path):
    data = tmp_path / "mine"
    with demo(tmp_path, "--data", str(data)) as first:
        first.wait_for("Running on")
        with demo(tmp_path, "--once", "--json", "--data", str(data)) as second:
            code, out = second.finish()
        first.signal(signal.SIGINT)
        first.finish()

    assert code == 3
    assert json.loads(out)["error"]["code"] == "store_locked"
    assert second.processes_left() == []


def wait_for_operation(ui, service, name):
    """Look until the stack has a span of that name; fails after 10 s."""
    url = f"{ui}/api/v3/operations?service={service}"
    deadline_s = time.monotonic() + 10
    while True:
        with urllib.request.urlopen(url, timeout=5) as answer:
            if name in {each["name"] for each in json.load(answer)["operations"]}:
                return
        assert time.monotonic() < deadline_s, f"no {name} from {service}"
        time.sleep(0.05)  # real time of another process


def zerostate(*arguments):
    command = "from zerostate.cli import entry_point; entry_point()"
    return subprocess.run(
        [sys.executable, "-c", command, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )


def wait_readable(pidfd, timeout_ms=10_000):
    """A pidfd polls as readable once its process has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_ms))
