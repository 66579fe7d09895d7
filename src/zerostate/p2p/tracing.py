"""The spans of the peer-to-peer layer: words, not deeds."""

from contextlib import AbstractContextManager
from typing import Final, Literal, final, get_args

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, TracerProvider, get_current_span

from zerostate.errors import P2PError
from zerostate.ids import MessageId, PeerId
from zerostate.p2p.address import PeerAddress
from zerostate.p2p.message import Message
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.semconv.spans import SpanSpec
from zerostate.telemetry.block import SpanBlock
from zerostate.telemetry.propagation import TraceCarrier
from zerostate.telemetry.spans import LayerTracer
from zerostate.telemetry.trust import Admission
from zerostate.units import NS_PER_S

MESSAGING_SYSTEM: Final = "libp2p"
"""Value of ``messaging.system``; a custom one, as the convention allows."""

ConnectionOperation = Literal["establish", "close"]
"""What may be done with a connection."""

CloseReason = Literal["local", "watchdog", "remote", "banned"]
"""Why a stay ends: we asked for it; the peer no longer answered; the other end or the
network; the peer was banned. What is over a limit is refused and never has a stay."""

DhtOperation = Literal["put", "get", "find_peer"]
"""What may be done with the distributed hash table."""

DhtRecord = Literal["value", "provider"]
"""What stands under a key of it."""

RelayDirection = Literal["reserve", "dial", "accept", "forward"]
"""What a peer has to do with a relayed connection; see `P2PTracer.trace_relay`."""

_OF_CONNECTION: Final[dict[ConnectionOperation, SpanSpec]] = {
    "establish": spans.P2P_CONNECTION_ESTABLISH,
    "close": spans.P2P_CONNECTION_CLOSE,
}

_Attributes = dict[str, str | int | float]


