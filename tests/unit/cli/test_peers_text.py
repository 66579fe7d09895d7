"""Peers and bans in lines for people."""

import pytest

from zerostate.cli.peers_text import ban_told, peers_and_bans
from zerostate.errors import ProcessError
from zerostate.units import NS_PER_S

NOW_NS = 1_800_000_000 * NS_PER_S
DIRECT = {
    "peer_id": "12D3KooWa",
    "address": "/ip4/127.0.0.1/tcp/4101",
    "relay": None,
    "dialled": True,
    "round_trip_s": 0.0004,
    "clock_offset_ns": -1_500_000,
}
RELAYED = {
    "peer_id": "12D3KooWb",
    "address": "/p2p/12D3KooWc/p2p-circuit",
    "relay": "12D3KooWc",
    "dialled": False,
    "round_trip_s": None,
    "clock_offset_ns": None,
}
FOR_EVER = {"peer_id": "12D3KooWd", "until_unix_ns": None}
FOR_AN_HOUR = {"peer_id": "12D3KooWe", "until_unix_ns": NOW_NS + 3600 * NS_PER_S}


def told(**answer):
    empty = {"count": 0, "peers": [], "bans": []}
    return list(peers_and_bans(empty | answer, NOW_NS))


def test_each_peer_is_told_with_its_path_and_each_ban_with_its_end():
    lines = told(count=2, peers=[DIRECT, RELAYED], bans=[FOR_EVER, FOR_AN_HOUR])

    assert lines == [
        "PEER       PATH                     ROUND TRIP  CLOCK",
        "12D3KooWa  /ip4/127.0.0.1/tcp/4101  0.4 ms      -1.5 ms",
        "12D3KooWb  relay 12D3KooWc          -           -",
        "",
        "BANNED     ENDS",
        "12D3KooWd  never",
        "12D3KooWe  in 1 h",
    ]


def test_nobody_and_more_than_is_told_are_said():
    assert told() == ["no peer is connected"]
    assert told(count=9, peers=[DIRECT])[-1] == "… and 8 more"


def test_a_ban_is_told_with_its_end():
    assert ban_told(FOR_AN_HOUR, NOW_NS) == "banned 12D3KooWe; ends in 1 h"
    assert ban_told(FOR_EVER, NOW_NS) == "banned 12D3KooWd; ends never"


@pytest.mark.parametrize(
    "answer",
    [
        {"peers": None},
        {"peers": [{}], "count": 1},
        {"peers": [DIRECT | {"relay": 7}], "count": 1},
        {"bans": [{"peer_id": "a"}]},
        {"bans": [{"peer_id": "a", "until_unix_ns": "x"}]},
    ],
)
def test_what_is_no_list_of_peers_is_refused(answer):
    with pytest.raises(ProcessError, match="the node told something that is no"):
        told(**answer)
