"""Guilds in lines for people."""

import pytest

from zerostate.cli.columns import span_of
from zerostate.cli.guild_text import GuildEntry, details, table
from zerostate.errors import ProcessError
from zerostate.units import NS_PER_S

NOW_NS = 1_800_000_000 * NS_PER_S
MEMBER = {
    "peer_id": "12D3KooWa",
    "role": "executor",
    "capabilities": ["wasm", "gpu"],
    "price_base": 5,
    "price_per_gigafuel": 7,
    "heartbeat_age_s": 61.5,
}
CREATOR = {
    "peer_id": "12D3KooWb",
    "role": "creator",
    "capabilities": [],
    "price_base": None,
    "price_per_gigafuel": None,
    "heartbeat_age_s": None,
}
OPEN = {
    "guild_id": "guild-1",
    "state": "open",
    "end_reason": None,
    "ended_unix_ns": None,
    "role": "creator",
    "creator": "12D3KooWb",
    "members": [CREATOR, MEMBER],
    "version": 2,
    "epoch": 3,
    "max_members": 5,
    "expires_unix_ns": NOW_NS + 7200 * NS_PER_S,
}
ENDED = OPEN | {
    "guild_id": "guild-22",
    "state": "ended",
    "end_reason": "evicted",
    "ended_unix_ns": NOW_NS - 90 * NS_PER_S,
    "role": None,
    "epoch": None,
    "max_members": None,
}


def text(lines):
    return "\n".join(lines)


def test_a_list_has_a_line_for_each_guild():
    guilds = [GuildEntry.parse(raw) for raw in (OPEN, ENDED)]

    assert text(table(guilds, now_unix_ns=NOW_NS)) == (
        "GUILD     STATE    ROLE     MEMBERS  TIME\n"
        "guild-1   open     creator  2 of 5   2 h left\n"
        "guild-22  evicted  none     2        1 min ago"
    )


def test_without_guilds_that_is_said():
    assert list(table([], now_unix_ns=NOW_NS)) == ["No guilds."]


def test_one_guild_is_shown_with_its_members():
    assert text(details(GuildEntry.parse(OPEN), now_unix_ns=NOW_NS)) == (
        "Guild      guild-1\n"
        "State      open\n"
        "Time       2 h left\n"
        "Creator    12D3KooWb\n"
        "Our role   creator\n"
        "Members    2 of 5\n"
        "Version    2\n"
        "Key epoch  3\n"
        "\n"
        "MEMBER     ROLE      OFFERS     PRICE           HEARD\n"
        "12D3KooWb  creator   -          -               -\n"
        "12D3KooWa  executor  wasm, gpu  5 + 7/gigafuel  1 min ago"
    )


def test_what_others_wrote_cannot_command_the_terminal():
    member = MEMBER | {"capabilities": ["\x1b[2Jwasm\n"]}
    shown = details(GuildEntry.parse(OPEN | {"members": [member]}), now_unix_ns=NOW_NS)

    assert "\\x1b[2Jwasm\\n" in text(shown)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        OPEN | {"version": "2"},
        OPEN | {"members": [{}]},
        OPEN | {"members": [MEMBER | {"role": None}]},
        OPEN | {"end_reason": 1},
    ],
)
def test_what_is_no_guild_is_refused(raw):
    with pytest.raises(ProcessError, match="the node told something that is no guild"):
        GuildEntry.parse(raw)


def test_what_a_newer_node_tells_beside_is_let_pass():
    assert GuildEntry.parse(OPEN | {"mood": "good"}) == GuildEntry.parse(OPEN)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86_399, "23 h"),
        (3 * 86_400 + 1, "3 d"),
    ],
)
def test_time_is_told_in_its_largest_unit(seconds, told):
    assert span_of(seconds) == told
