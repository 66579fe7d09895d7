"""Supervision of real child processes."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zerostate.cli.concurrency import concurrently
from zerostate.cli.failures import Failure, ReportedError
from zerostate.cli.processes import ProcessSpec, Supervisor, child_environment
from zerostate.errors import ProcessError
from zerostate.payment.passphrase import PASSPHRASE_VARIABLE

FAKES = Path(__file__).parents[2] / "data" / "processes"


@pytest.fixture(autouse=True)
def _fake_modules(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(FAKES))


@pytest.fixture
def make_spec(tmp_path):
    def make(behaviour, *arguments, name="p", serves_others=False):
        return ProcessSpec(
            name=name,
            module="fake_process",
            arguments=(behaviour, *arguments),
            log_path=tmp_path / f"{name}.log",
            serves_others=serves_others,
        )

    return make


def supervised(story, **options):
    """Run `story(supervisor)` and stop everything after it, as the demo does."""

    async def run():
        supervisor = Supervisor(**options)
        try:
            return await story(supervisor)
        finally:
            await supervisor.stop()

    return asyncio.run(run())


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_process_is_ready_when_it_says_so_and_gone_after_stop(make_spec, tmp_path):
    async def story(supervisor):
        process = await supervisor.start(make_spec("good", "--flag", "a b"))
        assert is_running(process.pid)
        return process

    process = supervised(story)

    assert process.ready["pid"] == process.pid
    assert process.ready["arguments"] == ["--flag", "a b"]
    assert process.exit_code == -signal.SIGTERM
    assert not is_running(process.pid)
    assert (tmp_path / "p.log").read_text() == "up and running\n"


def test_it_has_a_process_group_of_its_own(make_spec):
    async def story(supervisor):
        process = await supervisor.start(make_spec("good"))
        return process.pid, os.getpgid(process.pid)

    pid, group = supervised(story)

    assert pid == group


def test_what_a_process_reports_at_its_start_is_raised(make_spec):
    with pytest.raises(ReportedError) as caught:
        supervised(
            lambda supervisor: supervisor.start(make_spec("fails", name="stack"))
        )

    assert caught.value.reported == Failure("port_in_use", "stack: 4318 is taken")


def test_a_process_that_ends_at_its_start_is_told_with_its_last_words(make_spec):
    with pytest.raises(ProcessError, match=r"exit code 7 .* it said: no disk left"):
        supervised(lambda supervisor: supervisor.start(make_spec("dies")))


def test_a_process_that_never_gets_ready_is_given_up(make_spec):
    started = []

    async def story(supervisor):
        try:
            await supervisor.start(make_spec("silent"), timeout_s=0.2)
        finally:
            started.extend(supervisor.failed())

    with pytest.raises(ProcessError, match=r"not ready within 0\.2 s"):
        supervised(story)
    assert [is_running(process.pid) for process in started] == [False]


def test_other_words_than_a_ready_line_are_refused(make_spec):
    with pytest.raises(ProcessError, match="'hello' in place of a ready line"):
        supervised(lambda supervisor: supervisor.start(make_spec("babbles")))


def test_a_process_that_talks_much_is_never_blocked(make_spec):
    said = asyncio.Queue()

    async def story(supervisor):
        await supervisor.start(make_spec("chatty"))
        async with asyncio.timeout(20):
            while await said.get() != "[p] done talking":
                pass

    supervised(story, echo=said.put_nowait)


def test_a_process_that_ignores_sigterm_is_killed(make_spec):
    async def story(supervisor):
        process = await supervisor.start(make_spec("stubborn"))
        # As the second Ctrl-C does, in place of waiting for the grace to pass.
        stopping = asyncio.create_task(supervisor.stop())
        await asyncio.sleep(0)
        supervisor.kill_now()
        await stopping
        return process

    assert supervised(story).exit_code == -signal.SIGKILL


def test_a_frozen_process_is_killed_too(make_spec):
    async def story(supervisor):
        process = await supervisor.start(make_spec("good"))
        process.signal_group(signal.SIGSTOP)
        supervisor.kill_now()
        return process

    assert supervised(story).exit_code == -signal.SIGKILL


def test_killing_takes_the_whole_process_group(make_spec):
    async def story(supervisor):
        process = await supervisor.start(make_spec("family"))
        child = os.pidfd_open(process.ready["child"])
        supervisor.kill_now()
        return child

    child = supervised(story)
    try:
        assert wait_readable(child, 5)
    finally:
        os.close(child)


def test_who_serves_the_others_is_stopped_last(make_spec, tmp_path):
    order = tmp_path / "order"

    async def story(supervisor):
        def spec(name, *, serves_others):
            return make_spec(
                "tells order", str(order), name, name=name, serves_others=serves_others
            )

        await concurrently(
            supervisor.start(each)
            for each in (
                spec("stack", serves_others=True),
                spec("peer", serves_others=False),
            )
        )

    supervised(story)

    assert order.read_text().split() == ["peer", "stack"]


def test_a_process_that_has_died_is_noticed(make_spec):
    async def story(supervisor):
        process = await supervisor.start(make_spec("good"))
        assert supervisor.failed() == []
        os.kill(process.pid, signal.SIGKILL)
        assert await process.wait_ended() == -signal.SIGKILL
        assert supervisor.failed() == [process]

    supervised(story)


def test_cancelling_the_start_leaves_no_process(make_spec):
    left = []

    async def story(supervisor):
        start = asyncio.create_task(supervisor.start(make_spec("silent")))
        async with asyncio.timeout(5):
            while not supervisor.failed():  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0.001)
        left.extend(supervisor.failed())
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start

    supervised(story)

    assert [is_running(process.pid) for process in left] == [False]


def test_children_die_with_a_parent_that_is_killed(tmp_path):
    script = f"""
