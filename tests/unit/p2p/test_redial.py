"""Staying connected with chosen peers, in virtual time."""

from collections import Counter

import pytest
import trio

from zerostate.errors import OverloadedError, PeerUnreachableError
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig
from zerostate.p2p.presence import Presence
from zerostate.p2p.redial import MAX_KEPT, MAX_REDIALS_AT_ONCE, STEADY_S, Redial
from zerostate.testing.peers import open_memory_peers

ME = Identity(b"m" * 32).peer_id
CONFIG = P2PConfig(redial_after_s=1, redial_cap_s=60)


def address(n):
    return f"/ip4/127.0.0.1/tcp/1/p2p/{Identity(n.to_bytes(32, 'big')).peer_id}"


class Net:
    """Answers dials as told, and remembers when they came."""

    def __init__(self, nursery):
        self.presence = Presence()
        self.counts = Counter()
        self.dials = []
        self.at_once = self.most_at_once = 0
        self.dial_s = 0.0
        self.is_up = False
        self.redial = Redial(
            CONFIG,
            ME,
            self.presence,
            connect=self.connect,
            nursery=nursery,
            counts=self.counts,
        )

    async def connect(self, where):
        self.dials.append(trio.current_time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await trio.sleep(self.dial_s)
        self.at_once -= 1
        if not self.is_up:
            raise PeerUnreachableError(where)
        self.presence.arrived(where.rpartition("/")[2])

    def pauses(self):
        return [b - a for a, b in zip(self.dials, self.dials[1:], strict=False)]


async def test_pauses_double_up_to_the_cap_and_differ(autojump_clock):
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.redial.keep(address(1))
        await trio.sleep(600)
        nursery.cancel_scope.cancel()

    pauses = net.pauses()
    for pause, whole in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=False):
        assert whole / 2 <= pause <= whole
    assert len(pauses) >= 9
    assert len(set(pauses)) == len(pauses)
    assert net.counts["redial.failed"] == len(net.dials)


async def test_a_loss_after_a_steady_stay_begins_anew(autojump_clock):
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.redial.keep(address(1))
        await trio.sleep(100)
        net.is_up = True
        (peer_id,) = net.redial.kept()
        await net.presence.wait_here(peer_id)
        await trio.sleep(STEADY_S + 1)
        net.presence.left(peer_id)
        lost_at = trio.current_time()
        await net.presence.wait_here(peer_id)

        assert trio.current_time() - lost_at <= 1
        nursery.cancel_scope.cancel()


async def test_a_peer_that_closes_at_once_is_dialled_less_and_less(autojump_clock):
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.is_up = True
        net.redial.keep(address(1))
        (peer_id,) = net.redial.kept()

        async def throw_out():
            while True:
                await net.presence.wait_here(peer_id)
                net.presence.left(peer_id)

        nursery.start_soon(throw_out)
        await trio.sleep(600)
        nursery.cancel_scope.cancel()

    assert net.pauses()[-1] >= 30
    # The shortest pauses that chance allows: half of 1, 2, 4, 8, 16, 32, then of 60.
    assert len(net.dials) <= 1 + 6 + (600 - 31.5) // 30


async def test_few_dials_are_under_way_at_once(autojump_clock):
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.dial_s = 3.0
        for n in range(1, 21):
            net.redial.keep(address(n))
        await trio.sleep(60)
        nursery.cancel_scope.cancel()

    assert net.most_at_once == MAX_REDIALS_AT_ONCE


async def test_a_peer_is_kept_once_and_we_are_not(autojump_clock):
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.redial.keep(f"/ip4/127.0.0.1/tcp/1/p2p/{ME}")
        assert net.redial.kept() == frozenset()
        with pytest.raises(ValueError, match="not a peer address"):
            net.redial.keep("/ip4/127.0.0.1/tcp/1")
        for n in range(1, MAX_KEPT + 1):
            net.redial.keep(address(n))
            net.redial.keep(address(n))
        with pytest.raises(OverloadedError):
            net.redial.keep(address(MAX_KEPT + 1))
        assert len(net.redial.kept()) == MAX_KEPT
        nursery.cancel_scope.cancel()


async def test_a_kept_peer_is_dialled_again_when_it_is_lost(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        alice.node.keep_connected(bob.node.addresses[0])
        for _ in range(3):
            await trio.sleep(20)
            await bob.host.vanish()
            assert alice.node.connected() == frozenset()
            with trio.fail_after(2):
                while not alice.node.connected():  # noqa: ASYNC110  # a test's look
                    await trio.sleep(0.1)

        assert alice.node.stats()["redial.losses"] == 3


async def test_dials_of_a_kept_peer_are_marked_as_nobodys_work(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        (address,) = bob.node.addresses
        alice.node.keep_connected(f"/ip4/127.0.0.1/tcp/9/p2p/{address_of_nobody()}")
        await alice.node.disconnect(bob.peer_id)
        alice.node.keep_connected(address)
        await trio.sleep(5)
        again = [s for s in alice.recorder.spans if s.name.endswith("establish")]
        assert len(again) > 2
        assert all(span.attributes["zerostate.background"] is True for span in again)
        alice.recorder.clear()

        await alice.node.disconnect(bob.peer_id)
        await alice.node.connect(address)
        asked_for = alice.recorder.named("p2p.connection.establish")
        assert "zerostate.background" not in asked_for.attributes


def address_of_nobody():
    return Identity(b"n" * 32).peer_id
