"""The lookup: it finds the closest peers, and ends whatever the answers are."""

import hashlib

import base58
import pytest
import trio

from zerostate.evidence.identity import Identity
from zerostate.p2p._libp2p.dht_walk import ASKED_AT_ONCE, MAX_ASKED, Walk
from zerostate.p2p.dht_host import REPLICAS, Contact

ME = Identity(b"m" * 32).peer_id
PEERS = [
    Contact(Identity(number.to_bytes(32, "big")).peer_id, ()) for number in range(1, 81)
]
TARGET = b"/zerostate/peer/somebody/status"


def distance(contact):
    point = hashlib.sha256(base58.b58decode(contact.peer_id)).digest()
    wanted = hashlib.sha256(TARGET).digest()
    return int.from_bytes(point, "big") ^ int.from_bytes(wanted, "big")


BY_DISTANCE = sorted(PEERS, key=distance)


class Network:
    """Peers that know the next few, and take a second to answer."""

    def __init__(self, peers, *, dead=()):
        self.peers = peers
        self.dead = dead
        self.asked = []
        self.open = 0
        self.most_open = 0

    async def ask(self, contact):
        self.asked.append(contact)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await trio.sleep(1)
        self.open -= 1
        if contact in self.dead:
            return None
        index = self.peers.index(contact)
        return self.peers[max(0, index - 3) : index + 4]


def walk(network, start):
    return Walk(TARGET, me=ME, start=start, ask=network.ask)


async def test_it_finds_the_closest_peers_from_the_farthest_one(autojump_clock):
    network = Network(BY_DISTANCE[:40])

    found = await walk(network, [BY_DISTANCE[39]]).run()

    assert list(found) == BY_DISTANCE[:REPLICAS]
    assert len(network.asked) == len(set(network.asked)) <= MAX_ASKED
    assert network.most_open <= ASKED_AT_ONCE


async def test_who_does_not_answer_makes_room_for_the_next(autojump_clock):
    dead = BY_DISTANCE[:4]
    network = Network(BY_DISTANCE[:30], dead=dead)

    found = await walk(network, BY_DISTANCE[:2] + BY_DISTANCE[8:12]).run()

    assert list(found) == BY_DISTANCE[4 : 4 + REPLICAS]


async def test_it_never_asks_itself_nor_anybody_twice(autojump_clock):
    mine = Contact(ME, ("/ip4/127.0.0.1/tcp/1",))
    network = Network([*PEERS[:2], mine])

    await walk(network, [mine, PEERS[0], PEERS[0]]).run()

    assert sorted(network.asked, key=str) == sorted(PEERS[:2], key=str)


async def test_answers_that_name_ever_closer_peers_end(autojump_clock):
    network = Network(BY_DISTANCE, dead=BY_DISTANCE)
    network.peers = BY_DISTANCE

    found = await walk(network, BY_DISTANCE).run()

    assert found == ()
    assert len(network.asked) == MAX_ASKED


async def test_a_stopped_lookup_asks_no_more_and_keeps_what_it_has(autojump_clock):
    network = Network(BY_DISTANCE)

    async def ask(contact):
        closer = await network.ask(contact)
        lookup.stop()
        return closer

    lookup = Walk(TARGET, me=ME, start=[BY_DISTANCE[5]], ask=ask)

    assert list(await lookup.run()) == [BY_DISTANCE[5]]
    assert network.asked == [BY_DISTANCE[5]]


@pytest.mark.parametrize("answering", [0, 1])
async def test_a_cancelled_lookup_tells_how_far_it_got(autojump_clock, answering):
    network = Network(BY_DISTANCE)
    lookup = walk(network, [BY_DISTANCE[9]])
    with trio.move_on_after(0.5 + answering):
        await lookup.run()

    assert list(lookup.closest()) == [BY_DISTANCE[9]] * answering


async def test_nobody_to_ask_is_no_failure(autojump_clock):
    assert await walk(Network([]), []).run() == ()
