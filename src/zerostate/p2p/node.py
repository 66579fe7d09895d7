"""`PeerNode`: one peer on the network, for the layers above."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, final

import trio

from zerostate.errors import ERROR_CODES, RemoteError, RequestTimeoutError
from zerostate.ids import MessageId, PeerId, new_message_id
from zerostate.p2p.address import parse_peer_address
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.config import MAX_TIMEOUT_S, P2PConfig
from zerostate.p2p.frames import check_size
from zerostate.p2p.gossip import Continues, Gossip, GossipHandler, Published
from zerostate.p2p.health import Health
from zerostate.p2p.host import Host
from zerostate.p2p.lines import Lines
from zerostate.p2p.message import Message
from zerostate.p2p.presence import Presence
from zerostate.p2p.serving import ACK_DUPLICATE, RequestHandler, RequestServer
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.types import require_registered


@final
class PeerNode:
    """One peer on the network. Made by `open_peer_node`.

    Attributes:
        peer_id: Our own peer id.
        health: How the connected peers are.
    """

    def __init__(
        self,
        config: P2PConfig,
        peer_id: PeerId,
        *,
        host: Host,
        codec: MessageCodec,
        lines: Lines,
        gossip: Gossip,
        server: RequestServer,
        presence: Presence,
        health: Health,
        trust: Trust,
        tracer: P2PTracer,
        counts: Counter[str],
    ) -> None:
        self.peer_id: Final = peer_id
        self.health: Final = health
        self._config = config
        self._host = host
        self._codec = codec
        self._lines = lines
        self._gossip = gossip
        self._server = server
        self._presence = presence
        self._trust = trust
        self._tracer = tracer
        self._counts = counts

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where others can dial us, ``/ip4/…/tcp/…/p2p/<our id>``."""
        return self._host.addresses

    async def connect(self, address: str) -> PeerId:
        """Connect to the peer at `address`; returns at once if connected already.

        Args:
            address: ``/ip4/<ip>/tcp/<port>/p2p/<peer id>`` (or ``ip6``).

        Returns:
            The peer's id, proved by the handshake.

        Raises:
            ValueError: `address` is not such an address, or is our own.
            PeerUnreachableError: Nobody answers in time, or somebody else does.
        """
        parsed = parse_peer_address(address)
        if parsed.peer_id == self.peer_id:
            raise ValueError(f"{address} is this peer's own address")
        if parsed.peer_id not in self._presence:
            with self._tracer.trace_connection(parsed):
                await self._host.connect(address)
        return parsed.peer_id

    async def request(
        self,
        peer_id: PeerId,
        message_type: str,
        body: bytes,
        *,
        timeout_s: float | None = None,
    ) -> bytes:
        """Send a request to a connected peer and return the body of its reply.

        At most once: nothing is retried here, and a request that failed with
        `RequestTimeoutError` or `PeerLostError` may or may not have been acted on.
        Requests to one peer share a stream and may overlap.

        Args:
            peer_id: Whom to ask; never dialled from here.
            message_type: A registered type.
            body: At most ``max_stream_message_bytes``, less some 4 KiB.
            timeout_s: Wait for the reply; None takes the configuration's.

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
        require_registered(message_type)
        wait_s = self._timeout(timeout_s)
        message_id = new_message_id()
        with self._tracer.trace_request(
            peer_id, message_type, message_id=message_id, body_size=len(body)
        ):
            check_size(len(body), max_bytes=self._config.max_stream_message_bytes)
            data = await self._codec.seal(
                message_type,
                body,
                self._trust.outgoing(self._tracer.carrier(), peer_id),
                ttl_s=wait_s,
                message_id=message_id,
                to=peer_id,
            )
            check_size(len(data), max_bytes=self._config.max_stream_message_bytes)
            return (await self._ask(peer_id, data, message_id, wait_s)).body

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
        wait_s = self._timeout(timeout_s)
        with self._tracer.trace_request(
            peer_id,
            published.message_type,
            message_id=published.message_id,
            body_size=published.body_size,
        ):
            reply = await self._ask(
                peer_id, published.envelope, published.message_id, wait_s
            )
            return reply.body == ACK_DUPLICATE

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
        return await self._gossip.publish(topic, message_type, body, to=to, ttl_s=ttl_s)

    def handle(self, message_type: str, handler: RequestHandler) -> None:
        """Answer requests of a type with `handler`; the last one set wins.

        It runs in a task of its own inside the ``p2p.message.<type>`` SERVER span,
        which continues the author's trace if the author is trusted. A `ZeroStateError`
        from it goes back with its code and text; of any other exception the peer learns
        no more than ``internal``.

        Raises:
            UnknownMessageTypeError: `message_type` is not registered.
        """
        self._server.handle(message_type, handler)

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
        """Take part in `topic`: act on its messages and forward them."""
        await self._host.subscribe(topic)

    async def unsubscribe(self, topic: str) -> None:
        """Leave `topic`; does nothing if not subscribed."""
        await self._host.unsubscribe(topic)

    def trust(self, peer_id: PeerId) -> None:
        """Continue this peer's traces from now on."""
        self._trust.add(peer_id)

    @property
    def trusted(self) -> Callable[[PeerId], bool]:
        """Whose traces we continue.

        Until set, that is the configured known peers and those given to `trust`.
        """
        return self._trust.is_trusted

    @trusted.setter
    def trusted(self, is_trusted: Callable[[PeerId], bool]) -> None:
        self._trust.is_trusted = is_trusted

    async def disconnect(self, peer_id: PeerId) -> None:
        """Drop the connection with a peer; does nothing if there is none."""
        await self._host.disconnect(peer_id)

    async def wait_lost(self, peer_id: PeerId) -> None:
        """Return when the peer is not connected any more; at once if it is not.

        A killed process is noticed within a second, a frozen one within 5 s (with the
        default settings).
        """
        await self._presence.wait_lost(peer_id)

    def connected(self) -> frozenset[PeerId]:
        """Return the peers that are connected now."""
        return self._presence.peers()

    def stats(self) -> Mapping[str, int]:
        """Return what was counted so far; a name that never happened is absent."""
        refused = {f"refused.{why}": n for why, n in self._codec.refused.items()}
        trust = {f"trust.{what}": n for what, n in self._trust.stats().items()}
        return dict(self._counts) | refused | trust

    async def _ask(
        self, peer_id: PeerId, data: bytes, message_id: MessageId, wait_s: float
    ) -> Message:
        reply = None
        with trio.move_on_after(wait_s):
            line = await self._lines.to(peer_id)
            reply = await line.ask(data, message_id)
        if reply is None:
            raise RequestTimeoutError(f"{peer_id} did not reply within {wait_s:g} s")
        if reply.error_code:
            # The code becomes an attribute's value: never a text that a peer made up.
            known = reply.error_code in ERROR_CODES
            code = reply.error_code if known else RemoteError.code
            raise RemoteError(code, reply.error_message)
        return reply

    def _timeout(self, timeout_s: float | None) -> float:
        wait_s = self._config.request_timeout_s if timeout_s is None else timeout_s
        if not 0 < wait_s <= MAX_TIMEOUT_S:
            raise ValueError(
                f"timeout_s is {wait_s}; it is above 0, up to {MAX_TIMEOUT_S}"
            )
        return wait_s
