from collections import Counter

import pytest
import trio

from zerostate.errors import OverloadedError, PeerLostError
from zerostate.p2p import P2PConfig
from zerostate.p2p.pacing import Pacer
from zerostate.testing.peers import open_memory_peers


async def test_a_burst_goes_at_once_and_the_rest_at_the_rate(autojump_clock):
    pacer = Pacer(rate_per_s=100, burst=10, max_waiting=100)
    turns = []

    async def take():
        await pacer.turn()
        turns.append(round(trio.current_time() - start, 6))

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(13):
            nursery.start_soon(take)

    assert turns == [0] * 10 + [0.01, 0.02, 0.03]


async def test_a_pause_earns_no_more_than_one_burst(autojump_clock):
    pacer = Pacer(rate_per_s=100, burst=2, max_waiting=100)
    await trio.sleep(60)
    start = trio.current_time()

    for _ in range(3):
        await pacer.turn()

    assert trio.current_time() - start == pytest.approx(0.01)


async def test_a_queue_that_is_full_refuses(autojump_clock):
    pacer = Pacer(rate_per_s=1, burst=1, max_waiting=2)
    outcomes = Counter()

    async def take():
        try:
            await pacer.turn()
        except OverloadedError:
            outcomes["refused"] += 1
        else:
            outcomes["served"] += 1

    await take()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(take)

    # After the burst, one is at the head of the line and two may wait behind it.
    assert outcomes == {"served": 4, "refused": 2}


async def test_a_frozen_peer_is_lost_within_five_seconds(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await trio.sleep(30)
        bob.host.freeze()
        frozen_at = trio.current_time()

        await alice.node.wait_lost(bob.peer_id)

        assert 3 < trio.current_time() - frozen_at < 5
        assert alice.node.connected() == frozenset()
        assert alice.node.stats()["peers.lost"] == 1


async def test_a_peer_that_is_busy_for_three_seconds_survives(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        for _ in range(5):
            bob.host.freeze()
            await trio.sleep(3)
            bob.host.thaw()
            await trio.sleep(2)

        assert alice.node.connected() == {bob.peer_id}


async def test_a_request_to_a_peer_that_vanishes_fails_at_once(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):

        async def never(message):
            await trio.sleep_forever()

        bob.node.handle("guild_join", never)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def vanish():
                await trio.sleep(1)
                await bob.host.vanish()

            nursery.start_soon(vanish)
            with pytest.raises(PeerLostError):
                await alice.node.request(bob.peer_id, "guild_join", b"")

        assert trio.current_time() - start == pytest.approx(1)


async def test_a_peer_that_comes_back_is_watched_again(autojump_clock):
    async with open_memory_peers(2, config=P2PConfig(ping_interval_s=0.5)) as peers:
        alice, bob = peers
        await bob.host.vanish()
        await alice.node.wait_lost(bob.peer_id)
        await alice.node.connect(bob.node.addresses[0])
        assert alice.node.connected() == {bob.peer_id}

        bob.host.freeze()
        with trio.fail_after(5):
            await alice.node.wait_lost(bob.peer_id)