@final
class P2PTracer(LayerTracer):
    """Opens ``p2p.*`` spans. No payload goes into an attribute, only its size."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("p2p", provider)

    def trace_connection(
        self,
        peer_id: PeerId,
        operation: ConnectionOperation,
        *,
        address: PeerAddress | None = None,
        reason: CloseReason | None = None,
        stood_s: float | None = None,
        is_background: bool = False,
    ) -> AbstractContextManager[Span]:
        """Cover a dial, or the end of a stay with all that it sets free (INTERNAL).

        Opened by hand around `PeerNode.connect` or `disconnect`, it is the one span of
        that call.

        Args:
            peer_id: Whom the connection is with.
            operation: ``establish``, until the secured connection stands, or ``close``.
            address: Where we dial.
            reason: Why it ends; what the other end caused is a trace of its own.
            stood_s: How long the stay lasted, in seconds.
            is_background: A dial that this peer makes again and again by itself.
        """
        attributes: dict[str, str | int | float | bool] = {attr.PEER_ID: peer_id}
        if is_background:
            attributes[attr.BACKGROUND] = True
        if address is not None:
            attributes[attr.NETWORK_TRANSPORT] = "tcp"
            attributes[attr.NETWORK_PEER_ADDRESS] = address.ip
        if reason is not None:
            attributes[attr.CONNECTION_CLOSE_REASON] = reason
        if stood_s is not None:
            attributes[attr.CONNECTION_STOOD_S] = stood_s
        return self.span(
            _OF_CONNECTION[operation],
            attributes,
            context=Context() if reason == "remote" else None,
            adopts=True,
        )

    def trace_relay(
        self,
        direction: RelayDirection,
        source: PeerId,
        destination: PeerId,
        *,
        relay: PeerId | None = None,
        is_background: bool = False,
    ) -> AbstractContextManager[Span]:
        """Cover what is done through a relay, or by one (INTERNAL).

        What another peer sets off is a trace of its own: no context travels with it.

        Args:
            direction: ``reserve`` a place at a relay, ``dial`` through one, ``accept``
                who comes through one, or ``forward``, as the relay between two.
            source: Who asks.
            destination: Who is asked, or to be reached.
            relay: Who is between the two, or gives the place.
            is_background: A place that this peer asks for again and again by itself.
        """
        attributes: dict[str, str | bool] = {
            attr.RELAY_DIRECTION: direction,
            attr.RELAY_SOURCE: source,
            attr.RELAY_DESTINATION: destination,
        }
        if relay is not None:
            attributes[attr.RELAY_VIA] = relay
        if is_background:
            attributes[attr.BACKGROUND] = True
        is_ours = direction in {"reserve", "dial"}
        return self.span(
            spans.P2P_RELAY,
            attributes,
            context=None if is_ours else Context(),
            adopts=True,
        )

    def trace_request(
        self,
        peer_id: PeerId,
        message_type: str,
        *,
        message_id: MessageId,
        body_size: int,
    ) -> AbstractContextManager[Span]:
        """Cover a message on a direct stream, from encoding to its reply (CLIENT)."""
        attributes = _message(message_type, message_id, body_size)
        attributes |= {
            attr.PEER_ID: peer_id,
            attr.MESSAGING_OPERATION_NAME: "request",
            attr.MESSAGING_OPERATION_TYPE: "send",
        }
        return self.span(spans.P2P_MESSAGE_CLIENT, attributes, type=message_type)

    def trace_handling(
        self, message: Message, *, admission: Admission
    ) -> AbstractContextManager[Span]:
        """Cover a handler of a message from a direct stream (SERVER).

        Args:
            message: What arrived.
            admission: What becomes of its trace context.
        """
        attributes = _incoming(message)
        attributes[attr.MESSAGING_OPERATION_NAME] = "handle"
        attributes[attr.MESSAGING_OPERATION_TYPE] = "process"
        return self._span_of_author(
            spans.P2P_MESSAGE_SERVER, attributes, admission, type=message.type
        )

    def _span_of_author(
        self,
        spec: SpanSpec,
        attributes: _Attributes,
        admission: Admission,
        **fields: str,
    ) -> AbstractContextManager[Span]:
        # All of the context, so that the author's baggage reaches the handler too.
        return SpanBlock(
            self._tracer,
            spec.name.format(**fields),
            kind=SpanKind[spec.kind],
            attributes=attributes,
            context=admission.context,
            links=admission.links,
            is_context_attached=True,
        )

    def trace_message(
        self,
        message_type: str,
        body_size: int = 0,
        *,
        message_id: MessageId | None = None,
    ) -> AbstractContextManager[Span]:
        """Cover a message around its gossip hop, sending or handling (INTERNAL)."""
        attributes = _message(message_type, message_id, body_size)
        return self.span(spans.P2P_MESSAGE, attributes, type=message_type)

    def trace_gossip(self, action: str, topic: str) -> AbstractContextManager[Span]:
        """Cover gossip of one's own, beside what `PeerNode` publishes and delivers.

        Those have spans already: `trace_gossip_publish` and `trace_gossip_deliver`.

        Args:
            action: ``publish`` (PRODUCER) or ``deliver`` (CONSUMER).
            topic: On which topic.

        Raises:
            ValueError: `action` is another one.
        """
        actions = {
            "publish": (spans.P2P_GOSSIP_PUBLISH, "send"),
            "deliver": (spans.P2P_GOSSIP_DELIVER, "process"),
        }
        if action not in actions:
            raise ValueError(f"action is {action[:40]!r}; it is publish or deliver")
        spec, operation_type = actions[action]
        return self.span(
            spec,
            {
                attr.MESSAGING_SYSTEM: MESSAGING_SYSTEM,
                attr.MESSAGING_DESTINATION_NAME: topic,
                attr.MESSAGING_OPERATION_NAME: action,
                attr.MESSAGING_OPERATION_TYPE: operation_type,
            },
        )

    def trace_gossip_publish(
        self,
        topic: str,
        message_type: str,
        *,
        message_id: MessageId,
        to: PeerId | None,
        body_size: int,
        sequence: int,
    ) -> AbstractContextManager[Span]:
        """Cover sealing a message and handing it to the mesh (PRODUCER)."""
        attributes = _message(message_type, message_id, body_size)
        attributes |= {
            attr.MESSAGING_DESTINATION_NAME: topic,
            attr.MESSAGING_OPERATION_NAME: "publish",
            attr.MESSAGING_OPERATION_TYPE: "send",
            attr.GOSSIP_SEQUENCE: sequence,
        }
        if to is not None:
            attributes[attr.PEER_ID] = to
        return self.span(spans.P2P_GOSSIP_PUBLISH, attributes)

    def trace_gossip_deliver(
        self,
        message: Message,
        *,
        forwarder: PeerId,
        admission: Admission,
        latency_ns: int,
    ) -> AbstractContextManager[Span]:
        """Cover a message's arrival from the mesh, with what it sets off (CONSUMER).

        Args:
            message: What arrived.
            forwarder: The neighbour that handed it on.
            admission: What becomes of its trace context.
            latency_ns: Our clock now less the author's when it was sealed.
        """
        attributes = _incoming(message)
        attributes |= {
            attr.GOSSIP_SKEWED_LATENCY_NS: latency_ns,
            attr.MESSAGING_DESTINATION_NAME: message.topic or "",
            attr.MESSAGING_OPERATION_NAME: "deliver",
            attr.MESSAGING_OPERATION_TYPE: "process",
            attr.GOSSIP_SEQUENCE: message.sequence,
            attr.GOSSIP_FORWARDER: forwarder,
        }
        return self._span_of_author(spans.P2P_GOSSIP_DELIVER, attributes, admission)

    def trace_dht_operation(
        self,
        operation: DhtOperation,
        key: str,
        *,
        record: DhtRecord | None = None,
        is_background: bool = False,
    ) -> AbstractContextManager[Span]:
        """Cover a lookup in the distributed hash table, and storing there (INTERNAL).

        Opened by hand around a call of `zerostate.p2p.dht.Dht` for the same key (see
        its `key`), it is the one span of that call.

        Args:
            operation: Part of the span's name.
            key: What is looked up: a whole key, or a peer id.
            record: What stands under the key.
            is_background: The table's upkeep, which is a trace of its own.

        Raises:
            ValueError: `operation` is none of the three.
        """
        if operation not in get_args(DhtOperation):
            raise ValueError(
                f"{operation!r} is no DHT operation: {get_args(DhtOperation)}"
            )
        attributes: dict[str, str | bool] = {
            attr.DHT_OPERATION: operation,
            attr.DHT_KEY: key,
        }
        if record is not None:
            attributes[attr.DHT_RECORD] = record
        if is_background:
            attributes[attr.BACKGROUND] = True
        return self.span(
            spans.P2P_DHT,
            attributes,
            context=Context() if is_background else None,
            adopts=not is_background,
            operation=operation,
        )

    def record_dht(
        self, span: Span, *, peers: int | None = None, found: bool | None = None
    ) -> None:
        """Note on a DHT operation's span what came of it.

        Args:
            span: The operation's.
            peers: How many others hold the value or list us, or provide it.
            found: Whether anything was found.
        """
        if peers is not None:
            span.set_attribute(attr.DHT_PEERS, peers)
        if found is not None:
            span.set_attribute(attr.DHT_FOUND, found)

    def trace_health_check(
        self, peer_id: PeerId, *, is_background: bool = False
    ) -> AbstractContextManager[Span]:
        """Cover a ping and the comparison of clocks (INTERNAL).

        Args:
            peer_id: Who is checked.
            is_background: A regular check, which is a trace of its own.
        """
        attributes: dict[str, str | bool] = {attr.PEER_ID: peer_id}
        if is_background:
            attributes[attr.BACKGROUND] = True
        return self.span(
            spans.P2P_HEALTH_CHECK,
            attributes,
            context=Context() if is_background else None,
            adopts=not is_background,
        )

    def record_health(
        self,
        span: Span,
        round_trip_s: float,
        *,
        clock_offset_ns: int | None,
        clock_error_ns: int | None,
    ) -> None:
        """Note on a health check's span what was measured."""
        span.set_attribute(attr.ROUND_TRIP_NS, round(round_trip_s * NS_PER_S))
        if clock_offset_ns is not None and clock_error_ns is not None:
            span.set_attribute(attr.CLOCK_OFFSET_NS, clock_offset_ns)
            span.set_attribute(attr.CLOCK_ERROR_NS, clock_error_ns)

    def carrier(self) -> TraceCarrier:
        """Return the current span as it goes out with a message."""
        return TraceCarrier.inject()

    def record_repeat(self, attempt: int, reason: P2PError) -> None:
        """Note on the current span that its request is sent once more.

        Args:
            attempt: Which one it is, from 2.
            reason: Why the one before is not enough.
        """
        get_current_span().add_event(
            attr.EVENT_MESSAGE_SENT_AGAIN,
            {attr.MESSAGE_ATTEMPT: attempt, attr.ERROR_TYPE: reason.code},
        )

    def record_peers(self, span: Span, peers: int) -> None:
        """Note on a publishing span to how many neighbours the message went."""
        span.set_attribute(attr.GOSSIP_PEERS, peers)


def _message(
    message_type: str, message_id: MessageId | None, body_size: int
) -> _Attributes:
    attributes: _Attributes = {
        attr.MESSAGING_SYSTEM: MESSAGING_SYSTEM,
        attr.MESSAGE_TYPE: message_type,
        attr.MESSAGING_BODY_SIZE: body_size,
    }
    if message_id is not None:
        attributes[attr.MESSAGING_MESSAGE_ID] = message_id.hex()
    return attributes


def _incoming(message: Message) -> _Attributes:
    attributes = _message(message.type, message.id, len(message.body))
    attributes[attr.PEER_ID] = message.author
    return attributes
