"""A libp2p host as a `zerostate.p2p.host.Host`."""

import logging
import secrets
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast, final

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.ping import ID as PING_PROTOCOL
from libp2p.host.ping import PING_LENGTH
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

from zerostate.errors import (
    P2PError,
    PeerLostError,
    PeerUnreachableError,
    PortInUseError,
)
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.binding import check_bindable
from zerostate.p2p._libp2p.dht import Libp2pDht
from zerostate.p2p._libp2p.dialling import Dialler
from zerostate.p2p._libp2p.ending import close_connection
from zerostate.p2p._libp2p.failures import failing_as
from zerostate.p2p._libp2p.gate import Gate
from zerostate.p2p._libp2p.guard import Guard
from zerostate.p2p._libp2p.notices import ConnectionNotices, path_of
from zerostate.p2p._libp2p.relay import Libp2pRelays
from zerostate.p2p._libp2p.router import TellingRouter
from zerostate.p2p._libp2p.stream import Libp2pStream
from zerostate.p2p._libp2p.streams import open_stream
from zerostate.p2p._libp2p.unread import Unread
from zerostate.p2p.address import parse_peer_address
from zerostate.p2p.host import MESSAGE_PROTOCOL, ConnectionPath, HostListener
from zerostate.p2p.tasks import start_clean

if TYPE_CHECKING:
    from libp2p.abc import ISubscriptionAPI
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.network.swarm import Swarm

DISCONNECT_TIMEOUT_S: Final = 1.5
"""Longest that dropping a peer may take, in seconds; a frozen one took 0.2."""

