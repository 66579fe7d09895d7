"""node.peer_commands on a network in memory: who is connected, who is banned."""

import json

import pytest
import trio

from zerostate.errors import InvalidQueryError, PeerDeniedError
from zerostate.node.bans import Bans
from zerostate.node.peer_commands import MAX_BAN_S, PeerCommands
from zerostate.testing import FakeClock
from zerostate.testing.peers import open_memory_peers
from zerostate.units import NS_PER_S


def commands(peer, write=lambda _path, _data: None):
    """Return a peer's methods, called with their parameters only."""
    clock = FakeClock()
    bans = Bans("/none", peer.node.access, clock, write=write)
    methods = PeerCommands(peer.node, bans).methods()

    async def progress(stage, text, data=None):
        """Nothing is told on the way."""

    async def call(method, **params):
        answer = await methods[f"peer_{method}"](params, progress)
        return json.loads(json.dumps(answer))

    call.now_ns = clock.wall_ns()
    return call


async def test_who_is_connected_is_told_with_its_path_and_its_last_check():
    async with open_memory_peers(3) as (alice, bob, carol):
        await alice.node.health.check(bob.peer_id)
        told = await commands(alice)("list")

    assert (told["count"], told["bans"]) == (2, [])
    entries = {one["peer_id"]: one for one in told["peers"]}
    assert set(entries) == {bob.peer_id, carol.peer_id}
    assert entries[bob.peer_id]["relay"] is None
    assert entries[bob.peer_id]["address"].startswith("/ip4/")
    assert entries[bob.peer_id]["round_trip_s"] >= 0
    assert entries[carol.peer_id]["round_trip_s"] is None


async def test_a_banned_peer_is_disconnected_at_once_and_comes_back_when_unbanned():
    async with open_memory_peers(2) as (alice, bob):
        ask = commands(alice)
        told = await ask("ban", peer_id=bob.peer_id, for_s=60)
        until_unix_ns = told["until_unix_ns"]
        assert until_unix_ns == pytest.approx(ask.now_ns + 60 * NS_PER_S, abs=NS_PER_S)
        assert (told["peer_id"], told["unkept"]) == (bob.peer_id, None)
        with trio.fail_after(5):
            await alice.node.wait_lost(bob.peer_id)
        with pytest.raises(PeerDeniedError):
            await alice.node.connect(bob.node.addresses[0])
        (banned,) = (await ask("list"))["bans"]
        assert banned["peer_id"] == bob.peer_id

        lifted = {"peer_id": bob.peer_id, "was_banned": True, "unkept": None}
        assert await ask("unban", peer_id=bob.peer_id) == lifted
        await alice.node.connect(bob.node.addresses[0])
        assert await ask("unban", peer_id=bob.peer_id) == lifted | {"was_banned": False}


async def test_a_ban_without_a_time_has_no_end_and_no_shorter_one_ends_it():
    async with open_memory_peers(2) as (alice, bob):
        ask = commands(alice)
        for more in ({}, {"for_s": None}, {"for_s": 1}):
            told = await ask("ban", peer_id=bob.peer_id, **more)
            assert told["until_unix_ns"] is None


async def test_what_is_no_peer_or_no_time_is_refused():
    async with open_memory_peers(2) as (alice, bob):
        ask = commands(alice)
        for peer_id in ("bob", "", None, 7):
            for method in ("ban", "unban"):
                with pytest.raises(InvalidQueryError, match="peer_id: "):
                    await ask(method, peer_id=peer_id)
        with pytest.raises(InvalidQueryError, match="cannot ban itself"):
            await ask("ban", peer_id=alice.peer_id)
        for for_s in (0, -1, "1 h", True, float("nan"), MAX_BAN_S * 2):
            with pytest.raises(InvalidQueryError, match="for_s: "):
                await ask("ban", peer_id=bob.peer_id, for_s=for_s)
        assert alice.node.connected() == {bob.peer_id}
