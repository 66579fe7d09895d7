"""py-libp2p's Kademlia as a `zerostate.p2p.dht_host.DhtHost`.

Its server, its routing table and its stores are used; the asking is our own
(`Walk`, `KadPeers`): its lookups refuse keys above 50 bytes, its ``put_value`` does not
tell whether anybody took the value, its ``get_value`` believes a local copy, and it
waits ten seconds for a frozen peer. Its service is not run: that would dial on its own.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, final

import trio
from libp2p.abc import IHost
from libp2p.custom_types import TProtocol
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

from zerostate.ids import PeerId
from zerostate.p2p._libp2p.dht_announcing import Announcer
from zerostate.p2p._libp2p.dht_peers import KadPeers
from zerostate.p2p._libp2p.dht_server import MAX_STREAMS, KadServer
from zerostate.p2p._libp2p.dht_stores import (
    BoundedProviders,
    BoundedValues,
    RuledValidator,
)
from zerostate.p2p._libp2p.dht_walk import ASKED_AT_ONCE, Ask, Walk
from zerostate.p2p._libp2p.dht_wire import KAD_PROTOCOL, addresses_of, contacts
from zerostate.p2p.dht_host import Contact, Held, RecordRules
from zerostate.p2p.host import Host

WALK_TIMEOUT_S: Final = 6.0
"""Longest that finding the closest peers may take, in seconds; then those that have
answered must do. Telling twenty peers afterwards takes up to 8 s more, if none of them
answers (`PEER_TIMEOUT_S`, `ASKED_AT_ONCE`)."""

_Kind = Message.MessageType


@final
class Libp2pDht:
    """One host's part of the table."""

    def __init__(self, host: IHost, network: Host, nursery: trio.Nursery) -> None:
        """Register nothing yet.

        Args:
            host: libp2p's own.
            network: Dials and opens streams.
            nursery: For tasks that live as long as the host.
        """
        self._host = host
        self._network = network
        self._nursery = nursery
        self._me = PeerId(str(host.get_id()))

    def start(
        self,
        rules: RecordRules,
        *,
        addresses: Callable[[], tuple[str, ...]],
        connect: Callable[[str], Awaitable[object]],
    ) -> None:
        """Take part, as a server."""
        self._addresses = addresses
        kad = KadDHT(
            self._host,
            DHTMode.SERVER,
            validator=RuledValidator(rules),
            # Or it would add namespaces of its own, which it accepts.
            validator_changed=True,
            strict_validation=True,
        )
        # Its own limit counts all peers together; ours comes before it.
        kad._inbound_limiter = trio.CapacityLimiter(MAX_STREAMS)  # noqa: SLF001  # no other way
        server = KadServer(kad.handle_stream, rules.refused)
        self._host.set_stream_handler(TProtocol(KAD_PROTOCOL), server.handle)
        self._rules = rules
        self._values = kad.value_store = BoundedValues(self._host, self._host.get_id())
        self._providers = kad.provider_store = BoundedProviders(self._host)
        self._table = kad.routing_table
        self._peers = KadPeers(
            self._host,
            self._network,
            kad.routing_table,
            self._nursery,
            announcer=Announcer(self._network, addresses),
            connect=connect,
        )

    def table_size(self) -> int:
        """Return the size of the routing table."""
        return self._table.size()

    async def put(self, key: str, value: bytes) -> Held:
        """Store `value` at the peers closest to `key`, unless something better is."""
        closest, seen = await self._look_up(key)
        better = self._best(key, [*seen.values(), value])
        if better is not None and better != value:
            return Held(better, self._holders(seen, better))
        self._values.put(key.encode(), value)
        return Held(value, len(await self._store(key, value, closest)))

    async def get(self, key: str) -> Held | None:
        """Return the best value of ours and the closest peers'."""
        closest, seen = await self._look_up(key)
        best = self._best(key, list(seen.values()))
        if best is None:
            return None
        outdated = [peer for peer in closest if seen.get(peer.peer_id, best) != best]
        corrected = await self._store(key, best, outdated)
        return Held(best, self._holders(seen, best) + len(corrected))

    async def find_peer(self, peer_id: PeerId) -> tuple[str, ...]:
        """Return where `peer_id` can be dialled."""
        if peer_id == self._me:
            return self._addresses()
        remote = ID.from_string(peer_id)
        if peer_id in self._network.connected() and (told := self._peers.told(remote)):
            return told
        found: tuple[str, ...] = ()

        async def ask(peer: Contact) -> Iterable[Contact] | None:
            nonlocal found
            named = await self._ask_closer(peer, remote.to_bytes())
            for contact in named or ():
                if contact.peer_id == peer_id and contact.addresses:
                    found = contact.addresses
                    walk.stop()
            return named

        walk = self._walk(remote.to_bytes(), ask)
        await _run(walk)
        return found

    async def provide(self, key: str) -> int:
        """Have the closest peers list us for `key`, and count those that do."""
        addresses = [Multiaddr(address) for address in self._addresses()]
        if not addresses:
            return 0
        raw = _provider_key(key)
        own = PeerInfo(self._host.get_id(), addresses)
        self._providers.add_provider(raw, own)
        offer = Message(type=_Kind.ADD_PROVIDER, key=raw)
        offer.providerPeers.add(
            id=own.peer_id.to_bytes(), addrs=[a.to_bytes() for a in own.addrs]
        )
        # Asked on the same stream, because an offer is not confirmed by everybody.
        check = Message(type=_Kind.GET_PROVIDERS, key=raw)

        async def lists_us(peer: Contact) -> bool:
            answer = await self._peers.ask(peer, offer, check)
            listed = contacts(answer.providerPeers) if answer is not None else ()
            return any(provider.peer_id == self._me for provider in listed)

        async def ask(peer: Contact) -> Iterable[Contact] | None:
            return await self._ask_providers(peer, raw, {})

        return len(await _each(await _run(self._walk(raw, ask)), lists_us))

    async def find_providers(self, key: str, limit: int) -> tuple[Contact, ...]:
        """Return others that provide `key`."""
        raw = _provider_key(key)
        found: dict[PeerId, Contact] = {}
        for info in self._providers.get_providers(raw):
            peer_id = PeerId(str(info.peer_id))
            found[peer_id] = Contact(peer_id, addresses_of(peer_id, info.addrs))
        found.pop(self._me, None)

        async def ask(peer: Contact) -> Iterable[Contact] | None:
            closer = await self._ask_providers(peer, raw, found)
            if len(found) >= limit:
                walk.stop()
            return closer

        walk = self._walk(raw, ask)
        if len(found) < limit:
            await _run(walk)
        return tuple(found.values())[:limit]

    async def announce(self) -> None:
        """Tell the connected peers our addresses."""
        await self._peers.announce()

    async def refresh(self) -> None:
        """Ask for the peers closest to us; forget what has expired."""
        self._values.forget_invalid(self._rules)
        self._providers.cleanup_expired()
        await self._peers.refresh()
        me = self._host.get_id().to_bytes()
        await _run(self._walk(me, lambda peer: self._ask_closer(peer, me)))

    def _walk(self, target: bytes, ask: Ask) -> Walk:
        return Walk(target, me=self._me, start=self._peers.near(target), ask=ask)

    async def _look_up(
        self, key: str
    ) -> tuple[tuple[Contact, ...], dict[PeerId, bytes]]:
        raw = key.encode()
        own = self._values.get(raw)
        seen = {self._me: own.value} if own is not None else {}

        async def ask(peer: Contact) -> Iterable[Contact] | None:
            answer = await self._peers.ask(peer, Message(type=_Kind.GET_VALUE, key=raw))
            if answer is None:
                return None
            value = answer.record.value
            if value and self._rules.valid(key, value):
                seen[peer.peer_id] = value
            return contacts(answer.closerPeers)

        return await _run(self._walk(raw, ask)), seen

    async def _store(
        self, key: str, value: bytes, peers: Iterable[Contact]
    ) -> list[Contact]:
        message = Message(type=_Kind.PUT_VALUE, key=key.encode())
        message.record.key = message.key
        message.record.value = value

        async def takes(peer: Contact) -> bool:
            # Who takes it echoes it; who refuses it resets the stream.
            answer = await self._peers.ask(peer, message)
            return (
                answer is not None
                and answer.key == message.key
                and (not answer.HasField("record") or answer.record.value == value)
            )

        return await _each(peers, takes)

    async def _ask_closer(
        self, peer: Contact, target: bytes
    ) -> Iterable[Contact] | None:
        answer = await self._peers.ask(peer, Message(type=_Kind.FIND_NODE, key=target))
        return None if answer is None else contacts(answer.closerPeers)

    async def _ask_providers(
        self, peer: Contact, raw: bytes, found: dict[PeerId, Contact]
    ) -> Iterable[Contact] | None:
        answer = await self._peers.ask(peer, Message(type=_Kind.GET_PROVIDERS, key=raw))
        if answer is None:
            return None
        for provider in contacts(answer.providerPeers):
            if provider.peer_id != self._me:
                found.setdefault(provider.peer_id, provider)
        return contacts(answer.closerPeers)

    def _best(self, key: str, values: list[bytes]) -> bytes | None:
        index = self._rules.select(key, values)
        return None if index is None else values[index]

    def _holders(self, seen: dict[PeerId, bytes], value: bytes) -> int:
        return sum(held == value for peer, held in seen.items() if peer != self._me)


async def _run(walk: Walk) -> tuple[Contact, ...]:
    with trio.move_on_after(WALK_TIMEOUT_S):
        await walk.run()
    return walk.closest()


async def _each(
    peers: Iterable[Contact], act: Callable[[Contact], Awaitable[bool]]
) -> list[Contact]:
    """Return the peers for which `act` is true."""
    room = trio.Semaphore(ASKED_AT_ONCE)
    done: list[Contact] = []

    async def one(peer: Contact) -> None:
        async with room:
            if await act(peer):
                done.append(peer)

    async with trio.open_nursery() as nursery:
        for peer in peers:
            nursery.start_soon(one, peer)
    return done


def _provider_key(key: str) -> bytes:
    # A sha2-256 multihash, as other implementations expect of a provided key.
    return b"\x12\x20" + hashlib.sha256(key.encode()).digest()
