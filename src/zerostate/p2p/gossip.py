"""Messages over the gossip mesh: publishing at a pace, acting once on what arrives."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

import trio

from zerostate.errors import MessageRefusedError, OverloadedError, ZeroStateError
from zerostate.ids import MessageId, PeerId, new_message_id
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.frames import check_size
from zerostate.p2p.host import Host
from zerostate.p2p.message import MAX_TOPIC_CHARS, Message
from zerostate.p2p.pacing import Pacer
from zerostate.p2p.serving import take_slot
from zerostate.p2p.tasks import start_clean
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.types import require_registered

READY_POLL_S: Final = 0.02
"""How often a publication looks for the topic's first subscriber, in seconds; the mesh
settles within about 30 ms of a subscription."""

_logger: Final = logging.getLogger("zerostate.p2p")

GossipHandler = Callable[[Message], Awaitable[None]]
"""Acts on a message; may run for minutes."""

Continues = Callable[[Message], bool]
"""Tells whether a message concerns this peer enough to go on with its trace."""


@dataclass(frozen=True, slots=True)
class Published:
    """A message that was handed to the mesh."""

    message_id: MessageId
    envelope: bytes
    """The signed bytes, the same for everybody."""

    peers: int
    """Neighbours it was handed to; 0: nobody has subscribed yet."""

    message_type: str
    body_size: int
    """In bytes."""


@dataclass(frozen=True, slots=True)
class _Subscriber:
    handler: GossipHandler
    continues: Continues


@final
class Gossip:
    """One peer's part in the mesh."""

    def __init__(
        self,
        host: Host,
        config: P2PConfig,
        codec: MessageCodec,
        *,
        me: PeerId,
        tracer: P2PTracer,
        trust: Trust,
        nursery: trio.Nursery,
        counts: Counter[str],
    ) -> None:
        self._host = host
        self._codec = codec
        self._me = me
        self._tracer = tracer
        self._trust = trust
        self._nursery = nursery
        self._counts = counts
        self._ready_timeout_s = config.gossip_ready_timeout_s
        self._pacer = Pacer(
            rate_per_s=config.gossip_rate_per_s,
            burst=config.gossip_burst,
            max_waiting=config.max_gossip_queue,
        )
        self._slots = trio.CapacityLimiter(config.max_concurrent_handlers)
        self._subscribers: dict[str, _Subscriber] = {}
        self._sequences: Counter[str] = Counter()

    def on_gossip(
        self, message_type: str, handler: GossipHandler, continues: Continues
    ) -> None:
        """Let `handler` act on messages of a type; the last one set wins.

        Raises:
            UnknownMessageTypeError: `message_type` is not registered.
        """
        self._subscribers[require_registered(message_type)] = _Subscriber(
            handler, continues
        )

    async def publish(
        self,
        topic: str,
        message_type: str,
        body: bytes,
        *,
        to: PeerId | None,
        ttl_s: float,
    ) -> Published:
        """See `zerostate.p2p.node.PeerNode.publish`."""
        require_registered(message_type)
        if not 0 < len(topic) <= MAX_TOPIC_CHARS:
            raise ValueError(
                f"a topic has 1 to {MAX_TOPIC_CHARS} characters: {topic!r}"
            )
        message_id = new_message_id()
        with self._tracer.trace_message(
            message_type, body_size=len(body), message_id=message_id
        ):
            check_size(len(body), max_bytes=self._codec.max_gossip_bytes)
            await self._ready(topic)
            return await self._send(
                topic,
                message_type,
                body,
                message_id=message_id,
                to=to,
                ttl_s=ttl_s,
            )

    async def _ready(self, topic: str) -> None:
        try:
            await self._pacer.turn()
        except OverloadedError:
            self._counts["gossip.dropped.queue_full"] += 1
            raise
        with trio.move_on_after(self._ready_timeout_s):
            while not self._host.topic_peers(topic):  # noqa: ASYNC110  # py-libp2p has no event for "any subscriber"
                await trio.sleep(READY_POLL_S)
        if self._host.topic_peers(topic):
            return
        self._counts["gossip.published_to_nobody"] += 1
        _logger.warning("nobody else is subscribed to %s yet", topic)

    async def _send(
        self,
        topic: str,
        message_type: str,
        body: bytes,
        *,
        message_id: MessageId,
        to: PeerId | None,
        ttl_s: float,
    ) -> Published:
        self._sequences[topic] += 1
        sequence = self._sequences[topic]
        with self._tracer.trace_gossip_publish(
            topic,
            message_type,
            message_id=message_id,
            to=to,
            body_size=len(body),
            sequence=sequence,
        ) as span:
            envelope = await self._codec.seal(
                message_type,
                body,
                self._trust.outgoing(self._tracer.carrier(), None),
                ttl_s=ttl_s,
                message_id=message_id,
                to=to,
                topic=topic,
                sequence=sequence,
            )
            check_size(len(envelope), max_bytes=self._codec.max_gossip_bytes)
            peers = len(self._host.topic_peers(topic))
            await self._host.publish(topic, envelope)
            self._tracer.record_peers(span, peers)
            self._counts["gossip.sent"] += 1
            return Published(message_id, envelope, peers, message_type, len(body))

    def arrived(self, topic: str, forwarder: PeerId, data: bytes) -> bool:
        """Take what the mesh brought; return whether it is worth forwarding.

        Never raises: it is called from inside the transport.
        """
        try:
            message = self._codec.decode_gossip(data, topic)
            if message.author != self._me:
                self._take_from_mesh(message, forwarder)
        except MessageRefusedError as exc:
            self._codec.count_refusal(exc)
            return False
        except Exception:
            self._counts["gossip.errors"] += 1
            _logger.exception("gossip on %s failed", topic)
            return False
        return True

    def _take_from_mesh(self, message: Message, forwarder: PeerId) -> None:
        if self._codec.was_seen(message):
            self._counts["gossip.duplicates"] += 1
            return
        try:
            if message.to in (None, self._me):
                self._start(message, self._deliver, forwarder)
            else:
                self._codec.admit(message)
                self._overhear(message, forwarder)
        except MessageRefusedError as exc:
            self._codec.count_refusal(exc)
        except OverloadedError:
            # Not remembered as seen: the author may still send it directly.
            self._counts["gossip.dropped.overloaded"] += 1
        else:
            self._counts["gossip.received"] += 1

    def take_direct(self, message: Message) -> bool:
        """Start acting on gossip that came on a stream; return whether it was seen.

        Raises:
            MessageRefusedError: It must not be acted on.
            OverloadedError: No room for one more handler.
        """
        if self._codec.was_seen(message):
            return True
        self._start(message, self._deliver_direct)
        return False

    def _start(
        self,
        message: Message,
        deliver: Callable[..., Awaitable[None]],
        *args: PeerId,
    ) -> None:
        slot = take_slot(self._slots)
        try:
            self._codec.admit(message)
        except MessageRefusedError:
            self._slots.release_on_behalf_of(slot)
            raise
        start_clean(self._nursery, self._guarded, message, slot, deliver, *args)

    async def _guarded(
        self,
        message: Message,
        slot: object,
        deliver: Callable[..., Awaitable[None]],
        *args: PeerId,
    ) -> None:
        try:
            await deliver(message, *args)
        except ZeroStateError as exc:
            self._counts[f"handler.refused.{exc.code}"] += 1
            _logger.info("%s from %s: %s", message.type, message.author, exc)
        except Exception:
            self._counts["handler.errors"] += 1
            _logger.exception("handler of %s failed", message.type)
        finally:
            self._slots.release_on_behalf_of(slot)

    async def _deliver(self, message: Message, forwarder: PeerId) -> None:
        admission = self._trust.admit(
            message, forwarder=forwarder, concerns_us=self._concerns_us(message)
        )
        with (
            self._tracer.trace_gossip_deliver(
                message, forwarder=forwarder, admission=admission
            ),
            self._tracer.trace_message(
                message.type, body_size=len(message.body), message_id=message.id
            ),
        ):
            await self._handle(message)

    async def _deliver_direct(self, message: Message) -> None:
        admission = self._trust.admit(message, concerns_us=self._concerns_us(message))
        with self._tracer.trace_handling(message, admission=admission):
            await self._handle(message)

    async def _handle(self, message: Message) -> None:
        subscriber = self._subscribers.get(message.type)
        if subscriber is None:
            self._counts["gossip.unhandled"] += 1
            return
        await subscriber.handler(message)

    def _overhear(self, message: Message, forwarder: PeerId) -> None:
        admission = self._trust.admit(message, forwarder=forwarder, concerns_us=False)
        with self._tracer.trace_gossip_deliver(
            message, forwarder=forwarder, admission=admission
        ):
            """Nothing to do: it is for somebody else, the mesh forwards it."""

    def _concerns_us(self, message: Message) -> bool:
        """Return whether a trusted author's trace goes on here."""
        if not self._trust.is_trusted(message.author):
            return False
        subscriber = self._subscribers.get(message.type)
        return subscriber is not None and subscriber.continues(message)
