"""The message codec: what a peer signs, and what a receiver checks before it acts.

Pure: no I/O, no clock, no state. Whether a message was seen before is decided by
`zerostate.p2p.admission`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import EnvelopeError, MessageRefusedError
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity
from zerostate.ids import MESSAGE_ID_BYTES, MessageId, PeerId, new_message_id
from zerostate.p2p import wire_pb2 as pb
from zerostate.p2p.types import REGISTERED_TYPES, require_registered
from zerostate.telemetry.propagation import (
    BAGGAGE,
    TRACEPARENT,
    TRACESTATE,
    TraceCarrier,
)
from zerostate.units import NS_PER_S

DOMAIN: Final = "zerostate-message"
"""Signing domain: a signature made for a message is valid for nothing else."""

PAYLOAD_TYPE: Final = b"/zerostate/message/1"
"""Payload type of the envelope."""

MAX_CLOCK_SKEW_S: Final = 120
"""How far ``sent`` may be from our clock, either way, in seconds. Peers' clocks are
not synchronised; two minutes bounds how long ids must be remembered."""

MAX_TOPIC_CHARS: Final = 128
"""Longest gossip topic, in characters; topics come from our own names and guild ids."""

MAX_ERROR_CHARS: Final = 1024
"""Longest error message in a reply, in characters."""

TRACE_HEADERS: Final = frozenset({TRACEPARENT, TRACESTATE, BAGGAGE})
"""Headers that a message's trace context is read from."""

_MAX_CODE_CHARS: Final = 64

_CANONICAL_PARENT: Final = re.compile(
    "00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]"
)
"""A traceparent that comes out of `TraceCarrier.from_headers` as it is, like every one
that our peers send. Most messages have it and no other header, and looking for more than
that took longer than decoding all the rest."""


@dataclass(frozen=True, slots=True)
class Message:
    """A verified incoming message."""

    id: MessageId
    """16 random bytes, unique for the author."""

    type: str
    """One of `REGISTERED_TYPES`."""

    author: PeerId
    """Who signed it; on a direct stream also who sent it."""

    to: PeerId | None
    """Addressee; None: everyone on the topic."""

    topic: str | None
    """Gossip topic; None on messages made for a direct stream."""

    sent_unix_ns: int
    """The author's clock when it was sealed."""

    expires_unix_ns: int
    """After this it must not be acted on."""

    carrier: TraceCarrier
    """The author's trace context, from inside the signature."""

    body: bytes
    """What the layer above sent."""

    sequence: int
    """Counts the author's gossip on the topic, from 1; 0 on direct messages."""

    in_reply_to: MessageId | None = None
    """The request that this answers; None on anything but a reply."""

    error_code: str = ""
    """On a reply: why the request failed, one of `ERROR_CODES`; empty on success."""

    error_message: str = ""
    """On a reply with an error code: what went wrong, for people."""

    keep_reply: bool = False
    """On a request: it may come again, and is then answered with the same reply."""

    cancels: MessageId | None = None
    """The author's earlier request, for which it no longer waits; None on anything but
    such a notice."""

    dropped_headers: int = 0
    """Trace headers that were malformed, and that the carrier is therefore without."""


def encode_message(
    identity: Identity,
    *,
    message_type: str,
    body: bytes,
    sent_unix_ns: int,
    expires_unix_ns: int,
    carrier: TraceCarrier,
    message_id: MessageId | None = None,
    to: PeerId | None = None,
    topic: str | None = None,
    sequence: int = 0,
    in_reply_to: MessageId | None = None,
    error_code: str = "",
    error_message: str = "",
    keep_reply: bool = False,
    cancels: MessageId | None = None,
) -> bytes:
    """Return the message in an envelope signed by `identity`.

    Raises:
        UnknownMessageTypeError: `message_type` is not registered; nothing was signed.
    """
    fields: dict[str, object] = {
        "id": message_id if message_id is not None else new_message_id(),
        "type": require_registered(message_type),
        "from": identity.peer_id,
        "to": to,
        "topic": topic,
        "sent_unix_ns": sent_unix_ns,
        "expires_unix_ns": expires_unix_ns,
        "headers": carrier.headers(),
        "body": body,
        "in_reply_to": in_reply_to,
        "sequence": sequence,
        "error_code": error_code,
        "error_message": error_message[:MAX_ERROR_CHARS],
        "keep_reply": keep_reply,
        "cancels": cancels,
    }
    payload = pb.Message(**fields).SerializeToString(deterministic=True)  # type: ignore[arg-type]  # "from" is a keyword, so the fields go in as a mapping
    return seal(identity, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)


def decode_message(
    data: bytes,
    *,
    now_unix_ns: int,
    me: PeerId | None = None,
    remote: PeerId | None = None,
    topic: str | None = None,
) -> Message:
    """Verify a message completely, but for whether it was seen before.

    Args:
        data: The envelope, as received.
        now_unix_ns: Our wall clock.
        me: With `remote`: it came on a stream and must be addressed to us.
        remote: The peer at the stream's other end.
        topic: It came over gossip on this topic.

    Raises:
        MessageRefusedError: With the reason; nothing may be done with `data`.
    """
    message = open_message(data)
    if me is not None and remote is not None:
        check_on_stream(message, me=me, remote=remote)
    if topic is not None:
        check_on_topic(message, topic)
    check_times(message, now_unix_ns)
    return message


