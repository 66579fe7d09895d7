"""libp2p's notices of connections, made into arrivals, departures and paths of peers."""

from collections.abc import Collection
from typing import TYPE_CHECKING, cast, final

from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.connection_types import ConnectionType
from libp2p.rcmgr.metrics import Direction
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types
from typing_extensions import override

from zerostate.ids import PeerId
from zerostate.p2p.host import ConnectionPath, HostListener

if TYPE_CHECKING:
    from libp2p.network.connection.swarm_connection import SwarmConn


@final
class ConnectionNotices(INotifee):
    """Counts a peer as present while any of its connections stands.

    Two peers that dial each other at the same moment have two connections.
    """

    def __init__(self, listener: HostListener) -> None:
        self._listener = listener
        self._standing: dict[PeerId, set[INetConn]] = {}

    def peers(self) -> frozenset[PeerId]:
        """Return the peers that are present."""
        return frozenset(self._standing)

    def standing(self, peer_id: PeerId) -> frozenset[INetConn]:
        """Return the connections with `peer_id` that were noticed and stand."""
        return frozenset(self._standing.get(peer_id, ()))

    def noticed(self, conn: INetConn) -> None:
        """Note a connection that may be new, and tell the listener if that is news."""
        if conn.is_closed:
            return
        peer_id = _peer_of(conn)
        is_news = peer_id not in self._standing
        self._standing.setdefault(peer_id, set()).add(conn)
        if is_news:
            self._listener.connected(peer_id)

    def gone(self, conn: INetConn) -> None:
        """Note that a connection is closed, and tell the listener if it was the last."""
        peer_id = _peer_of(conn)
        standing = self._standing.get(peer_id)
        if standing is None or conn not in standing:
            return
        standing.remove(conn)
        if not standing:
            del self._standing[peer_id]
            self._listener.disconnected(peer_id)

    @override
    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Note a new connection."""
        self.noticed(conn)

    @override
    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Note a lost connection."""
        self.gone(conn)

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


def _peer_of(conn: INetConn) -> PeerId:
    return PeerId(str(conn.muxed_conn.peer_id))


def path_of(standing: Collection[INetConn]) -> ConnectionPath | None:
    """Return the path of the connection that libp2p takes for new streams."""
    conns = [cast("SwarmConn", conn) for conn in standing if not conn.is_closed]
    if not conns:
        return None
    best = min(conns, key=_is_relayed)
    texts = [str(address) for address in best.get_transport_addresses()]
    address = texts[0] if texts else ""
    return ConnectionPath(
        relay=PeerId(address.split("/")[2]) if _is_relayed(best) else None,
        address=address,
        dialled=best.direction is Direction.OUTBOUND,
    )


def _is_relayed(conn: "SwarmConn") -> bool:
    return bool(conn.get_connection_type() is ConnectionType.RELAYED)