import asyncio, pathlib
from zerostate.cli.processes import ProcessSpec, Supervisor
async def main():
    spec = ProcessSpec(name="p", module="fake_process", arguments=("stubborn",),
                       log_path=pathlib.Path({str(tmp_path / "p.log")!r}))
    process = await Supervisor().start(spec)
    print(process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE
    ) as parent:
        pid = int(parent.stdout.readline())
        child = os.pidfd_open(pid)
        try:
            parent.kill()
            parent.wait()
            assert wait_readable(child, 5)
        finally:
            os.close(child)


def wait_readable(pidfd, timeout_s):
    """A pidfd polls as readable once its process has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def test_a_module_that_is_not_there_is_told(tmp_path):
    spec = ProcessSpec(
        name="p", module="zerostate.not_there", log_path=tmp_path / "p.log"
    )

    with pytest.raises(ProcessError, match="exit code 1"):
        supervised(lambda supervisor: supervisor.start(spec))


def test_the_users_otel_settings_do_not_reach_our_processes():
    environ = child_environment(
        {
            "OTEL_SDK_DISABLED": "true",
            PASSPHRASE_VARIABLE: "secret",
            "PATH": "/bin",
            "https_proxy": "http://proxy",
        }
    )

    assert "OTEL_SDK_DISABLED" not in environ
    assert PASSPHRASE_VARIABLE not in environ
    assert environ["PATH"] == "/bin"
    assert environ["no_proxy"] == "127.0.0.1,localhost"
    assert json.loads(environ["ZEROSTATE_PARENT_PID"]) == os.getpid()


def test_clients_can_be_ended_before_those_who_serve_them(make_spec):
    async def story(supervisor):
        client = await supervisor.start(make_spec("good", name="client"))
        server = await supervisor.start(
            make_spec("good", name="server", serves_others=True)
        )
        await supervisor.stop_clients()
        return client.exit_code, server.exit_code, is_running(server.pid), server

    client_code, server_code, server_ran, server = supervised(story)

    assert client_code == -signal.SIGTERM
    assert server_code is None
    assert server_ran
    assert server.exit_code == -signal.SIGTERM
