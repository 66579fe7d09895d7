"""Making and ending connections, each with one span that tells the truth about it."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from zerostate.errors import OverloadedError, PeerUnreachableError
from zerostate.ids import PeerId
from zerostate.p2p.access import AccessList
from zerostate.p2p.address import PeerAddress, parse_peer_address
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.dht_stays import DhtStays
from zerostate.p2p.host import Host
from zerostate.p2p.lines import Lines
from zerostate.p2p.presence import Presence
from zerostate.p2p.tracing import CloseReason, P2PTracer

CLOSE_TIMEOUT_S: Final = 5.0
"""Longest that ending a stay may take, in seconds, above what any host takes (1 s): a
bound for a close that nobody can cancel."""

MAX_REMEMBERED: Final = 1024
"""Peers of whom a direct address that worked is remembered; the oldest goes first.
Some 300 KiB."""

Connect = Callable[[str], Awaitable[PeerId]]
"""Connects to the peer at an address."""


@final
class Connections:
    """Dials and disconnects, and does what is due when a stay ends.

    Each stay that ends has one ``p2p.connection.close`` span: under the span of whoever
    asked for the end, or as a root if the other end or the network caused it.
    """

    def __init__(
        self,
        config: P2PConfig,
        me: PeerId,
        *,
        host: Host,
        presence: Presence,
        access: AccessList,
        lines: Lines,
        tracer: P2PTracer,
        nursery: trio.Nursery,
        counts: Counter[str],
    ) -> None:
        self._me = me
        self._max_connections = config.max_connections
        self._host = host
        self._presence = presence
        self._access = access
        self._lines = lines
        self._tracer = tracer
        self._nursery = nursery
        self._counts = counts
        self._being_closed: set[PeerId] = set()
        self._direct: dict[PeerId, PeerAddress] = {}
        self._dht_stays = DhtStays(
            config.max_connections, host=host, presence=presence, lines=lines
        )
        access.watch_bans(self._banned)

    async def connect(self, address: str) -> PeerId:
        """See `zerostate.p2p.node.PeerNode.connect`."""
        peer_id = await self._connect(address, self.connect)
        self._dht_stays.adopt(peer_id)
        return peer_id

    async def connect_again(self, address: str) -> PeerId:
        """Connect as `connect` does, to a peer that is kept connected.

        Its spans are marked as nobody's work: a dead peer is dialled for ever.
        """
        peer_id = await self._connect(address, self.connect_again, is_background=True)
        self._dht_stays.adopt(peer_id)
        return peer_id

    async def connect_for_dht(self, address: str) -> PeerId:
        """Connect as `connect` does, for a request of the DHT.

        Such connections take only a part of ``max_connections``; for one more, the
        oldest that nobody else wants is ended.

        Raises:
            OverloadedError: As of `connect`; or the part is full, and all are in use.
        """
        peer_id = parse_peer_address(address).peer_id
        if peer_id in self._presence:
            return peer_id
        while self._dht_stays.is_full:
            idle = self._dht_stays.idle()
            if idle is None:
                self._counts["connections.refused.dht_limit"] += 1
                raise OverloadedError("the DHT has its part of max_connections")
            self._counts["connections.ended.dht_idle"] += 1
            await self.close(idle)
        with self._dht_stays.dialling(peer_id):
            return await self._connect(address, self.connect_for_dht)

    async def _connect(
        self, address: str, connect: Connect, *, is_background: bool = False
    ) -> PeerId:
        parsed = parse_peer_address(address)
        peer_id = parsed.peer_id
        if self._me in (peer_id, parsed.relay):
            raise ValueError(f"{address} is this peer's own address, or through it")
        self._access.check_dial(peer_id)
        if self._is_connected(parsed):
            return peer_id
        if parsed.relay is not None and await self._connect_directly(
            peer_id, is_background=is_background
        ):
            return peer_id
        await self._dial(parsed, connect, is_background=is_background)
        return peer_id

    def _is_connected(self, address: PeerAddress) -> bool:
        if address.peer_id not in self._presence:
            return False
        path = self._host.path(address.peer_id)
        return path is None or path.relay is None or address.relay is not None

    async def _connect_directly(self, peer_id: PeerId, *, is_background: bool) -> bool:
        address = self._direct.get(peer_id)
        if address is None:
            return False
        try:
            await self._dial(address, self.connect, is_background=is_background)
        except PeerUnreachableError:
            self._direct.pop(peer_id, None)
            return False
        return True

    async def _dial(
        self, address: PeerAddress, connect: Connect, *, is_background: bool
    ) -> None:
        if address.peer_id not in self._presence:
            self._check_room()
        with self._tracer.trace_connection(
            address.peer_id, "establish", address=address, is_background=is_background
        ):
            if address.relay is None:
                await self._host.connect(str(address))
                self._remember(address)
                # Requests that come now take the direct way, also if there was none.
                self._lines.renew(address.peer_id)
            else:
                await self._dial_through(address, address.relay, connect)

    async def _dial_through(
        self, address: PeerAddress, relay: PeerId, connect: Connect
    ) -> None:
        await connect(str(address.of_relay()))
        with self._tracer.trace_relay("dial", self._me, address.peer_id, relay=relay):
            await self._host.connect(str(address))

    def _remember(self, address: PeerAddress) -> None:
        self._direct.pop(address.peer_id, None)
        self._direct[address.peer_id] = address
        while len(self._direct) > MAX_REMEMBERED:
            del self._direct[next(iter(self._direct))]

    def _check_room(self) -> None:
        connected = len(self._presence.peers())
        if connected >= self._max_connections:
            self._counts["connections.refused.limit"] += 1
            raise OverloadedError(
                f"{connected} peers are connected; p2p.max_connections is "
                f"{self._max_connections}"
            )

    async def close(self, peer_id: PeerId, reason: CloseReason = "local") -> None:
        """Drop all connections with `peer_id`, and wake who waits for it.

        Ends what it has begun also when cancelled; bounded. Does nothing if the peer
        is not connected.
        """
        deadline = trio.current_time() + CLOSE_TIMEOUT_S
        with trio.CancelScope(deadline=deadline, shield=True):
            stay = self._presence.stay(peer_id)
            if stay is None or peer_id in self._being_closed:
                # Somebody else has the span; this call waits for the same end.
                await self._host.disconnect(peer_id)
                return
            self._being_closed.add(peer_id)
            try:
                with self._tracer.trace_connection(
                    peer_id, "close", reason=reason, stood_s=stay.stood_s()
                ):
                    await self._host.disconnect(peer_id)
            finally:
                self._being_closed.discard(peer_id)

    async def close_all(self) -> None:
        """End every stay, all at once: this peer stops."""
        async with trio.open_nursery() as nursery:
            for peer_id in self._presence.peers():
                nursery.start_soon(self.close, peer_id)

    def lost(self, peer_id: PeerId) -> None:
        """Do what is due when the host says that the last connection is gone."""
        stay = self._presence.stay(peer_id)
        if stay is None:
            return
        if peer_id in self._being_closed:
            self._end_stay(peer_id)
            return
        with self._tracer.trace_connection(
            peer_id, "close", reason="remote", stood_s=stay.stood_s()
        ):
            self._end_stay(peer_id)

    def _end_stay(self, peer_id: PeerId) -> None:
        self._presence.left(peer_id)
        self._lines.drop(peer_id)

    def _banned(self, peer_id: PeerId) -> None:
        # Not with an empty context: the end of the stay belongs to whoever bans.
        self._nursery.start_soon(self.close, peer_id, "banned")
