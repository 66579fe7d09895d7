"""node.bans: whom the operator has banned, through restarts."""

import json
import math
from collections import Counter

import pytest

from zerostate.errors import StoreCorruptError, StoreUnavailableError
from zerostate.evidence.identity import Identity
from zerostate.node.bans import MAX_END_UNIX_NS, Bans
from zerostate.p2p import P2PConfig
from zerostate.p2p.access import MAX_BANS, AccessList
from zerostate.testing import FakeClock
from zerostate.units import NS_PER_S

ME, BOB, CAROL = (Identity(bytes([n]) * 32).peer_id for n in (1, 2, 3))
START_NS = 1_800_000_000 * NS_PER_S


class Started:
    """A node's list of bans, from its start on."""

    def __init__(self, path, wall_ns=START_NS, **options):
        self.clock = FakeClock(wall_ns)
        self.access = AccessList(P2PConfig(), me=ME, counts=Counter())
        self.bans = Bans(path, self.access, self.clock, **options)
        self.bans.restore()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bans.json"


async def test_a_ban_is_there_after_a_restart_for_what_is_left_of_it(path):
    first = Started(path)
    assert await first.bans.ban(BOB, 100.0) is None
    assert await first.bans.ban(CAROL, math.inf) is None

    later = Started(path, START_NS + 40 * NS_PER_S)
    left_s = later.access.bans()
    assert left_s[BOB] == pytest.approx(60, abs=5)  # the real time of the test apart
    assert left_s[CAROL] == math.inf
    assert later.bans.ends()[CAROL] is None
    assert later.bans.ends()[BOB] == pytest.approx(
        START_NS + 100 * NS_PER_S, abs=5 * NS_PER_S
    )


async def test_a_ban_that_ended_while_the_node_was_down_is_none(path):
    await Started(path).bans.ban(BOB, 100.0)

    assert Started(path, START_NS + 100 * NS_PER_S).access.bans() == {}


async def test_a_ban_that_was_ended_is_none_after_a_restart(path):
    first = Started(path)
    await first.bans.ban(BOB, 100.0)
    await first.bans.ban(CAROL, 100.0)

    assert await first.bans.unban(BOB) == (True, None)
    assert await first.bans.unban(BOB) == (False, None)
    assert set(Started(path).access.bans()) == {CAROL}


async def test_a_ban_that_cannot_be_written_holds_and_says_so(path):
    def refuse(_path, _data):
        raise StoreUnavailableError("no space left")

    node = Started(path, write=refuse)

    assert await node.bans.ban(BOB, 100.0) == "no space left"
    assert node.access.is_banned(BOB)
    assert await node.bans.unban(BOB) == (True, "no space left")
    assert not node.access.is_banned(BOB)


async def test_an_end_beyond_all_numbers_is_as_late_or_as_early_as_can_be(path):
    ends = {BOB: 10**400, CAROL: -(10**400)}
    path.write_text(json.dumps({"version": 1, "bans": ends}))
    node = Started(path)

    assert set(node.access.bans()) == {BOB}
    assert node.bans.ends()[BOB] == pytest.approx(MAX_END_UNIX_NS, rel=1e-6)


async def test_as_many_bans_as_there_can_be_are_kept(path):
    node = Started(path)
    for n in range(MAX_BANS - 1):
        peer_id = Identity(n.to_bytes(32, "big")).peer_id
        node.access.ban(peer_id, 100.0, "a test")
    await node.bans.ban(BOB, 100.0)

    assert len(Started(path).access.bans()) == MAX_BANS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"version": 1}',
        '{"version": 2, "bans": {}}',
        json.dumps({"version": 1, "bans": {"somebody": None}}),
        json.dumps({"version": 1, "bans": {BOB: "tomorrow"}}),
        json.dumps({"version": 1, "bans": {BOB: True}}),
        json.dumps({"version": 1, "bans": {ME: None}}),
    ],
)
async def test_a_file_that_is_not_understood_lets_nobody_in(path, text):
    path.write_text(text)

    with pytest.raises(StoreCorruptError, match="not a list of bans") as caught:
        Started(path)
    assert str(path) in str(caught.value)


async def test_a_file_that_cannot_be_read_lets_nobody_in(path):
    path.mkdir()

    with pytest.raises(StoreCorruptError, match="Is a directory"):
        Started(path)
