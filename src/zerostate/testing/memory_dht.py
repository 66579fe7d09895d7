"""A distributed hash table in memory: the DHT of `zerostate.testing.network`.

Keeps the contract of `zerostate.p2p.dht_host.DhtHost` (``tests/contract`` holds it to
that) without requests and without routing tables: a peer reaches every peer that takes
part and that connections lead to, over others that take part.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, final

import trio

from zerostate.ids import PeerId
from zerostate.p2p.dht_host import (
    MAX_PROVIDERS,
    REPLICAS,
    Contact,
    Held,
    RecordRules,
)

PEER_TIMEOUT_S: Final = 2.0
"""How long an operation waits for all frozen peers together, in seconds."""


class Peer(Protocol):
    """As much of a host in memory as the table needs."""

    @property
    def peer_id(self) -> PeerId:
        """Whose host it is."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it can be dialled directly."""

    @property
    def neighbours(self) -> Mapping[PeerId, "Peer"]:
        """The connected hosts."""

    @property
    def dht(self) -> "MemoryDht":
        """Its part of the table."""

    async def awake(self) -> None:
        """Return when it is not frozen."""


@final
class MemoryDht:
    """One host's part of the table."""

    def __init__(self, host: Peer) -> None:
        self._host = host
        self._rules: RecordRules | None = None
        self._addresses: Callable[[], tuple[str, ...]] = lambda: host.addresses
        self._values: dict[str, bytes] = {}
        self._providers: dict[str, dict[PeerId, Contact]] = {}

    def start(
        self,
        rules: RecordRules,
        *,
        addresses: Callable[[], tuple[str, ...]],
        connect: Callable[[str], Awaitable[object]],
    ) -> None:
        """Take part; nobody is ever dialled."""
        del connect
        self._rules = rules
        self._addresses = addresses

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the host can be dialled, as it tells others."""
        return self._addresses()

    @property
    def rules(self) -> RecordRules:
        """What may be kept here.

        Raises:
            RuntimeError: It was not started.
        """
        if self._rules is None:
            raise RuntimeError("start the DHT first")
        return self._rules

    def table_size(self) -> int:
        """Return the number of others that take part and can be reached."""
        return len(self._reachable())

    async def put(self, key: str, value: bytes) -> Held:
        """Store `value` at the peers closest to `key`, unless something better is."""
        closest = await self._closest(key)
        held = self._seen(key, closest)
        best = self._best(key, [*held.values(), value])
        if best is not None and best != value:
            return self._held(best, held)
        self._values[key] = value
        return Held(value, sum(peer.take(key, value) for peer in closest))

    async def get(self, key: str) -> Held | None:
        """Return the best value of ours and the closest peers'."""
        closest = await self._closest(key)
        best = self._best(key, list(self._seen(key, closest).values()))
        if best is None:
            return None
        for peer in closest:
            if key in peer._values:  # noqa: SLF001  # another of this class
                peer.take(key, best)
        return self._held(best, self._seen(key, closest))

    async def find_peer(self, peer_id: PeerId) -> tuple[str, ...]:
        """Return where `peer_id` can be dialled."""
        others = [self, *await self._closest(peer_id)]
        for other in others:
            host = other._host  # noqa: SLF001  # another of this class
            for known in (host, *host.neighbours.values()):
                if known.peer_id == peer_id:
                    return known.dht.addresses
        return ()

    async def provide(self, key: str) -> int:
        """Have the closest peers list us for `key`."""
        closest = await self._closest(key)
        contact = Contact(self._host.peer_id, self.addresses)
        if not contact.addresses:
            return 0
        for peer in (self, *closest):
            peer.list_provider(key, contact)
        return len(closest)

    async def find_providers(self, key: str, limit: int) -> tuple[Contact, ...]:
        """Return others that provide `key`."""
        found: dict[PeerId, Contact] = {}
        for peer in (self, *await self._closest(key)):
            found |= peer._providers.get(key, {})  # noqa: SLF001  # another of this class
        found.pop(self._host.peer_id, None)
        return tuple(found.values())[:limit]

    async def announce(self) -> None:
        """Nothing to tell: who looks sees the addresses of now."""
        await trio.lowlevel.checkpoint()

    async def refresh(self) -> None:
        """Forget what has expired."""
        await trio.lowlevel.checkpoint()
        for key, value in list(self._values.items()):
            if self._best(key, [value]) is None:
                del self._values[key]

    def take(self, key: str, value: bytes) -> bool:
        """Keep `value` for another peer if the rules allow; return whether we did."""
        if not self.rules.valid(key, value):
            return False
        own = self._values.get(key)
        if own is not None and self._best(key, [own, value]) != value:
            return False
        self._values[key] = value
        return True

    def list_provider(self, key: str, contact: Contact) -> None:
        """Keep `contact` as the newest provider of `key`."""
        listed = self._providers.setdefault(key, {})
        listed.pop(contact.peer_id, None)
        listed[contact.peer_id] = contact
        while len(listed) > MAX_PROVIDERS:
            listed.pop(next(iter(listed)))

    def _seen(self, key: str, peers: Sequence["MemoryDht"]) -> dict[PeerId, bytes]:
        return {
            peer._host.peer_id: peer._values[key]  # noqa: SLF001  # of this class
            for peer in (self, *peers)
            if key in peer._values and self.rules.valid(key, peer._values[key])  # noqa: SLF001  # of this class
        }

    def _held(self, best: bytes, seen: dict[PeerId, bytes]) -> Held:
        me = self._host.peer_id
        holders = [peer for peer, value in seen.items() if value == best]
        return Held(best, len([peer for peer in holders if peer != me]))

    def _best(self, key: str, values: list[bytes]) -> bytes | None:
        index = self.rules.select(key, values)
        return None if index is None else values[index]

    def _reachable(self) -> dict[PeerId, Peer]:
        found: dict[PeerId, Peer] = {self._host.peer_id: self._host}
        ahead = [self._host]
        while ahead:
            for peer_id, other in ahead.pop().neighbours.items():
                if peer_id not in found and other.dht._rules is not None:  # noqa: SLF001  # another of this class
                    found[peer_id] = other
                    ahead.append(other)
        del found[self._host.peer_id]
        return found

    async def _closest(self, key: str) -> list["MemoryDht"]:
        self.rules  # noqa: B018  # it says so if this was not started
        awake: list[Peer] = []

        async def reach(host: Peer) -> None:
            await host.awake()
            awake.append(host)

        await self._host.awake()
        with trio.move_on_after(PEER_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                for host in self._reachable().values():
                    nursery.start_soon(reach, host)
        awake.sort(key=lambda host: _point(key) ^ _point(host.peer_id))
        return [host.dht for host in awake[:REPLICAS]]


def _point(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
