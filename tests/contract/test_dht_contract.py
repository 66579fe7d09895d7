"""`zerostate.p2p.dht_host.DhtHost`: one text, held against Kademlia and the memory."""

import itertools
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from hosts import ALICE, BOB, CAROL, eventually, host_opener
from zerostate.evidence.identity import Identity
from zerostate.p2p.dht_host import Held

CAPABILITY = "/zerostate/capability/wasm"
KEY = f"/zerostate/peer/{ALICE.peer_id}/status"
"""Longer than the 50 bytes that py-libp2p's own lookups allow."""


class Rules:
    """Values are ``v<digit>``; the highest is the best."""

    def __init__(self):
        self.invalid = []
        self.unserved = []

    def valid(self, key, value):
        is_valid = key.startswith("/zerostate/") and value[:1] == b"v"
        if not is_valid:
            self.invalid.append((key, value))
        return is_valid

    def select(self, key, values):
        valid = [v for v in values if v[:1] == b"v"]
        if not valid:
            return None
        return len(values) - 1 - list(values)[::-1].index(max(valid))

    def refused(self, reason):
        self.unserved.append(reason)


async def dial(host, address):
    host.dials.append(address)
    await host.connect(address)


def knows_its_neighbours(host):
    return host.dht.table_size() >= len(host.connected())


@pytest.fixture(params=["libp2p", "memory"])
def open_dht(request):
    """Returns a context manager: hosts that take part, connected one with the next."""
    open_hosts = host_opener(request.param)

    @asynccontextmanager
    async def open_chain(*identities, outsiders=()):
        async with open_hosts(*identities, *outsiders) as pairs:
            hosts = [host for host, _ in pairs]
            chain = hosts[: len(identities)]
            for host in chain:
                host.rules = Rules()
                host.dials = []
                host.own_addresses = host.addresses
                host.dht.start(
                    host.rules,
                    addresses=partial(getattr, host, "own_addresses"),
                    connect=partial(dial, host),
                )
            for near, far in itertools.pairwise(chain):
                await near.connect(far.addresses[0])
            for host in chain:
                await eventually(lambda host=host: knows_its_neighbours(host))
            yield hosts

    return open_chain


async def test_a_value_is_held_by_the_others_and_found_by_each(open_dht):
    async with open_dht(ALICE, BOB, CAROL) as hosts:
        alice, bob, carol = (host.dht for host in hosts)

        assert await alice.put(KEY, b"v1") == Held(b"v1", 2)
        assert await alice.get(KEY) == Held(b"v1", 2)
        # Bob and Carol hold it themselves: two others do, too.
        assert await bob.get(KEY) == Held(b"v1", 2)
        assert await carol.get(KEY) == Held(b"v1", 2)


async def test_alone_a_value_is_held_by_no_other(open_dht):
    async with open_dht(ALICE) as [alice]:
        assert await alice.dht.get(KEY) is None
        assert await alice.dht.put(KEY, b"v1") == Held(b"v1", 0)
        assert await alice.dht.get(KEY) == Held(b"v1", 0)
        assert await alice.dht.provide(CAPABILITY) == 0
        assert await alice.dht.find_providers(CAPABILITY, 5) == ()
        assert await alice.dht.find_peer(BOB.peer_id) == ()
        await alice.dht.refresh()
        assert alice.dht.table_size() == 0


async def test_the_best_value_is_got_though_a_copy_of_ones_own_is_older(open_dht):
    async with open_dht(ALICE, BOB, CAROL) as hosts:
        alice, bob, carol = (host.dht for host in hosts)
        await alice.put(KEY, b"v1")

        assert await carol.put(KEY, b"v2") == Held(b"v2", 2)

        assert await alice.get(KEY) == Held(b"v2", 2)
        assert await bob.get(KEY) == Held(b"v2", 2)


async def test_a_worse_value_is_not_stored_and_the_better_one_is_told(open_dht):
    async with open_dht(ALICE, BOB, CAROL) as hosts:
        alice, _, carol = (host.dht for host in hosts)
        await alice.put(KEY, b"v2")

        assert await carol.put(KEY, b"v1") == Held(b"v2", 2)

        assert await alice.get(KEY) == Held(b"v2", 2)


async def test_a_value_stored_again_is_counted_again(open_dht):
    async with open_dht(ALICE, BOB, CAROL) as [alice, *_]:
        await alice.dht.put(KEY, b"v1")

        assert await alice.dht.put(KEY, b"v1") == Held(b"v1", 2)


async def test_who_comes_later_gets_the_value_and_those_behind_are_given_it(open_dht):
    async with open_dht(ALICE, BOB) as [alice, bob]:
        await alice.dht.put(KEY, b"v1")
        async with open_dht(CAROL) as [carol]:
            await carol.connect(bob.addresses[0])

            assert await carol.dht.put(KEY, b"v3") == Held(b"v3", 2)
        assert (await bob.dht.get(KEY)).value == b"v3"


