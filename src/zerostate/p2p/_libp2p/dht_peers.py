"""The peers of the DHT: who is one, how one is reached and asked."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, final

import trio
from libp2p.abc import IHost, INetConn, INetStream, INetwork, INotifee
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.kad_dht.routing_table import RoutingTable
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types
from typing_extensions import override

from zerostate.errors import (
    OverloadedError,
    P2PError,
    PeerDeniedError,
    PeerUnreachableError,
)
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.dht_announcing import Announcer
from zerostate.p2p._libp2p.dht_wire import KAD_PROTOCOL, addresses_of, exchange
from zerostate.p2p.dht_host import REPLICAS, Contact
from zerostate.p2p.host import Host
from zerostate.p2p.tasks import start_clean

PEER_TIMEOUT_S: Final = 2.0
"""Longest that one peer may take to be dialled and to answer, in seconds. A frozen one
costs an operation this much, once."""

AVOIDED_S: Final = 30.0
"""How long a peer that did not answer is not asked again, in seconds, unless it is
connected: others go on naming a dead one for hours."""

MAX_AVOIDED: Final = 1024
"""Peers remembered as not answering; one more forgets the oldest."""

RETRY_PAUSE_S: Final = 0.1
"""Before a connected peer that reset a request is asked once more, in seconds:
py-libp2p resets the thirteenth that is open at once."""

IDENTIFY_PAUSES_S: Final = (0.2, 1.0, 3.0)
"""When a newly connected peer is looked at, in seconds after the time before: whether
it is a DHT peer is known once libp2p's identify has run, which nothing announces."""

ADDRESS_LIFETIME_S: Final = 7200
"""How long the addresses of a connected peer are told to others, in seconds, unless
refreshed: py-libp2p forgets after two hours what identify told it only once."""


