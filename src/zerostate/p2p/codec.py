"""One peer's use of the message codec: its identity, its clock, its size limits."""

from collections import Counter
from functools import partial
from typing import Final, TypedDict, Unpack, final

import trio

from zerostate.clock import Clock
from zerostate.errors import MessageRefusedError
from zerostate.evidence.identity import Identity
from zerostate.ids import MessageId, PeerId
from zerostate.p2p.admission import SeenMessages
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.message import (
    Message,
    check_on_stream,
    check_times,
    decode_message,
    encode_message,
    open_message,
)
from zerostate.telemetry.propagation import TraceCarrier
from zerostate.units import NS_PER_S

OFF_LOOP_BYTES: Final = 1 << 20
"""From this size, in bytes, a message is signed or verified in a thread: hashing 16 MiB
takes some 100 ms, in which the loop would answer nobody."""


class Fields(TypedDict, total=False):
    """The fields of `encode_message` that vary between messages."""

    message_id: MessageId
    to: PeerId | None
    topic: str | None
    sequence: int
    in_reply_to: MessageId
    error_code: str
    error_message: str
    keep_reply: bool
    cancels: MessageId


@final
class MessageCodec:
    """Seals what goes out, verifies what comes in, counts what is refused.

    Attributes:
        refused: Messages refused, by reason.
        counts: What else was noticed: ``headers.dropped``, malformed trace headers of
            messages that survived.
        max_stream_bytes: Largest envelope on a stream.
        max_gossip_bytes: Largest envelope over gossip.
    """

    def __init__(self, config: P2PConfig, identity: Identity, clock: Clock) -> None:
        self._identity = identity
        self._clock = clock
        self._seen = SeenMessages()
        self.refused: Final[Counter[str]] = Counter()
        self.counts: Final[Counter[str]] = Counter()
        self.max_stream_bytes: Final = config.max_stream_message_bytes
        self.max_gossip_bytes: Final = config.max_gossip_bytes

    async def seal(
        self,
        message_type: str,
        body: bytes,
        carrier: TraceCarrier,
        *,
        ttl_s: float,
        **fields: Unpack[Fields],
    ) -> bytes:
        """Return a signed message that expires in `ttl_s` seconds.

        Raises:
            UnknownMessageTypeError: Nothing was signed.
        """
        if len(body) < OFF_LOOP_BYTES:
            return self.seal_small(message_type, body, carrier, ttl_s=ttl_s, **fields)
        return await trio.to_thread.run_sync(
            partial(self.seal_small, message_type, body, carrier, ttl_s=ttl_s, **fields)
        )

    def seal_small(
        self,
        message_type: str,
        body: bytes,
        carrier: TraceCarrier,
        *,
        ttl_s: float,
        **fields: Unpack[Fields],
    ) -> bytes:
        """Return the same as `seal`, at once: for what is known to be small."""
        sent_unix_ns = self._clock.wall_ns()
        return encode_message(
            self._identity,
            message_type=message_type,
            body=body,
            sent_unix_ns=sent_unix_ns,
            expires_unix_ns=sent_unix_ns + round(ttl_s * NS_PER_S),
            carrier=carrier,
            **fields,
        )

    async def open_from_stream(self, data: bytes, remote: PeerId) -> Message:
        """Verify what came on a stream from `remote`, but for its times.

        Raises:
            MessageRefusedError: Not counted yet; see `count_refusal`. Whoever sends
                such a thing does not speak this protocol.
        """
        if len(data) < OFF_LOOP_BYTES:
            message = open_message(data)
        else:
            message = await trio.to_thread.run_sync(open_message, data)
        self._note_headers(message)
        check_on_stream(message, me=self._identity.peer_id, remote=remote)
        return message

    def decode_gossip(self, data: bytes, topic: str) -> Message:
        """Verify what came over gossip.

        Raises:
            MessageRefusedError: Not counted yet; see `count_refusal`.
        """
        if len(data) > self.max_gossip_bytes:
            raise MessageRefusedError("gossip_too_large", f"{len(data)} bytes")
        message = decode_message(data, now_unix_ns=self._clock.wall_ns(), topic=topic)
        self._note_headers(message)
        return message

    def _note_headers(self, message: Message) -> None:
        if message.dropped_headers:
            self.counts["headers.dropped"] += message.dropped_headers

    def check_times(self, message: Message) -> None:
        """Check that `message` is neither expired nor from another time.

        Raises:
            MessageRefusedError: Not counted yet; see `count_refusal`.
        """
        check_times(message, self._clock.wall_ns())

    def was_seen(self, message: Message) -> bool:
        """Return whether `message` was admitted before."""
        return message in self._seen

    def now_unix_ns(self) -> int:
        """Return our wall clock's reading."""
        return self._clock.wall_ns()

    def admit(self, message: Message) -> None:
        """Note that `message` is acted on now, so that it never is again.

        Raises:
            MessageRefusedError: ``replayed`` or ``seen_full``; not counted yet.
        """
        self._seen.add(message, now_unix_ns=self._clock.wall_ns())

    def count_refusal(self, exc: Exception) -> None:
        """Count `exc` if it is a refusal."""
        if isinstance(exc, MessageRefusedError):
            self.refused[exc.reason] += 1