async def test_what_the_rules_refuse_is_kept_by_nobody(open_dht):
    async with open_dht(ALICE, BOB) as [alice, bob]:
        alice.rules.valid = lambda key, value: True
        alice.rules.select = lambda key, values: len(values) - 1

        assert (await alice.dht.put(KEY, b"bad")).peers == 0
        assert (await alice.dht.put("/pk/abc", b"v1")).peers == 0

        assert set(bob.rules.invalid) == {
            (KEY, b"bad"),
            ("/pk/abc", b"v1"),
        }
        assert await bob.dht.get(KEY) is None


async def test_what_others_hold_against_the_rules_is_not_believed(open_dht):
    async with open_dht(ALICE, BOB) as [alice, bob]:
        alice.rules.valid = lambda key, value: True
        alice.rules.select = lambda key, values: len(values) - 1
        await alice.dht.put(KEY, b"bad")

        assert await bob.dht.get(KEY) is None
        assert (KEY, b"bad") in bob.rules.invalid


async def test_a_peer_that_is_not_connected_is_found(open_dht):
    async with open_dht(ALICE, BOB, CAROL) as [alice, bob, carol]:
        assert CAROL.peer_id not in alice.connected()

        assert await alice.dht.find_peer(CAROL.peer_id) == carol.addresses
        assert await alice.dht.find_peer(BOB.peer_id) == bob.addresses
        assert await alice.dht.find_peer(ALICE.peer_id) == alice.addresses
        assert await alice.dht.find_peer(Identity(b"x" * 32).peer_id) == ()


async def test_providers_are_listed_by_others_and_found_with_addresses(open_dht):
    async with open_dht(ALICE, BOB, CAROL) as [alice, bob, carol]:
        assert await carol.dht.provide(CAPABILITY) == 2
        assert await carol.dht.provide(CAPABILITY) == 2

        (found,) = await alice.dht.find_providers(CAPABILITY, 5)
        assert (found.peer_id, found.addresses) == (CAROL.peer_id, carol.addresses)
        assert await carol.dht.find_providers(CAPABILITY, 5) == ()
        assert await alice.dht.find_providers("/zerostate/capability/other", 5) == ()

        await bob.dht.provide(CAPABILITY)
        both = await alice.dht.find_providers(CAPABILITY, 5)
        assert {provider.peer_id for provider in both} == {BOB.peer_id, CAROL.peer_id}
        assert len(await alice.dht.find_providers(CAPABILITY, 1)) == 1


async def test_who_takes_no_part_is_not_asked(open_dht):
    async with open_dht(ALICE, BOB, outsiders=[CAROL]) as [alice, _, carol]:
        await carol.connect(alice.addresses[0])

        assert await alice.dht.put(KEY, b"v1") == Held(b"v1", 1)
        assert await alice.dht.provide(CAPABILITY) == 1
        await alice.dht.refresh()
        assert alice.dht.table_size() == 1


async def test_a_peer_that_went_away_holds_up_nothing(open_dht):
    async with open_dht(ALICE, BOB) as [alice, bob]:
        async with open_dht(CAROL) as [carol]:
            await carol.connect(bob.addresses[0])
            await eventually(lambda: bob.dht.table_size() == 2)
            assert await alice.dht.put(KEY, b"v1") == Held(b"v1", 2)
        await eventually(lambda: CAROL.peer_id not in bob.connected())

        with trio.fail_after(5):
            assert await alice.dht.get(KEY) == Held(b"v1", 1)
            assert await bob.dht.provide(CAPABILITY) == 1


async def test_what_became_invalid_is_forgotten(open_dht):
    async with open_dht(ALICE, BOB) as [alice, bob]:
        await alice.dht.put(KEY, b"v1")
        for host in (alice, bob):
            host.rules.select = lambda key, values: None
            await host.dht.refresh()
            host.rules.select = Rules().select

        assert await alice.dht.get(KEY) is None


async def test_who_is_reached_through_a_relay_says_so_and_is_found(open_dht):
    async with open_dht(ALICE, CAROL, BOB) as [alice, carol, bob]:
        circuit = f"{carol.addresses[0]}/p2p-circuit/p2p/{BOB.peer_id}"
        bob.own_addresses = (circuit,)

        await bob.dht.announce()
        assert await bob.dht.find_peer(BOB.peer_id) == (circuit,)
        with trio.fail_after(5):
            # The one who is told confirms nothing.
            while await alice.dht.find_peer(BOB.peer_id) != (circuit,):
                await alice.disconnect(BOB.peer_id)
                await trio.sleep(0.05)

        assert await bob.dht.provide(CAPABILITY) >= 1
        (found,) = await alice.dht.find_providers(CAPABILITY, 5)
        assert (found.peer_id, found.addresses) == (BOB.peer_id, (circuit,))


async def test_who_cannot_be_dialled_is_listed_nowhere(open_dht):
    async with open_dht(ALICE, BOB) as [alice, bob]:
        bob.own_addresses = ()

        assert await bob.dht.provide(CAPABILITY) == 0
        assert await alice.dht.find_providers(CAPABILITY, 5) == ()


async def test_nobody_is_dialled_but_by_the_owners_own_way(open_dht):
    async with open_dht(ALICE, BOB, CAROL) as [alice, _, carol]:
        assert await alice.dht.put(KEY, b"v1") == Held(b"v1", 2)

        assert set(alice.dials) <= set(carol.addresses)
        assert len(alice.connected()) == 1 + len(alice.dials)
