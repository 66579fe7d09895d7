"""`PeerNode`: one peer on the network, for the layers above."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, final

from zerostate.ids import PeerId
from zerostate.p2p.access import AccessList
from zerostate.p2p.asking import Requests
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.connections import Connections
from zerostate.p2p.dht import Dht
from zerostate.p2p.discovery import Discovery
from zerostate.p2p.gossip import Gossip, GossipHandler
from zerostate.p2p.handling import Continues, RequestHandler
from zerostate.p2p.health import Health
from zerostate.p2p.host import ConnectionPath, Host
from zerostate.p2p.presence import Presence
from zerostate.p2p.publishing import Published, Publisher
from zerostate.p2p.redial import Redial
from zerostate.p2p.relay import Relay
from zerostate.p2p.serving import RequestServer
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Relations, Trust


@final
class PeerNode:
    """One peer on the network. Made by `open_peer_node`.

    Attributes:
        peer_id: Our own peer id.
        access: Whom we have to do with; bans.
        relay: Being reached through other peers, and the other way round.
        health: How the connected peers are.
        dht: The distributed hash table: records, and where peers are.
        discovery: Peers by what they offer.
    """

    def __init__(
        self,
        peer_id: PeerId,
        *,
        host: Host,
        codec: MessageCodec,
        requests: Requests,
        publisher: Publisher,
        gossip: Gossip,
        server: RequestServer,
        presence: Presence,
        access: AccessList,
        connections: Connections,
        redial: Redial,
        relay: Relay,
        health: Health,
        dht: Dht,
        discovery: Discovery,
        trust: Trust,
        tracer: P2PTracer,
        counts: Counter[str],
    ) -> None:
        self.peer_id: Final = peer_id
        self.access: Final = access
        self.relay: Final = relay
        self.health: Final = health
        self.dht: Final = dht
        self.discovery: Final = discovery
        self._host = host
        self._codec = codec
        self._requests = requests
        self._publisher = publisher
        self._gossip = gossip
        self._server = server
        self._presence = presence
        self._connections = connections
        self._redial = redial
        self._trust = trust
        self._tracer = tracer
        self._counts = counts

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where others can dial us: ``/ip4/…/tcp/…/p2p/<our id>``, then by relay.

        Through a relay, ``/ip4/…/tcp/…/p2p/<relay>/p2p-circuit/p2p/<our id>``, as long
        as we have a place there.
        """
        return self._host.addresses + self.relay.addresses

    async def connect(self, address: str) -> PeerId:
        """Connect to the peer at `address`; returns at once if connected already.

        Direct connections are preferred. For an address with a relay in it, a direct
        one where the peer was reached before is tried first. A direct address of a peer
        that is connected through a relay is dialled, and takes all new streams; what is
        under way on the relayed connection may end there.

        Args:
            address: ``/ip4/<ip>/tcp/<port>/p2p/<peer id>`` (or ``ip6``); for a peer
                behind a relay, the relay's and ``/p2p-circuit/p2p/<peer id>``. The relay
                is connected too, if it is not.

        Returns:
            The peer's id, proved by the handshake.

        Raises:
            ValueError: `address` is not such an address, or is our own.
            PeerDeniedError: Our allow, deny or ban list is against the peer.
            OverloadedError: ``max_connections`` peers are connected already.
            RelayRefusedError: The relay has no room, or does not reach the peer.
            PeerUnreachableError: Nobody answers in time, or somebody else does, or the
                peer does not want us.
        """
        return await self._connections.connect(address)

    def keep_connected(self, address: str) -> None:
        """Dial the peer at `address` now, and again whenever it is lost.

        Returns at once. Pauses between dials double, from ``redial_after_s`` up to
        ``redial_cap_s``; failures are counted (``redial.failed``).

        Args:
            address: As for `connect`. Our own is never dialled.

        Raises:
            ValueError: `address` is not such an address.
            OverloadedError: As many peers as can be are kept already.
        """
        self._redial.keep(address)

    def path(self, peer_id: PeerId) -> ConnectionPath | None:
        """Return how `peer_id` is connected, directly or by a relay; None if not."""
        return self._host.path(peer_id)

    async def request(
        self,
        peer_id: PeerId,
        message_type: str,
        body: bytes,
        *,
        timeout_s: float | None = None,
        attempts: int = 1,
    ) -> bytes:
        """Send a request to a connected peer and return the body of its reply.

        With one attempt: at most once. Nothing is sent again, and a request that failed
        with `RequestTimeoutError` or `PeerLostError` may or may not have been acted on.
        With more: at least once, and acted on once. The same message goes out again
        when there is no reply within its share of `timeout_s`, and, after a pause, when
        the peer has no room or has gone and come back. The peer keeps its reply and
        gives it again.

        Requests to one peer share a stream and may overlap. A peer's handler ends when
        `timeout_s` is over or the caller is cancelled: the peer is told.

        Args:
            peer_id: Whom to ask; never dialled from here.
            message_type: A registered type.
            body: At most ``max_stream_message_bytes``, less some 4 KiB.
            timeout_s: Wait for the reply, all attempts together; None takes the
                configuration's.
            attempts: 1 to `zerostate.p2p.asking.MAX_ATTEMPTS`.

        Raises:
            UnknownMessageTypeError: Nothing was sent.
            MessageTooLargeError: Nothing was sent.
            PeerUnreachableError: Not connected, or no stream; nothing was sent.
            OverloadedError: Too many requests to this peer wait; nothing was sent.
            RequestTimeoutError: No reply in time.
            PeerLostError: The connection went while we waited.
            RemoteError: The peer refused, or its handler failed.

        Cancellation: The peer may or may not act; its reply will be dropped.
        """
        return await self._requests.request(
            peer_id, message_type, body, timeout_s=timeout_s, attempts=attempts
        )

    async def deliver_direct(
        self, published: Published, peer_id: PeerId, *, timeout_s: float | None = None
    ) -> bool:
        """Send a published message once more, on the direct stream to one peer.

        The receiver acts on it once, however often and by whichever way it comes, and
        confirms before its handler ends.

        Args:
            published: What `publish` returned.
            peer_id: The addressee, or anyone if it was for everyone.
            timeout_s: Wait for the confirmation; None takes the configuration's.

        Returns:
            Whether the receiver had it already.

        Raises:
            PeerUnreachableError: Nothing was sent.
            RequestTimeoutError: It was not confirmed.
            PeerLostError: The connection went while we waited.
            RemoteError: The peer refused it, for example because it has expired.
        """
        return await self._requests.deliver_direct(
            published, peer_id, timeout_s=timeout_s
        )

    async def publish(
        self,
        topic: str,
        message_type: str,
        body: bytes,
        *,
        to: PeerId | None = None,
        ttl_s: float = 60.0,
    ) -> Published:
        """Publish a message on a topic; delivery is best effort.

        Waits its turn (``gossip_rate_per_s``), then up to ``gossip_ready_timeout_s``
        for the topic's first subscriber.

        Args:
            topic: 1 to 128 characters.
            message_type: A registered type.
            body: Everybody on the topic gets a copy; at most ``max_gossip_bytes``, less
                some hundred bytes for signature and headers.
            to: Addressee; others forward the message and do not act on it.
            ttl_s: After this, in seconds, nobody acts on it any more.

        Raises:
            UnknownMessageTypeError: Nothing was sent.
            MessageTooLargeError: Nothing was sent.
            OverloadedError: Too many publications wait; nothing was sent.
            P2PError: It could not be handed to the mesh.
        """
        return await self._publisher.publish(
            topic, message_type, body, to=to, ttl_s=ttl_s
        )

    def handle(
        self,
        message_type: str,
        handler: RequestHandler,
        *,
        continues: Continues = lambda _message: True,
    ) -> None:
        """Answer requests of a type with `handler`; the last one set wins.

        It runs in a task of its own inside the ``p2p.message.<type>`` SERVER span,
        which continues the author's trace if the author is trusted. A `ZeroStateError`
        from it goes back with its code and text; of any other exception the peer learns
        no more than ``internal``.

        Args:
            message_type: A registered type.
            handler: Ends by cancellation when nobody waits for its reply any more.
            continues: Whether the message concerns us, so that a trusted author's trace
                goes on in here; as for `on_gossip`.

        Raises:
            UnknownMessageTypeError: `message_type` is not registered.
        """
        self._server.handle(message_type, handler, continues)

    def on_gossip(
        self,
        message_type: str,
        handler: GossipHandler,
        *,
        continues: Continues = lambda _message: True,
    ) -> None:
        """Act on gossip of a type with `handler`; the last one set wins.

        It is called once a message, in a task of its own, for messages to everyone and
        to us. It may run for minutes; one of ``max_concurrent_handlers`` is taken
        meanwhile.

        Args:
            message_type: A registered type.
            handler: Runs inside ``p2p.gossip.deliver``.
            continues: Whether the message concerns us, so that a trusted author's trace
                goes on in here. Otherwise our spans are a trace of their own, with a
                link. Called before the handler; must be quick.

        Raises:
            UnknownMessageTypeError: `message_type` is not registered.
        """
        self._gossip.on_gossip(message_type, handler, continues)

    async def subscribe(self, topic: str) -> None:
        """Take part in `topic`: act on its messages and forward them.

        Raises:
            P2PError: It took too long; we do not take part.
        """
        await self._host.subscribe(topic)

    async def unsubscribe(self, topic: str) -> None:
        """Leave `topic`; does nothing if not subscribed."""
        await self._host.unsubscribe(topic)

    def trust(self, peer_id: PeerId) -> None:
        """Continue this peer's traces from now on."""
        self._trust.add(peer_id)

    @property
    def relations(self) -> Relations:
        """What the layers above know about peers, for them to set."""
        return self._trust.relations

    @property
    def trusted(self) -> Callable[[PeerId], bool]:
        """Whose traces we continue, by `relations` and the known peers."""
        return self._trust.is_trusted

    async def disconnect(self, peer_id: PeerId) -> None:
        """Drop the connection with a peer; does nothing if there is none.

        Ends what it has begun also when cancelled. A peer of `keep_connected` is soon
        dialled again.
        """
        await self._connections.close(peer_id)

    async def wait_lost(self, peer_id: PeerId) -> None:
        """Return when the peer is not connected any more; at once if it is not.

        A killed process is noticed within a second, a frozen one within 5 s (with the
        default settings).
        """
        await self._presence.wait_lost(peer_id)

    def tell_arrivals(self, hook: Callable[[PeerId], None]) -> None:
        """Call `hook` with each peer that is or will be connected, once for each stay.

        It takes the place of an earlier one. It must be quick and must not raise.
        """
        self._presence.told = hook
        for peer_id in self._presence.peers():
            hook(peer_id)

    def connected(self) -> frozenset[PeerId]:
        """Return the peers that are connected now."""
        return self._presence.peers()

    def stats(self) -> Mapping[str, int]:
        """Return what was counted so far; a name that never happened is absent."""
        refused = {f"refused.{why}": n for why, n in self._codec.refused.items()}
        trust = {f"trust.{what}": n for what, n in self._trust.stats().items()}
        measured = dict(self._codec.counts) | dict(self._gossip.stats())
        transport = dict(self._host.stats())
        return transport | dict(self._counts) | refused | trust | measured
