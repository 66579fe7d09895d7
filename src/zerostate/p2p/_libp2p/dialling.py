"""Dialling a peer, once at a time, and telling how it is connected."""

from typing import TYPE_CHECKING, Final, cast, final

import trio
from libp2p.abc import IHost, INetConn
from libp2p.peer.id import ID
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

from zerostate.errors import PeerUnreachableError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import failing_as
from zerostate.p2p._libp2p.notices import ConnectionNotices, path_of
from zerostate.p2p._libp2p.relay import Libp2pRelays
from zerostate.p2p.address import PeerAddress
from zerostate.p2p.tasks import run_clean

if TYPE_CHECKING:
    from libp2p.network.swarm import Swarm

ADDRESS_TTL_S: Final = 120
"""How long libp2p may dial an address by itself, for the DHT, in seconds."""


@final
class Dialler:
    """Makes connections that this peer wants."""

    def __init__(
        self,
        host: IHost,
        notices: ConnectionNotices,
        relays: Libp2pRelays,
        *,
        timeout_s: float,
    ) -> None:
        self._host = host
        self._swarm = cast("Swarm", host.get_network())
        self._notices = notices
        self._relays = relays
        self._timeout_s = timeout_s
        self._dials: dict[PeerId, trio.Event] = {}

    async def connect(self, address: PeerAddress) -> None:
        """See `zerostate.p2p.host.Host.connect`."""
        peer_id = address.peer_id
        with trio.move_on_after(self._timeout_s):
            while (other_dial := self._dials.get(peer_id)) is not None:
                await other_dial.wait()
            if self._is_connected(peer_id, directly=address.relay is None):
                return
            done = self._dials[peer_id] = trio.Event()
            try:
                # Clean, because libp2p starts the connection's tasks in there: they
                # live on and must not carry the caller's span.
                conn = await run_clean(self._dial, address)
            finally:
                del self._dials[peer_id]
                done.set()
            self._notices.noticed(conn)
            if conn.is_closed:
                raise PeerUnreachableError(f"{address} closed the connection at once")
            return
        raise PeerUnreachableError(
            f"no answer from {address} within {self._timeout_s:g} s"
        )

    def _is_connected(self, peer_id: PeerId, *, directly: bool) -> bool:
        path = path_of(self._notices.standing(peer_id))
        return path is not None and not (directly and path.relay is not None)

    async def _dial(self, address: PeerAddress) -> INetConn:
        if address.relay is not None:
            return await self._relays.dial(address, address.relay)
        remote = ID.from_string(address.peer_id)
        multiaddr = Multiaddr(str(address))
        # libp2p remembers a failed dial for 60 s and would not try again; and it tries
        # one address of a peer only, the oldest that it remembers.
        self._swarm.unblock_peer(remote)
        peerstore = self._host.get_peerstore()
        peerstore.clear_addrs(remote)
        peerstore.add_addrs(remote, [multiaddr], ADDRESS_TTL_S)
        with failing_as(
            lambda why: PeerUnreachableError(f"cannot reach {address}: {why}")
        ):
            return await self._swarm.dial_addr(multiaddr, remote)
