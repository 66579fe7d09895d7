"""Channels in lines for people."""

import pytest

from zerostate.cli.channel_text import ChannelEntry, details, table, transaction
from zerostate.errors import ProcessError
from zerostate.units import NS_PER_S

NOW_S = 1_800_000_000
NOW_NS = NOW_S * NS_PER_S
OPEN = {
    "channel_id": "0xaa",
    "peer_id": "12D3KooWbcdefghijk",
    "role": "payer",
    "phase": "open",
    "funded": True,
    "deposit": 1000,
    "deposit_payee": 0,
    "paid": 7,
    "withdrawn_payer": 0,
    "withdrawn_payee": 0,
    "nonce": 3,
    "window_s": 86_400,
    "expires_unix_s": NOW_S + 7200,
    "deadline_s": 0,
    "tx_hash": "0xcc",
    "settlement": None,
    "in_flight": 0,
    "is_compared": True,
}
PROMISE = OPEN | {
    "channel_id": "0xbbbb",
    "funded": False,
    "nonce": -1,
    "window_s": 0,
    "expires_unix_s": 0,
    "tx_hash": "",
}
DISPUTED = OPEN | {
    "phase": "disputed",
    "deadline_s": NOW_S + 90,
    "deposit_payee": 50,
    "withdrawn_payee": 4,
}
SETTLED = OPEN | {
    "phase": "settled",
    "deadline_s": NOW_S - 90,
    "settlement": {
        "channel_id": "0xaa",
        "tx_hash": "0xdd",
        "block_number": 12,
        "gas_used": 130_907,
        "cooperative": True,
        "net": 7,
        "claimed": 993,
        "trace_id": "ab" * 16,
        "span_id": "cd" * 8,
        "trace_url": "http://127.0.0.1:16686/trace/abab",
    },
}


def text(lines):
    return "\n".join(lines)


def shown(raw):
    return text(details(ChannelEntry.parse(raw), now_unix_ns=NOW_NS))


def test_a_list_has_a_line_for_each_channel():
    channels = [ChannelEntry.parse(raw) for raw in (OPEN, PROMISE, DISPUTED, SETTLED)]

    assert text(table(channels, now_unix_ns=NOW_NS)) == (
        "CHANNEL  PEER       ROLE   PHASE           DEPOSIT  PAID  TIME\n"
        "0xaa     …defghijk  payer  open            1000     7     expires: 2 h left\n"
        "0xbbbb   …defghijk  payer  open (promise)  1000     7     -\n"
        "0xaa     …defghijk  payer  disputed        1050     7     window: 1 min left\n"
        "0xaa     …defghijk  payer  settled         1000     7     -"
    )


def test_without_channels_that_is_said():
    assert list(table([], now_unix_ns=NOW_NS)) == ["No channels."]


def test_an_open_channel_is_shown_with_its_money_and_its_end():
    assert shown(OPEN) == (
        "Channel      0xaa\n"
        "Phase        open\n"
        "Peer         12D3KooWbcdefghijk\n"
        "Our role     payer\n"
        "Deposit      1000\n"
        "Paid         7\n"
        "Withdrawn    0\n"
        "In flight    nothing\n"
        "Nonce        3\n"
        "Window       1 d\n"
        "Expires      2027-01-15 10:00:00 UTC (2 h left)\n"
        "Transaction  0xcc"
    )


def test_a_promise_has_no_window_and_no_transaction():
    assert shown(PROMISE).splitlines() == [
        "Channel    0xbbbb",
        "Phase      open (promise)",
        "Peer       12D3KooWbcdefghijk",
        "Our role   payer",
        "Deposit    1000",
        "Paid       7",
        "Withdrawn  0",
        "In flight  nothing",
        "Nonce      none yet",
    ]


def test_what_the_payee_has_not_signed_yet_is_told():
    lines = shown(OPEN | {"in_flight": 5}).splitlines()
    assert "In flight    5, which the payee has not signed" in lines


def test_a_restored_channel_is_told_from_others():
    restored = OPEN | {"is_compared": False}
    lines = shown(restored).splitlines()
    assert "Phase        open (restored)" in lines
    assert any(line.startswith("Restored     from a backup; ") for line in lines)
    listed = text(table([ChannelEntry.parse(restored)], now_unix_ns=NOW_NS))
    assert "open (restored)" in listed


def test_a_disputed_channel_is_shown_with_its_deadline():
    lines = shown(DISPUTED).splitlines()
    assert "Deadline     2027-01-15 08:01:30 UTC (1 min left)" in lines
    assert "Deposit      1000 of the payer, 50 of the payee" in lines
    assert "Withdrawn    0 of the payer, 4 of the payee" in lines


def test_a_window_that_is_over_is_told():
    over = DISPUTED | {"deadline_s": NOW_S - 1}
    assert "(over)" in shown(over)
    assert "window: over" in text(table([ChannelEntry.parse(over)], now_unix_ns=NOW_NS))


def test_a_settled_channel_is_shown_with_its_trace():
    assert shown(SETTLED).splitlines()[-5:] == [
        "Settled      by both, for 130907 gas",
        "Settled in   0xdd (block 12)",
        "Settled net  7",
        "Claimed      993",
        "Trace        http://127.0.0.1:16686/trace/abab",
    ]
    assert "Deadline" not in shown(SETTLED)


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({"trace_url": None}, f"Trace        {'ab' * 16}"),
        ({"trace_url": None, "trace_id": ""}, "Trace        none"),
    ],
)
def test_without_a_page_the_traces_id_is_shown(changes, last):
    raw = SETTLED | {"settlement": SETTLED["settlement"] | changes}
    assert shown(raw).splitlines()[-1] == last


def test_an_end_that_one_end_forced_is_told():
    raw = SETTLED | {"settlement": SETTLED["settlement"] | {"cooperative": False}}
    assert "by one end, after the window" in shown(raw)


def test_what_others_wrote_cannot_command_the_terminal():
    assert "\\x1b[2J" in shown(OPEN | {"peer_id": "\x1b[2J"})


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        OPEN | {"nonce": "3"},
        OPEN | {"funded": 1},
        OPEN | {"settlement": {}},
        {name: value for name, value in OPEN.items() if name != "phase"},
    ],
)
def test_what_is_no_channel_is_refused(raw):
    with pytest.raises(ProcessError, match="the node told something that is no"):
        ChannelEntry.parse(raw)


def test_what_a_newer_node_tells_beside_is_let_pass():
    assert ChannelEntry.parse(OPEN | {"mood": "good"}) == ChannelEntry.parse(OPEN)


def test_a_transaction_is_told():
    raw = {"tx_hash": "0xdd", "block_number": 9, "gas_used": 5, "fee_wei": 50}
    assert text(transaction(raw)) == (
        "Transaction  0xdd\nBlock        9\nGas          5, for 50 wei"
    )
    with pytest.raises(ProcessError, match="no transaction"):
        list(transaction({"tx_hash": 1}))
