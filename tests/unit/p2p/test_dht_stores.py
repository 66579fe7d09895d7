"""What a peer keeps for the DHT's others is bounded, and the newest stays."""

import pytest
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.kad_dht.pb.kademlia_pb2 import Record
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.utils import InvalidRecordType

from zerostate.evidence.identity import Identity
from zerostate.p2p._libp2p.dht_stores import (
    MAX_PROVIDER_KEYS,
    MAX_VALUES,
    MAX_VALUES_OF_AUTHOR,
    BoundedProviders,
    BoundedValues,
    RuledValidator,
)
from zerostate.p2p.dht import MAX_OWN_RECORDS
from zerostate.p2p.dht_host import MAX_PROVIDERS
from zerostate.testing.memory_dht import MemoryDht


class KeyOnlyHost:
    """As much of a host as the stores use."""

    def __init__(self):
        self.key_pair = create_new_key_pair(b"k" * 32)

    def get_id(self):
        return ID.from_pubkey(self.key_pair.public_key)

    def get_private_key(self):
        return self.key_pair.private_key


class EvenLengths:
    """Values of even length may stand, the longest is the best."""

    def valid(self, key, value):
        return len(value) % 2 == 0

    def select(self, key, values):
        valid = [index for index, v in enumerate(values) if self.valid(key, v)]
        return max(valid, key=lambda index: (len(values[index]), index), default=None)

    def refused(self, reason):
        raise AssertionError(reason)


def peer(number):
    seed = number.to_bytes(32, "big")
    return PeerInfo(ID.from_string(Identity(seed).peer_id), [])


def test_of_too_many_providers_those_heard_of_last_are_kept():
    store = BoundedProviders(KeyOnlyHost())
    everybody = [peer(number) for number in range(MAX_PROVIDERS + 2)]
    for provider in everybody[:MAX_PROVIDERS]:
        store.add_provider(b"key", provider)
    store.add_provider(b"key", everybody[0])
    for provider in everybody[MAX_PROVIDERS:]:
        store.add_provider(b"key", provider)

    kept = [provider.peer_id for provider in store.get_providers(b"key")]
    expected = [*everybody[3:MAX_PROVIDERS], everybody[0], *everybody[MAX_PROVIDERS:]]
    assert kept == [provider.peer_id for provider in expected]


def test_of_too_many_provided_keys_those_heard_of_last_are_kept():
    store = BoundedProviders(KeyOnlyHost())
    keys = [number.to_bytes(4, "big") for number in range(MAX_PROVIDER_KEYS + 1)]
    for key in keys:
        store.add_provider(key, peer(1))

    assert list(store.providers) == keys[1:]


def test_of_too_many_values_those_stored_last_are_kept():
    store = BoundedValues(KeyOnlyHost(), peer(1).peer_id)
    keys = [number.to_bytes(4, "big") for number in range(MAX_VALUES)]
    for key in keys:
        store.put_record(key, Record(key=key, value=b"v1"))
    store.put_record(keys[0], Record(key=keys[0], value=b"v2"))
    store.put(b"own", b"v1")

    assert list(store.store) == [*keys[2:], keys[0], b"own"]
    assert store.get(keys[0]).value == b"v2"


def test_of_too_many_values_of_one_author_its_oldest_goes():
    store = BoundedValues(KeyOnlyHost(), peer(1).peer_id)
    other = b"/zerostate/peer/other/x"
    keys = [b"/zerostate/peer/one/%d" % n for n in range(MAX_VALUES_OF_AUTHOR)]
    for key in (other, *keys, keys[0]):
        store.put_record(key, Record(key=key, value=b"v1"))
    assert list(store.store) == [other, *keys[1:], keys[0]]

    store.put(b"/zerostate/peer/one/more", b"v1")
    assert list(store.store)[:2] == [other, keys[2]]
    assert len(store.store) == 1 + MAX_VALUES_OF_AUTHOR
    assert MAX_VALUES_OF_AUTHOR >= MAX_OWN_RECORDS


def test_values_that_became_invalid_are_forgotten():
    store = BoundedValues(KeyOnlyHost(), peer(1).peer_id)
    store.put(b"good", b"ok")
    store.put(b"bad", b"odd")
    store.put(b"\xff", b"ok")

    store.forget_invalid(EvenLengths())

    assert list(store.store) == [b"good", b"\xff"]


@pytest.mark.parametrize("key", ["plain", "/pk/x", "/ipns/x", "/zerostate/x", ""])
def test_every_key_is_asked_about(key):
    validator = RuledValidator(EvenLengths())

    validator.validate(key, b"ok")
    with pytest.raises(InvalidRecordType):
        validator.validate(key, b"odd")
    assert validator.select(key, [b"ok", b"odd", b"long", b"long"]) == 3
    with pytest.raises(InvalidRecordType):
        validator.select(key, [b"odd"])


async def test_the_table_in_memory_must_be_started_too():
    with pytest.raises(RuntimeError, match="start the DHT first"):
        await MemoryDht(None).get("/zerostate/peer/x/y")
