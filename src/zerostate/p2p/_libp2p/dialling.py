"""Dialling a peer, once at a time, and telling how it is connected."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, cast, final

import trio
from libp2p.abc import IHost, INetConn
from libp2p.connection_types import ConnectionType
from libp2p.peer.id import ID
from libp2p.rcmgr.metrics import Direction
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

from zerostate.errors import P2PError, PeerUnreachableError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import failing_as
from zerostate.p2p._libp2p.notices import ConnectionNotices
from zerostate.p2p.address import PeerAddress
from zerostate.p2p.host import ConnectionPath
from zerostate.p2p.tasks import start_clean

if TYPE_CHECKING:
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.network.swarm import Swarm

ADDRESS_TTL_S: Final = 120
"""How long libp2p may dial an address by itself, for the DHT, in seconds."""


@final
class Dialler:
    """Makes connections that this peer wants."""

    def __init__(
        self, host: IHost, notices: ConnectionNotices, *, timeout_s: float
    ) -> None:
        self._host = host
        self._swarm = cast("Swarm", host.get_network())
        self._notices = notices
        self._timeout_s = timeout_s
        self._dials: dict[PeerId, trio.Event] = {}

    async def connect(self, address: PeerAddress) -> None:
        """See `zerostate.p2p.host.Host.connect`."""
        peer_id = address.peer_id
        failure: P2PError | None = None

        async def dial() -> None:
            nonlocal failure
            try:
                with failing_as(
                    lambda why: PeerUnreachableError(f"cannot reach {address}: {why}")
                ):
                    await self._dial(address)
            except P2PError as exc:
                failure = exc

        with trio.move_on_after(self._timeout_s) as scope:
            while (other_dial := self._dials.get(peer_id)) is not None:
                await other_dial.wait()
            if self._is_connected(peer_id):
                return
            done = self._dials[peer_id] = trio.Event()
            try:
                # Clean, because libp2p starts the connection's tasks in here: they live
                # on and must not carry the caller's span.
                async with trio.open_nursery() as nursery:
                    start_clean(nursery, dial)
            finally:
                del self._dials[peer_id]
                done.set()
        if scope.cancelled_caught:
            raise PeerUnreachableError(
                f"no answer from {address} within {self._timeout_s:g} s"
            )
        if failure is not None:
            raise failure

    def _is_connected(self, peer_id: PeerId) -> bool:
        return any(not conn.is_closed for conn in self._notices.standing(peer_id))

    async def _dial(self, address: PeerAddress) -> None:
        remote = ID.from_string(address.peer_id)
        multiaddr = Multiaddr(str(address))
        # libp2p remembers a failed dial for 60 s and would not try again; and it tries
        # one address of a peer only, the oldest that it remembers.
        self._swarm.unblock_peer(remote)
        peerstore = self._host.get_peerstore()
        peerstore.clear_addrs(remote)
        peerstore.add_addrs(remote, [multiaddr], ADDRESS_TTL_S)
        conn = await self._swarm.dial_addr(multiaddr, remote)
        self._notices.noticed(conn)
        if conn.is_closed:
            raise PeerUnreachableError(f"{address} closed the connection at once")


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
