"""What py-libp2p's DHT keeps for others, within bounds and by our rules.

Its own stores take 50,000 values of up to 1 MiB, and provider keys without end.
"""

from typing import Final, final

from libp2p.kad_dht.pb.kademlia_pb2 import Record
from libp2p.kad_dht.provider_store import ProviderStore
from libp2p.kad_dht.value_store import ValueStore
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.utils import InvalidRecordType
from libp2p.records.validator import NamespacedValidator
from typing_extensions import override

from zerostate.p2p.dht_host import MAX_PROVIDERS, RecordRules

MAX_VALUES: Final = 2048
"""Values kept for others; one more takes the place of the one stored longest ago. With
records of at most 4.5 KiB that is 9 MiB."""

MAX_VALUES_OF_AUTHOR: Final = 64
"""Values of one author among them, as many as a peer stores of its own
(`zerostate.p2p.dht.MAX_OWN_RECORDS`); one more takes the place of the author's oldest.
Otherwise one peer could put all others' records out of the table."""

MAX_PROVIDER_KEYS: Final = 1024
"""Provided keys kept for others; one more takes the place of the oldest."""


@final
class RuledValidator(NamespacedValidator):
    """Asks our rules about every key.

    Whatever its namespace, so that all refusals are counted in one place.
    """

    def __init__(self, rules: RecordRules) -> None:
        super().__init__({}, strict_validation=True)
        self._rules = rules

    @override
    def validate(self, key: str, value: bytes) -> None:
        """Raise if `value` may not stand under `key`."""
        if not self._rules.valid(key, value):
            raise InvalidRecordType("refused by our rules")

    @override
    def select(self, key: str, values: list[bytes]) -> int:
        """Return the index of the best value, of equal ones the last.

        The last, because a holder takes a value that it holds already for refused if
        its own, the first, is selected.
        """
        best = self._rules.select(key, values)
        if best is None:
            raise InvalidRecordType("none is valid by our rules")
        return best


@final
class BoundedValues(ValueStore):
    """At most `MAX_VALUES`, and only as long as they are valid.

    Of one author, which is what a key says before its last slash, at most
    `MAX_VALUES_OF_AUTHOR`.
    """

    @override
    def put(self, key: bytes, value: bytes, validity: float = 0.0) -> None:
        """Keep `value`, as the newest."""
        self._make_room(key)
        super().put(key, value, validity)

    @override
    def put_record(self, key: bytes, record: Record) -> None:
        """Keep `record`, as the newest."""
        self._make_room(key)
        super().put_record(key, record)

    def _make_room(self, key: bytes) -> None:
        self.store.pop(key, None)
        author = key.rpartition(b"/")[0]
        if not author:
            return
        held = [other for other in self.store if other.rpartition(b"/")[0] == author]
        excess = len(held) + 1 - MAX_VALUES_OF_AUTHOR
        for oldest in held[: max(0, excess)]:
            self.store.pop(oldest)

    @override
    def _evict_if_full(self) -> None:
        while len(self.store) >= MAX_VALUES:
            self.store.pop(next(iter(self.store)))

    def forget_invalid(self, rules: RecordRules) -> None:
        """Drop what the rules do not take any more."""
        for key, (record, _) in list(self.store.items()):
            text = key.decode(errors="replace")
            if rules.select(text, [record.value]) is None:
                self.remove(key)


@final
class BoundedProviders(ProviderStore):
    """At most `MAX_PROVIDER_KEYS`, and of each the `MAX_PROVIDERS` heard of last.

    py-libp2p's own keeps the first 20 of a key for two days, alive or not, and refuses
    all others meanwhile.
    """

    @override
    def add_provider(self, key: bytes, provider: PeerInfo) -> None:
        """Remember `provider`, as the newest of `key`."""
        listed = self.providers.pop(key, {})
        listed.pop(str(provider.peer_id), None)
        while len(listed) >= MAX_PROVIDERS:
            listed.pop(next(iter(listed)))
        while len(self.providers) >= MAX_PROVIDER_KEYS:
            self.providers.pop(next(iter(self.providers)))
        self.providers[key] = listed
        super().add_provider(key, provider)