def open_message(data: bytes) -> Message:
    """Verify what a message is in itself: signature, author, shape, type.

    Raises:
        MessageRefusedError: ``bad_envelope``, ``malformed``, ``author_mismatch`` or
            ``unknown_type``.
    """
    try:
        envelope = unseal(data, domain=DOMAIN, payload_type=PAYLOAD_TYPE)
    except EnvelopeError as exc:
        raise MessageRefusedError("bad_envelope", str(exc)) from exc
    try:
        wire = pb.Message.FromString(envelope.payload)
    except DecodeError as exc:
        raise MessageRefusedError("malformed", "payload is not a message") from exc
    if getattr(wire, "from") != envelope.author:
        raise MessageRefusedError("author_mismatch", "not signed by its author")
    _check_shape(wire)
    return _to_message(wire, envelope.author)


def check_on_stream(message: Message, *, me: PeerId, remote: PeerId) -> None:
    """Check that a message belongs on the stream that it came on.

    Args:
        message: What came.
        me: Our peer id; the message must be addressed to it, or be gossip for everyone
            that its author sends once more directly.
        remote: The peer at the other end, as proved by the Noise handshake; it must be
            the author.

    Raises:
        MessageRefusedError: ``peer_mismatch`` or ``not_addressed``.
    """
    if message.author != remote:
        raise MessageRefusedError("peer_mismatch", f"sent by {remote}")
    if message.to != me and (message.to is not None or message.topic is None):
        raise MessageRefusedError("not_addressed", f"addressed to {message.to}")


def check_on_topic(message: Message, topic: str) -> None:
    """Check that a message belongs on the gossip topic that it came on.

    Raises:
        MessageRefusedError: ``topic_mismatch`` or ``malformed``; it must not be
            forwarded either.
    """
    if message.topic != topic:
        raise MessageRefusedError("topic_mismatch", f"signed for {message.topic!r}")
    if message.in_reply_to is not None or message.cancels is not None:
        raise MessageRefusedError("malformed", "a reply or cancellation over gossip")


def check_times(message: Message, now_unix_ns: int) -> None:
    """Check a message's times against our clock.

    Raises:
        MessageRefusedError: ``clock_skew`` or ``expired``.
    """
    off_ns = now_unix_ns - message.sent_unix_ns
    if abs(off_ns) > MAX_CLOCK_SKEW_S * NS_PER_S:
        raise MessageRefusedError(
            "clock_skew",
            f"sent {off_ns / NS_PER_S:.0f} s before our clock's now; "
            f"at most {MAX_CLOCK_SKEW_S} s either way: are both clocks right?",
        )
    if now_unix_ns >= message.expires_unix_ns:
        raise MessageRefusedError("expired")


def _check_shape(wire: pb.Message) -> None:
    if len(wire.id) != MESSAGE_ID_BYTES:
        raise MessageRefusedError("malformed", f"id of {len(wire.id)} bytes")
    if wire.in_reply_to and len(wire.in_reply_to) != MESSAGE_ID_BYTES:
        raise MessageRefusedError("malformed", "in_reply_to is not a message id")
    if wire.cancels and len(wire.cancels) != MESSAGE_ID_BYTES:
        raise MessageRefusedError("malformed", "cancels is not a message id")
    if len(wire.topic) > MAX_TOPIC_CHARS:
        raise MessageRefusedError("malformed", "topic too long")
    if len(wire.error_code) > _MAX_CODE_CHARS:
        raise MessageRefusedError("malformed", "error code too long")
    if wire.type not in REGISTERED_TYPES:
        raise MessageRefusedError("unknown_type", repr(wire.type[:40]))


def _to_message(wire: pb.Message, author: PeerId) -> Message:
    carrier, dropped_headers = _read_headers(wire.headers)
    return Message(
        id=MessageId(wire.id),
        type=wire.type,
        author=author,
        to=PeerId(wire.to) if wire.to else None,
        topic=wire.topic or None,
        sent_unix_ns=wire.sent_unix_ns,
        expires_unix_ns=wire.expires_unix_ns,
        carrier=carrier,
        body=wire.body,
        sequence=wire.sequence,
        in_reply_to=MessageId(wire.in_reply_to) if wire.in_reply_to else None,
        error_code=wire.error_code,
        error_message=wire.error_message[:MAX_ERROR_CHARS],
        keep_reply=wire.keep_reply,
        cancels=MessageId(wire.cancels) if wire.cancels else None,
        dropped_headers=dropped_headers,
    )


def _read_headers(headers: Mapping[str, str]) -> tuple[TraceCarrier, int]:
    """Return the trace context in `headers`, and how many of them are malformed."""
    if not headers:
        return TraceCarrier(), 0
    if len(headers) == 1 and _CANONICAL_PARENT.fullmatch(headers.get(TRACEPARENT, "")):
        return TraceCarrier(headers[TRACEPARENT]), 0
    given = dict(headers)
    carrier = TraceCarrier.from_headers(given)
    return carrier, _count_dropped(given, carrier)


def _count_dropped(headers: Mapping[str, str], carrier: TraceCarrier) -> int:
    """Return how many of the trace headers in `headers` did not reach `carrier`.

    Tracestate goes with a malformed traceparent, but is not itself malformed then.
    """
    kept = carrier.headers()
    given = {name.lower() for name, value in headers.items() if value}
    lost = given & TRACE_HEADERS - kept.keys()
    return len(lost - {TRACESTATE} if TRACEPARENT in lost else lost)