GOSSIP_TIMEOUT_S: Final = 3.0
"""Longest that the gossip service may take to accept a call, in seconds."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class Libp2pHost:
    """One running libp2p host. Made by `zerostate.p2p._libp2p.running`."""

    def __init__(
        self,
        host: IHost,
        pubsub: Pubsub,
        router: TellingRouter,
        *,
        listener: HostListener,
        guard: Guard,
        nursery: trio.Nursery,
        connect_timeout_s: float,
    ) -> None:
        self._host = host
        self._pubsub = pubsub
        self._router = router
        self._listener = listener
        self._guard = guard
        self._nursery = nursery
        self._connect_timeout_s = connect_timeout_s
        self._ping_streams: dict[PeerId, Libp2pStream] = {}
        self._notices = ConnectionNotices(listener)
        self._swarm = cast("Swarm", host.get_network())
        self._swarm.register_notifee(self._notices)
        self.dht: Final = Libp2pDht(host, self, nursery)
        gate = Gate(
            self._swarm,
            listener,
            Unread(partial(guard.count, "transport.unread_limit")),
            handshake_timeout_s=connect_timeout_s,
        )
        self.relays: Final = Libp2pRelays(
            host, gate, self._notices, timeout_s=connect_timeout_s
        )
        self._dialler = Dialler(
            host, self._notices, self.relays, timeout_s=connect_timeout_s
        )
        for protocol in listener.protocols():
            host.set_stream_handler(
                TProtocol(protocol), partial(self._serve, protocol=protocol)
            )

    async def listen(self, addresses: tuple[str, ...]) -> None:
        """Listen on each of `addresses`.

        Raises:
            PortInUseError: One of them cannot be bound.
        """
        for address in addresses:
            check_bindable(address)
            # One by one: libp2p reports only whether any of several succeeded.
            if not await self._swarm.listen(Multiaddr(address)):
                raise PortInUseError(f"libp2p cannot listen on {address}")

    async def stay_put(self) -> None:
        """Keep libp2p from dialling peers that it remembers.

        Its watermarks cannot say so: it dials up to the middle of both.
        """
        await self._swarm.auto_connector.stop()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Full addresses, with the real ports."""
        return tuple(str(address) for address in self._host.get_addrs())

    async def connect(self, address: str) -> None:
        """Dial the peer at `address`."""
        await self._dialler.connect(parse_peer_address(address))

    def path(self, peer_id: PeerId) -> ConnectionPath | None:
        """How `peer_id` is connected."""
        return path_of(self._notices.standing(peer_id))

    async def disconnect(self, peer_id: PeerId) -> None:
        """Drop all connections with `peer_id`."""
        doomed = self._swarm.get_connections(ID.from_string(peer_id))
        with trio.move_on_after(DISCONNECT_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                for conn in doomed:
                    nursery.start_soon(close_connection, conn)
        for conn in doomed:
            # Also one that did not close in time must be forgotten.
            self._swarm.remove_conn(cast("SwarmConn", conn))
            self._notices.gone(conn)

    def connected(self) -> frozenset[PeerId]:
        """Peers with a connection that stands."""
        return self._notices.peers()

    async def open_stream(
        self, peer_id: PeerId, protocol: str = MESSAGE_PROTOCOL
    ) -> Libp2pStream:
        """Open a stream on which `protocol` is spoken."""
        with trio.move_on_after(self._connect_timeout_s):
            return Libp2pStream(await open_stream(self._host, peer_id, protocol))
        raise PeerUnreachableError(
            f"{peer_id} opened no stream within {self._connect_timeout_s:g} s"
        )

    async def ping(self, peer_id: PeerId) -> float:
        """Return the round trip in seconds (libp2p specs, ping: 32 random bytes)."""
        stream = self._ping_streams.pop(peer_id, None)
        if stream is None:
            stream = await self.open_stream(peer_id, PING_PROTOCOL)
        payload = secrets.token_bytes(PING_LENGTH)
        started = perf_counter()
        answered = False
        try:
            await stream.write(payload)
            answered = await stream.read_exactly(PING_LENGTH) == payload
        finally:
            if not answered:
                await stream.aclose()
        if not answered:
            raise PeerLostError(f"{peer_id} answered a ping with something else")
        round_trip_s = perf_counter() - started
        if peer_id in self._notices.peers():
            self._ping_streams[peer_id] = stream
        for gone in self._ping_streams.keys() - self._notices.peers():
            del self._ping_streams[gone]
        return round_trip_s

    async def subscribe(self, topic: str) -> None:
        """Take part in `topic`."""
        if topic in self._pubsub.topic_ids:
            return
        # The validator is where libp2p names the forwarder, and where its answer
        # decides about forwarding. Its own subscription holds 32 messages and drops the
        # rest, so it is only drained.
        self._pubsub.set_topic_validator(topic, self._arrived, is_async_validator=False)
        with trio.move_on_after(GOSSIP_TIMEOUT_S) as scope:
            subscription = await self._pubsub.subscribe(topic)
            start_clean(self._nursery, _drain, subscription)
        if scope.cancelled_caught:
            # libp2p takes a topic for its own before it has told anybody.
            await self.unsubscribe(topic)
            raise P2PError(f"gossip took no topic within {GOSSIP_TIMEOUT_S:g} s")

    async def unsubscribe(self, topic: str) -> None:
        """Leave `topic`."""
        if topic not in self._pubsub.topic_ids:
            return
        with trio.move_on_after(GOSSIP_TIMEOUT_S) as scope:
            await self._pubsub.unsubscribe(topic)
        self._pubsub.remove_topic_validator(topic)
        if scope.cancelled_caught:
            # What is left undone is to tell neighbours, who lose some bytes by it.
            self._guard.count("transport.topics_left_untold")
            _logger.warning("gossip left a topic and could not tell all neighbours")

    async def publish(self, topic: str, data: bytes) -> int:
        """Hand `data` to the mesh."""
        with (
            trio.move_on_after(GOSSIP_TIMEOUT_S),
            failing_as(P2PError),
            self._router.watching(data) as taken,
        ):
            await self._pubsub.publish(topic, data)
            return len(taken)
        raise P2PError(f"gossip took no message within {GOSSIP_TIMEOUT_S:g} s")

    def topic_peers(self, topic: str) -> frozenset[PeerId]:
        """Neighbours to whom a message published on `topic` goes now."""
        subscribed = self._pubsub.peer_topics.get(topic, set())
        chosen = self._router.mesh.get(topic, subscribed)
        ready = chosen & subscribed & set(self._pubsub.peers)
        return frozenset(PeerId(str(peer)) for peer in ready)

    def _arrived(self, forwarder: ID, message: rpc_pb2.Message) -> bool:
        if forwarder == self._host.get_id():
            return True
        return all(
            self._listener.gossip_arrived(topic, PeerId(str(forwarder)), message.data)
            for topic in message.topicIDs[:1]
        )

    def stats(self) -> Mapping[str, int]:
        """Return what the transport has counted."""
        return self._guard.counts

    async def _serve(self, stream: INetStream, *, protocol: str) -> None:
        wrapped = Libp2pStream(stream)
        try:
            await self._listener.stream_opened(wrapped, protocol)
        finally:
            await wrapped.aclose()

    async def aclose(self) -> None:
        """Tell the peers that we go, all at once; bounded."""
        deadline = trio.current_time() + DISCONNECT_TIMEOUT_S
        with trio.CancelScope(deadline=deadline, shield=True):
            async with trio.open_nursery() as nursery:
                for peer_id in self._notices.peers():
                    nursery.start_soon(self.disconnect, peer_id)


async def _drain(subscription: "ISubscriptionAPI") -> None:
    async for _ in subscription:
        pass
