"""Connections of a `Host`: who may have one, and what becomes of several at once."""

from contextlib import suppress

import pytest
import trio

from hosts import ALICE, BOB, CAROL, eventually, host_opener
from zerostate.errors import PeerUnreachableError
from zerostate.p2p.host import Newcomer


async def test_a_dial_by_both_at_once_gives_each_one_stay(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, of_alice), (bob, of_bob)]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alice.connect, bob.addresses[0])
            nursery.start_soon(bob.connect, alice.addresses[0])

        await eventually(lambda: of_alice.presence and of_bob.presence)
        # Whatever one of two connections would do to the other, it has done by now.
        with trio.fail_after(5):
            for _ in range(3):
                await alice.ping(BOB.peer_id)
                await bob.ping(ALICE.peer_id)
        assert of_alice.presence == [("connected", BOB.peer_id)]
        assert of_bob.presence == [("connected", ALICE.peer_id)]

        await alice.disconnect(BOB.peer_id)
        await eventually(
            lambda: of_bob.presence[1:] == [("disconnected", ALICE.peer_id)]
        )
        assert of_alice.presence[1:] == [("disconnected", BOB.peer_id)]


async def test_a_dial_that_another_connection_has_overtaken_succeeds(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, of_alice), (bob, of_bob)]:
        for listener in (of_alice, of_bob):
            listener.wanted = lambda n: n.inbound or not n.others_of_peer
        for _ in range(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(alice.connect, bob.addresses[0])
                nursery.start_soon(bob.connect, alice.addresses[0])

            assert alice.connected() == {BOB.peer_id}
            with trio.fail_after(10):
                while bob.connected():  # his dial may still arrive
                    await alice.disconnect(BOB.peer_id)
                    await trio.sleep(0.01)


async def test_two_dials_of_one_peer_at_once_make_one_connection(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, of_alice), (bob, _)]:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(alice.connect, bob.addresses[0])

        assert [n.inbound for n in of_alice.newcomers] == [False]
        assert of_alice.presence == [("connected", BOB.peer_id)]


async def test_a_listener_is_asked_before_and_after_the_handshake(open_hosts):
    async with open_hosts(ALICE, BOB, CAROL) as pairs:
        (alice, of_alice), (bob, of_bob), (carol, _) = pairs
        await alice.connect(bob.addresses[0])
        await carol.connect(bob.addresses[0])
        await eventually(lambda: len(of_bob.presence) == 2)

    assert of_alice.newcomers == [
        Newcomer(BOB.peer_id, inbound=False, others=0, others_of_peer=0)
    ]
    assert of_bob.newcomers == [
        Newcomer(None, inbound=True, others=0, others_of_peer=0),
        Newcomer(ALICE.peer_id, inbound=True, others=0, others_of_peer=0),
        Newcomer(None, inbound=True, others=1, others_of_peer=0),
        Newcomer(CAROL.peer_id, inbound=True, others=1, others_of_peer=0),
    ]


@pytest.mark.parametrize("knows_who", [False, True])
async def test_a_refused_newcomer_is_closed_and_nobody_is_told(open_hosts, knows_who):
    async with open_hosts(ALICE, BOB) as [(alice, of_alice), (bob, of_bob)]:
        of_bob.wanted = lambda n: (n.peer_id is not None) != knows_who
        # It may be noticed only when the other end has hung up: a stay, if a short one.
        with suppress(PeerUnreachableError):
            await alice.connect(bob.addresses[0])
        await eventually(lambda: alice.connected() == frozenset())
        await eventually(
            lambda: (
                [what for what, _ in of_alice.presence]
                in ([], ["connected", "disconnected"])
            )
        )
        assert of_bob.newcomers[-1].peer_id == (ALICE.peer_id if knows_who else None)
        assert of_bob.presence == []
        assert bob.connected() == frozenset()

        of_bob.wanted = lambda _newcomer: True
        await alice.connect(bob.addresses[0])
        await eventually(lambda: of_bob.presence == [("connected", ALICE.peer_id)])


async def test_a_dial_whose_end_we_do_not_admit_is_undone(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, of_alice), (bob, _)]:
        of_alice.wanted = lambda _newcomer: False

        with pytest.raises(PeerUnreachableError):
            await alice.connect(bob.addresses[0])

        assert of_alice.presence == []
        await eventually(lambda: bob.connected() == frozenset())


async def test_refusals_do_not_use_up_room(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, of_bob)]:
        of_bob.wanted = lambda newcomer: newcomer.peer_id is None
        for _ in range(5):
            with suppress(PeerUnreachableError):
                await alice.connect(bob.addresses[0])
            await eventually(lambda: alice.connected() == frozenset())
        of_bob.wanted = lambda _newcomer: True
        await alice.connect(bob.addresses[0])

        assert {newcomer.others for newcomer in of_bob.newcomers} == {0}


async def test_a_path_tells_who_dialled_and_where(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, of_bob)]:
        assert alice.path(BOB.peer_id) is None

        await alice.connect(bob.addresses[0])
        await eventually(lambda: of_bob.presence)

        here, there = alice.path(BOB.peer_id), bob.path(ALICE.peer_id)
        assert (here.relay, here.dialled) == (None, True)
        assert bob.addresses[0].startswith(here.address + "/p2p/")
        assert (there.relay, there.dialled) == (None, False)
        assert there.address.startswith("/ip4/127.0.0.1/tcp/")

        await alice.disconnect(BOB.peer_id)
        assert alice.path(BOB.peer_id) is None


async def test_who_listens_nowhere_dials_and_is_not_dialled(open_hosts):
    async with open_hosts(ALICE, BOB, silent=[ALICE]) as pairs:
        [(alice, _), (bob, of_bob)] = pairs
        assert alice.addresses == ()

        await alice.connect(bob.addresses[0])

        await eventually(lambda: of_bob.presence == [("connected", ALICE.peer_id)])


async def test_who_is_refused_without_a_word_is_told_what_that_may_mean():
    async with host_opener("libp2p")(ALICE, BOB) as [(alice, _), (bob, seen)]:
        seen.wanted = lambda _newcomer: False

        with pytest.raises(PeerUnreachableError, match="may be full or may not want"):
            await alice.connect(bob.addresses[0])
