"""libp2p's notices of connections, made into arrivals and departures of peers."""

from typing import final

from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types
from typing_extensions import override

from zerostate.ids import PeerId
from zerostate.p2p.host import HostListener


@final
class ConnectionNotices(INotifee):
    """Counts a peer as present while any of its connections stands.

    Two peers that dial each other at the same moment have two connections.
    """

    def __init__(self, listener: HostListener) -> None:
        self._listener = listener
        self._peers: set[PeerId] = set()

    def peers(self) -> frozenset[PeerId]:
        """Return the peers that are present."""
        return frozenset(self._peers)

    def arrived(self, peer_id: PeerId) -> None:
        """Note that `peer_id` is connected, and tell the listener if that is news."""
        if peer_id not in self._peers:
            self._peers.add(peer_id)
            self._listener.connected(peer_id)

    def left(self, peer_id: PeerId) -> None:
        """Note that `peer_id` is gone, and tell the listener if that is news."""
        if peer_id in self._peers:
            self._peers.remove(peer_id)
            self._listener.disconnected(peer_id)

    @override
    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Note a new connection."""
        self.arrived(PeerId(str(conn.muxed_conn.peer_id)))

    @override
    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Note a lost connection, unless another one with the same peer stands."""
        peer_id = conn.muxed_conn.peer_id
        others = network.get_connections(peer_id)
        if all(other is conn or other.is_closed for other in others):
            self.left(PeerId(str(peer_id)))

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
