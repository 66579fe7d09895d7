"""What the layer needs of a distributed hash table, in plain types.

Implemented by ``p2p/_libp2p`` over Kademlia, and by `zerostate.testing.memory_dht` in
memory; ``tests/contract/test_dht_contract.py`` holds both to this text.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from zerostate.ids import PeerId

REPLICAS: Final = 20
"""How many of the peers closest to a key keep what stands there (Kademlia's k; libp2p
specs, kad-dht)."""

MAX_PROVIDERS: Final = 20
"""Providers of one key that a peer remembers; a twenty-first takes the place of the one
that has been silent for longest."""


@dataclass(frozen=True, slots=True)
class Held:
    """What stands under a key."""

    value: bytes
    """The best value there is, by the rules."""

    peers: int
    """How many other peers hold just these bytes now, each by its own answer."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer as others know it. Only dialling it proves who is there."""

    peer_id: PeerId
    """Who."""

    addresses: tuple[str, ...]
    """Where it can be dialled, perhaps nowhere."""


class RecordRules(Protocol):
    """What may stand under a key. All MUST be quick and MUST NOT raise."""

    def valid(self, key: str, value: bytes) -> bool:
        """Whether `value` may stand under `key` now."""

    def select(self, key: str, values: Sequence[bytes]) -> int | None:
        """Return the index of the best of `values`, of equal ones the last.

        None if none of them is valid. Must not depend on their order.
        """

    def refused(self, reason: str) -> None:
        """Take note that a request was not served: ``too_many``, or ``too_slow``."""


class DhtHost(Protocol):
    """One peer's part of the table.

    Every call is bounded in time and in the peers it asks, and raises nothing when
    they do not answer: it returns what the others said. It may dial peers, and leaves
    them connected. Nothing but the calls below asks anybody.
    """

    def start(
        self,
        rules: RecordRules,
        *,
        addresses: Callable[[], tuple[str, ...]],
        connect: Callable[[str], Awaitable[object]],
    ) -> None:
        """Take part: keep what others store, answer what they ask. To be called once.

        Before, nobody's requests are served, and no other method may be called.

        Args:
            rules: What may stand in the table.
            addresses: Where we can be dialled now, by relay, too.
            connect: Dials the peer at an address, the only way in which peers are
                dialled; raises `P2PError` or ValueError where that fails.
        """

    async def put(self, key: str, value: bytes) -> Held:
        """Store `value` here and at the peers closest to `key`.

        Args:
            key: At most 128 bytes of UTF-8.
            value: Must be valid by the rules.

        Returns:
            `value` and how many others hold it; or, where the rules prefer what stands
            there already, that, and nothing was stored.
        """

    async def get(self, key: str) -> Held | None:
        """Return the best value that we and the peers closest to `key` hold.

        A copy of our own does not end the search: it may be old. Who answered with a
        worse one is given the best.
        """

    async def find_peer(self, peer_id: PeerId) -> tuple[str, ...]:
        """Return where `peer_id` can be dialled; empty if nobody knows.

        What others tell may be out of date. Of a connected peer, what it told us.
        """

    async def provide(self, key: str) -> int:
        """Say that we provide `key`; return how many other peers list us for it.

        Asks nobody and returns 0 as long as we have no address.
        """

    async def find_providers(self, key: str, limit: int) -> tuple[Contact, ...]:
        """Return up to `limit` others that provide `key`, as told by their holders."""

    async def announce(self) -> None:
        """Tell the connected peers our addresses, which have changed."""

    async def refresh(self) -> None:
        """Get to know the peers closest to us, and forget what has expired."""

    def table_size(self) -> int:
        """How many peers we could ask first."""
