"""node.channel_commands: what a node tells of its channels, and does with them."""

import json
from dataclasses import dataclass, field, replace

import pytest

from one_channel import CHANNEL, SETTLEMENT, VIEW, OneChannel
from zerostate.errors import (
    ChainUnreachableError,
    ChannelNotFoundError,
    InvalidQueryError,
)
from zerostate.ids import new_channel_id
from zerostate.node.channel_commands import ChannelCommands


@dataclass
class Asked:
    """A node's methods, called by their names, and what was told on the way."""

    channels: OneChannel
    page: str | None = "http://page"
    told: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, method, **params):
        def trace_url(trace_id):
            return f"{self.page}/trace/{trace_id}" if self.page else None

        async def progress(stage, text, _data=None):
            self.told.append((stage, text))

        methods = ChannelCommands(self.channels, trace_url).methods()
        answer = await methods[f"channel_{method}"](params, progress)
        return json.loads(json.dumps(answer))


@pytest.fixture
def ask():
    return Asked(OneChannel())


async def test_channels_are_listed_and_shown(autojump_clock, ask):
    (told,) = (await ask("list"))["channels"]
    assert told == await ask("show", channel_id=CHANNEL)
    assert (told["phase"], told["deposit"], told["paid"]) == ("open", 1000, 7)
    assert told["settlement"] is None


async def test_a_settled_channel_is_shown_with_its_trace(autojump_clock, ask):
    ask.channels.now = replace(VIEW, phase="settled", settlement=SETTLEMENT)
    told = await ask("show", channel_id=CHANNEL)
    assert told["settlement"]["tx_hash"] == "0xdd"
    assert told["settlement"]["trace_url"] == f"http://page/trace/{'ab' * 16}"
    ask.page = None
    told = await ask("show", channel_id=CHANNEL)
    assert told["settlement"]["trace_url"] is None
    ask.page = "http://page"
    untraced = replace(SETTLEMENT, trace_id="")
    ask.channels.now = replace(ask.channels.now, settlement=untraced)
    told = await ask("show", channel_id=CHANNEL)
    assert told["settlement"]["trace_url"] is None


async def test_closing_tells_each_step_and_then_the_settlement(autojump_clock, ask):
    told = await ask("close", channel_id=CHANNEL)
    assert ask.channels.calls == [("close", CHANNEL, False, False)]
    assert ask.told == [
        ("channel.phase", "the channel is closing"),
        ("channel.transaction", "transaction 0xdd"),
        ("channel.phase", "the channel is settled"),
    ]
    assert (told["phase"], told["settlement"]["claimed"]) == ("settled", 993)


async def test_a_close_that_takes_no_time_is_told_all_the_same(autojump_clock, ask):
    ask.channels.step_s = 0
    await ask("close", channel_id=CHANNEL)
    assert ask.told[-2:] == [
        ("channel.phase", "the channel is settled"),
        ("channel.transaction", "transaction 0xdd"),
    ]


async def test_what_is_wanted_of_a_close_is_handed_on(autojump_clock, ask):
    await ask("close", channel_id=CHANNEL, force=True, wait=True)
    assert ask.channels.calls == [("close", CHANNEL, True, True)]


async def test_a_close_that_fails_comes_out_as_it_is(autojump_clock, ask):
    ask.channels.fails = ChainUnreachableError("the chain is gone")
    with pytest.raises(ChainUnreachableError, match="the chain is gone"):
        await ask("close", channel_id=CHANNEL)


async def test_a_dispute_tells_its_transaction_if_there_is_one(autojump_clock, ask):
    told = await ask("dispute", channel_id=CHANNEL)
    assert told == {
        "tx": {"tx_hash": "0xee", "block_number": 9, "gas_used": 100, "fee_wei": 700}
    }
    ask.channels.receipt = None
    assert await ask("dispute", channel_id=CHANNEL) == {"tx": None}


async def test_a_part_is_withdrawn(autojump_clock, ask):
    told = await ask("withdraw", channel_id=CHANNEL, to_payee=5)
    assert told["tx"]["tx_hash"] == "0xee"
    assert ask.channels.calls == [("withdraw", CHANNEL, 0, 5)]


@pytest.mark.parametrize(
    ("method", "params", "says"),
    [
        ("show", {}, "channel_id: missing"),
        ("show", {"channel_id": "mine"}, "channel_id: not a channel id"),
        ("close", {"channel_id": CHANNEL, "force": 1}, "force: 1 is neither"),
        ("close", {"channel_id": CHANNEL, "wait": "no"}, "wait: 'no' is neither"),
        ("dispute", {}, "channel_id: missing"),
        ("withdraw", {"channel_id": CHANNEL}, "nothing is to be paid out"),
        ("withdraw", {"channel_id": CHANNEL, "to_payee": -1}, "to_payee: -1 is not"),
        ("withdraw", {"channel_id": CHANNEL, "to_payer": 1.5}, "to_payer: 1.5 is not"),
        ("withdraw", {"channel_id": CHANNEL, "to_payer": 1 << 63}, "is not an integer"),
        ("withdraw", {"to_payer": 1}, "channel_id: missing"),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_done(
    autojump_clock, ask, method, params, says
):
    with pytest.raises(InvalidQueryError, match=says):
        await ask(method, **params)
    assert ask.channels.calls == []


@pytest.mark.parametrize("method", ["show", "close"])
async def test_an_unknown_channel_is_named(autojump_clock, ask, method):
    unknown = new_channel_id()
    with pytest.raises(ChannelNotFoundError, match=unknown):
        await ask(method, channel_id=unknown)
