"""Messages that this peer publishes over the gossip mesh, at a pace."""

import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, final

import trio

from zerostate.errors import OverloadedError
from zerostate.ids import MessageId, PeerId, new_message_id
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.frames import check_size
from zerostate.p2p.host import Host
from zerostate.p2p.message import MAX_TOPIC_CHARS
from zerostate.p2p.pacing import Pacer
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.types import require_registered

READY_POLL_S: Final = 0.02
"""How often a publication looks for the topic's first subscriber, in seconds; the mesh
settles within about 30 ms of a subscription."""

MAX_NUMBERED_TOPICS: Final = 65_536
"""Topics whose numbering is remembered. One that was not used for so many others begins
at 1 again, which receivers take for a restart."""

_logger: Final = logging.getLogger("zerostate.p2p")


@dataclass(frozen=True, slots=True)
class Published:
    """A message that was handed to the mesh."""

    message_id: MessageId
    envelope: bytes
    """The signed bytes, the same for everybody."""

    peers: int
    """Neighbours that the transport has taken it for; 0: nobody has subscribed yet, or
    its queues are full. Whether they receive it is not known."""

    message_type: str
    body_size: int
    """In bytes."""


@final
class Publisher:
    """Seals messages and hands them to the mesh."""

    def __init__(
        self,
        host: Host,
        config: P2PConfig,
        codec: MessageCodec,
        *,
        tracer: P2PTracer,
        trust: Trust,
        counts: Counter[str],
    ) -> None:
        self._host = host
        self._codec = codec
        self._tracer = tracer
        self._trust = trust
        self._counts = counts
        self._ready_timeout_s = config.gossip_ready_timeout_s
        self._pacer = Pacer(
            rate_per_s=config.gossip_rate_per_s,
            burst=config.gossip_burst,
            max_waiting=config.max_gossip_queue,
        )
        self._sequences: OrderedDict[str, int] = OrderedDict()

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
                topic, message_type, body, message_id=message_id, to=to, ttl_s=ttl_s
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
        sequence = self._next_number(topic)
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
            if len(envelope) > self._codec.max_gossip_bytes:
                self._take_back(topic, sequence)
            check_size(len(envelope), max_bytes=self._codec.max_gossip_bytes)
            peers = await self._hand_over(topic, envelope)
            self._tracer.record_peers(span, peers)
            return Published(message_id, envelope, peers, message_type, len(body))

    async def _hand_over(self, topic: str, envelope: bytes) -> int:
        wanted = len(self._host.topic_peers(topic))
        peers = await self._host.publish(topic, envelope)
        self._counts["gossip.sent"] += 1
        if peers < wanted:
            self._counts["gossip.not_taken"] += wanted - peers
        return peers

    def _next_number(self, topic: str) -> int:
        number = self._sequences.pop(topic, 0) + 1
        self._sequences[topic] = number
        if len(self._sequences) > MAX_NUMBERED_TOPICS:
            self._sequences.popitem(last=False)
        return number

    def _take_back(self, topic: str, number: int) -> None:
        # Or receivers would count a message as lost that was never sent.
        if self._sequences.get(topic) == number:
            self._sequences[topic] = number - 1