@final
class KadPeers(INotifee):
    """Keeps py-libp2p's routing table, which connecting alone does not fill."""

    def __init__(
        self,
        host: IHost,
        network: Host,
        table: RoutingTable,
        nursery: trio.Nursery,
        *,
        announcer: Announcer,
        connect: Callable[[str], Awaitable[object]],
    ) -> None:
        """Begin to look at whoever connects.

        Args:
            host: libp2p's own.
            network: Opens streams.
            table: Where peers of the DHT go.
            nursery: For tasks that live as long as the host.
            announcer: Tells peers where we can be dialled.
            connect: See `zerostate.p2p.dht_host.DhtHost.start`.
        """
        self._announcer = announcer
        self._connect = connect
        self._store = host.get_peerstore()
        self._network = network
        self._table = table
        self._nursery = nursery
        self._avoided: dict[PeerId, float] = {}
        host.get_network().register_notifee(self)

    async def ask(self, peer: Contact, *requests: Message) -> Message | None:
        """Send `requests` to `peer` and return its answer to the last one.

        Dials it if need be. One that is frozen, dead or rude must neither hold up the
        others nor end the operation.

        Returns:
            None if it does not answer within `PEER_TIMEOUT_S`, or refuses.
        """
        if self._is_avoided(peer.peer_id):
            return None
        answer = None
        with trio.move_on_after(PEER_TIMEOUT_S) as scope:
            answer = await self._ask_twice(peer, requests)
        if scope.cancelled_caught:
            self._avoid(peer.peer_id)
        elif answer is not None:
            await self._add(ID.from_string(peer.peer_id), is_sure=True)
        return answer

    def near(self, target: bytes) -> list[Contact]:
        """Return whom to ask first about `target`."""
        near = self._table.find_local_closest_peers(target, REPLICAS)
        connected = (ID.from_string(peer) for peer in self._network.connected())
        # Who is connected and not known to be none of the DHT may be asked at once,
        # before it is in the table.
        likely = (remote for remote in connected if self._is_kad(remote) is not False)
        return [self._contact(remote) for remote in dict.fromkeys([*near, *likely])]

    def told(self, remote: ID) -> tuple[str, ...]:
        """Return where `remote` can be dialled, as it told us itself."""
        try:
            addresses = self._store.addrs(remote)
        except PeerStoreError:
            return ()
        return addresses_of(PeerId(str(remote)), addresses)

    async def refresh(self) -> None:
        """Have every connected peer of the DHT in the table, with its addresses."""
        for peer_id in self._network.connected():
            remote = ID.from_string(peer_id)
            if self._is_kad(remote) and await self._add(remote):
                info = self._table.get_peer_info(remote)
                if info is not None:
                    self._store.add_addrs(remote, info.addrs, ADDRESS_LIFETIME_S)

    async def _ask_twice(
        self, peer: Contact, requests: Sequence[Message]
    ) -> Message | None:
        for pause_s in (RETRY_PAUSE_S, 0.0):
            try:
                return await self._ask_once(peer, requests)
            except PeerUnreachableError:
                self._avoid(peer.peer_id)
                return None
            except (OverloadedError, PeerDeniedError):
                # No fault of the peer's, and the same a moment later.
                return None
            except P2PError:
                await trio.sleep(pause_s)
        return None

    async def _ask_once(self, peer: Contact, requests: Sequence[Message]) -> Message:
        if peer.peer_id not in self._network.connected():
            await self._dial(peer)
        stream = await self._network.open_stream(peer.peer_id, KAD_PROTOCOL)
        try:
            return await exchange(stream, requests, answer=requests[-1].type)
        finally:
            await stream.aclose()

    async def _dial(self, peer: Contact) -> None:
        for address in peer.addresses:
            try:
                await self._connect(address)
            except (PeerUnreachableError, ValueError):
                # Others name it; it may be our own, through the peer.
                continue
            return
        raise PeerUnreachableError(f"no way to {peer.peer_id}")

    async def _add(self, remote: ID, *, is_sure: bool = False) -> bool:
        if is_sure and self._table.peer_in_table(remote):
            return True
        # Anew: of a peer that it knows already the table keeps the old addresses.
        self._table.remove_peer(remote)
        # Where there is no room it pings the oldest peer, without a bound of its own.
        with trio.move_on_after(PEER_TIMEOUT_S):
            await self._table.add_peer(remote, skip_server_mode_check=is_sure)
        return self._table.peer_in_table(remote)

    def _contact(self, remote: ID) -> Contact:
        peer_id = PeerId(str(remote))
        info = self._table.get_peer_info(remote)
        known = addresses_of(peer_id, info.addrs) if info is not None else ()
        return Contact(peer_id, known or self.told(remote))

    def _is_kad(self, remote: ID) -> bool | None:
        try:
            protocols = self._store.get_protocols(remote)
        except PeerStoreError:
            return None
        return KAD_PROTOCOL in protocols if protocols else None

    def _avoid(self, peer_id: PeerId) -> None:
        self._table.remove_peer(ID.from_string(peer_id))
        self._avoided.pop(peer_id, None)
        while len(self._avoided) >= MAX_AVOIDED:
            self._avoided.pop(next(iter(self._avoided)))
        self._avoided[peer_id] = trio.current_time() + AVOIDED_S

    def _is_avoided(self, peer_id: PeerId) -> bool:
        if peer_id in self._network.connected():
            return False
        return self._avoided.get(peer_id, 0.0) > trio.current_time()

    async def _introduce(self, remote: ID) -> None:
        peer_id = PeerId(str(remote))
        is_told = False
        for pause_s in IDENTIFY_PAUSES_S:
            await trio.sleep(pause_s)
            if peer_id not in self._network.connected():
                return
            if not self._is_kad(remote):
                continue
            if not is_told:
                # Identify has run, which would have overwritten it.
                await self._announcer.tell(peer_id)
                is_told = True
            if await self._add(remote):
                return

    async def announce(self) -> None:
        """Tell the connected peers of the DHT where we can be dialled."""
        async with trio.open_nursery() as nursery:
            for peer_id in self._network.connected():
                if self._is_kad(ID.from_string(peer_id)):
                    nursery.start_soon(self._announcer.tell, peer_id)

    @override
    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Consider the peer for the table, off the notifee."""
        start_clean(self._nursery, self._introduce, conn.muxed_conn.peer_id)

    @override
    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Nothing of interest."""

    @override
    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Nothing of interest."""

    @override
    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Nothing of interest."""

    @override
    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Nothing of interest."""

    @override
    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Nothing of interest."""
