"""``zerostate channel`` against the control socket of a node that has one channel."""

import json
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
import trio

from one_channel import CHANNEL, SETTLEMENT, VIEW, OneChannel
from zerostate.cli.main import main
from zerostate.errors import ChainUnreachableError, InsufficientGasError
from zerostate.ids import new_channel_id
from zerostate.node.channel_commands import ChannelCommands
from zerostate.node.control import ControlServer
from zerostate.units import Minor


@contextmanager
def served(channels, data_dir):
    """Answer on the node's control socket in another thread inside the block."""
    commands = ChannelCommands(channels, lambda trace_id: f"http://page/{trace_id}")
    server = ControlServer(data_dir / "control.sock", commands.methods())
    listening = threading.Event()
    scope = trio.CancelScope()
    token = None

    async def serve():
        nonlocal token
        token = trio.lowlevel.current_trio_token()
        with scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve)
                listening.set()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    try:
        assert listening.wait(10)
        yield
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join(10)


@pytest.fixture
def channel(tmp_path, capsys):
    """Run the command against a node; return its exit code, output and errors."""
    channels = OneChannel(step_s=0)

    def run(*words):
        with served(channels, tmp_path):
            code = main(["channel", *words, "--node", str(tmp_path)])
        told = capsys.readouterr()
        return code, told.out, told.err

    run.channels = channels
    return run


def test_channels_are_listed(channel):
    code, output, errors = channel("list")
    assert (code, errors) == (0, "")
    assert output.splitlines()[1].startswith(f"{CHANNEL}  …")
    code, output, _ = channel("list", "--json")
    (told,) = json.loads(output)["channels"]
    assert told["channel_id"] == CHANNEL


def test_a_channel_is_shown(channel):
    channel.channels.now = replace(VIEW, phase="settled", settlement=SETTLEMENT)
    code, output, errors = channel("show", CHANNEL)
    assert (code, errors) == (0, "")
    assert f"Trace        http://page/{SETTLEMENT.trace_id}" in output.splitlines()


def test_why_a_channel_cannot_pay_now_is_told(channel):
    channel.channels.now = replace(VIEW, is_compared=False, in_flight=Minor(20))
    _, output, _ = channel("show", CHANNEL)
    lines = output.splitlines()
    assert "Phase        open (restored)" in lines
    assert "In flight    20, which the payee has not signed" in lines
    assert any("nothing is signed before the other end has" in line for line in lines)


@pytest.mark.parametrize(
    ("window_s", "phase"), [(60, "opening"), (0, "opening (promise)")]
)
def test_a_deposit_that_is_awaited_is_no_promise(channel, window_s, phase):
    view = replace(VIEW, phase="opening", funded=False, window_s=window_s)
    channel.channels.now = view
    _, output, _ = channel("show", CHANNEL)
    assert f"Phase        {phase}" in output.splitlines()


def test_a_channel_is_closed_and_its_settlement_shown(channel):
    code, output, errors = channel("close", CHANNEL)
    assert code == 0
    assert channel.channels.calls == [("close", CHANNEL, False, False)]
    assert "Settled      by both, for 130907 gas" in output.splitlines()
    assert "not settled yet" not in errors


def test_a_close_that_is_only_begun_says_what_is_still_to_come(channel):
    channel.channels.is_slow = True
    code, output, errors = channel("close", CHANNEL, "--force", "--wait")
    assert code == 0
    assert channel.channels.calls == [("close", CHANNEL, True, True)]
    assert "Phase        disputed" in output.splitlines()
    assert "not settled yet: its window has to pass first" in errors


def test_a_dispute_shows_its_transaction(channel):
    code, output, _ = channel("dispute", CHANNEL)
    assert (code, output.splitlines()[0]) == (0, "Transaction  0xee")
    channel.channels.receipt = None
    code, output, _ = channel("dispute", CHANNEL)
    assert (code, output) == (
        0,
        "Nothing to answer: the chain knows no older state than this node.\n",
    )


def test_a_part_is_withdrawn(channel):
    code, output, _ = channel("withdraw", CHANNEL, "--to-payee", "5", "--json")
    assert code == 0
    assert json.loads(output)["tx"]["block_number"] == 9
    assert channel.channels.calls == [("withdraw", CHANNEL, 0, 5)]


UNKNOWN = new_channel_id()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["show", UNKNOWN], "channel_not_found", f"no channel {UNKNOWN}"),
        (["close", UNKNOWN], "channel_not_found", f"no channel {UNKNOWN}"),
        (["show", "mine"], "invalid_query", "channel_id: not a channel id: 'mine'"),
        (["withdraw", CHANNEL], "invalid_query", "nothing is to be paid out"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_code_2(channel, words, code, says):
    exit_code, output, errors = channel(*words, "--json")
    assert exit_code == 2
    assert json.loads(output)["error"]["code"] == code
    assert says in json.loads(output)["error"]["message"]
    assert errors.startswith("error: ")


@pytest.mark.parametrize(
    ("failure", "code", "hint"),
    [
        (ChainUnreachableError("the chain is gone"), 3, ""),
        (InsufficientGasError("no gas"), 1, "zerostate key show tells its address"),
    ],
)
def test_a_close_that_fails_is_told_with_what_to_do(channel, failure, code, hint):
    channel.channels.fails = failure
    exit_code, output, errors = channel("close", CHANNEL)
    assert (exit_code, output) == (code, "")
    assert f"error: {failure}" in errors
    assert hint in errors


def test_negative_amounts_are_wrong_usage(channel):
    code, _, errors = channel("withdraw", CHANNEL, "--to-payer", "-1")
    assert code == 2
    assert "--to-payer" in errors


def test_without_a_node_that_is_told(tmp_path, capsys):
    assert main(["channel", "list", "--node", str(tmp_path)]) == 3
    assert f"no node runs on {tmp_path}" in capsys.readouterr().err
