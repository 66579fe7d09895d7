"""What happens when the host reports something."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, final

import trio

from zerostate.ids import PeerId
from zerostate.p2p.access import AccessList
from zerostate.p2p.clock_exchange import CLOCK_PROTOCOL, ClockServer
from zerostate.p2p.connections import Connections
from zerostate.p2p.gossip import Gossip
from zerostate.p2p.health import Health
from zerostate.p2p.host import MESSAGE_PROTOCOL, Newcomer, Stream
from zerostate.p2p.presence import Presence
from zerostate.p2p.serving import RequestServer
from zerostate.p2p.tasks import start_clean
from zerostate.p2p.watchdog import Watchdog

SERVED_PROTOCOLS: Final = frozenset({MESSAGE_PROTOCOL, CLOCK_PROTOCOL})
"""What peers may speak with us on streams, beside what the transport does itself."""

StreamServer = Callable[[Stream], Awaitable[None]]
"""Serves one stream until it ends. Never raises."""


@final
class Switchboard:
    """The host's listener. Events before `attach` wait for it; none is lost."""

    def __init__(
        self, presence: Presence, access: AccessList, nursery: trio.Nursery
    ) -> None:
        self._presence = presence
        self._access = access
        self._nursery = nursery
        self._attached: Final = trio.Event()
        self._watchdog: Watchdog | None = None
        self._health: Health | None = None
        self._connections: Connections | None = None
        self._gossip: Gossip | None = None
        self._servers: Mapping[str, StreamServer] = {}

    def attach(
        self,
        *,
        watchdog: Watchdog,
        health: Health,
        connections: Connections,
        gossip: Gossip,
        server: RequestServer,
        clock: ClockServer,
    ) -> None:
        """Begin to pass events on to the parts of the layer."""
        self._watchdog = watchdog
        self._health = health
        self._connections = connections
        self._gossip = gossip
        self._servers = {MESSAGE_PROTOCOL: server.serve, CLOCK_PROTOCOL: clock.serve}
        for peer_id in self._presence.peers():
            self._begin(peer_id)
        self._attached.set()

    def admits(self, newcomer: Newcomer) -> bool:
        """Return whether a connection may stand."""
        return self._access.admits(newcomer)

    def connected(self, peer_id: PeerId) -> None:
        """Note the peer and start to watch it."""
        if self._presence.arrived(peer_id):
            self._begin(peer_id)

    def _begin(self, peer_id: PeerId) -> None:
        if self._watchdog is not None and self._health is not None:
            start_clean(self._nursery, self._watchdog.guard, peer_id)
            start_clean(self._nursery, self._health.watch, peer_id)

    def disconnected(self, peer_id: PeerId) -> None:
        """Wake everybody who waits for the peer."""
        if self._connections is not None:
            self._connections.lost(peer_id)
        else:
            self._presence.left(peer_id)

    def protocols(self) -> frozenset[str]:
        """Return what peers may speak with us on streams."""
        return SERVED_PROTOCOLS

    async def stream_opened(self, stream: Stream, protocol: str) -> None:
        """Serve what comes on `stream`."""
        await self._attached.wait()
        if self._access.admits_stream(stream.remote):
            await self._servers[protocol](stream)

    def gossip_arrived(self, topic: str, forwarder: PeerId, data: bytes) -> bool:
        """Take a message from the mesh; return whether it is worth forwarding."""
        return self._gossip is not None and self._gossip.arrived(topic, forwarder, data)
