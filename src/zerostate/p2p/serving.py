"""Requests that other peers make of this one, on streams that they open."""

import logging
from collections import Counter
from typing import Final, Protocol, final

import trio

from zerostate.errors import (
    MessageRefusedError,
    OverloadedError,
    PeerLostError,
    UnknownMessageTypeError,
)
from zerostate.ids import PeerId
from zerostate.p2p.answers import Answers
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.frames import read_frame
from zerostate.p2p.handling import Continues, Handlers, RequestHandler
from zerostate.p2p.host import Stream
from zerostate.p2p.message import Message
from zerostate.p2p.shares import FairShares
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.writing import MAX_UNSENT_BYTES

MAX_STREAMS_PER_PEER: Final = 4
"""Streams of this protocol that one peer may hold open here. It needs one; a second is
usual for a moment after a reconnection."""

MAX_INBOUND_BYTES: Final = 128 << 20
"""Requests that are read or worked on, of all peers together, in bytes (128 MiB). One
peer alone gets half: four of the largest messages."""

SMALL_BYTES: Final = 64 << 10
"""Requests up to this size, in bytes, are not counted: the handlers' number bounds
them."""

ROOM_TIMEOUT_S: Final = 4.0
"""Longest that a large request waits for room before its stream is given up, in
seconds; py-libp2p's sender gives up after 5."""

ACK_NEW: Final = b"\x01"
"""Body of the reply to gossip on a stream: it was new."""

ACK_DUPLICATE: Final = b"\x00"
"""Body of the reply to gossip on a stream: it had arrived before."""

_logger: Final = logging.getLogger("zerostate.p2p")


class DirectGossip(Protocol):
    """What takes gossip that its author sends once more directly."""

    def take_direct(self, message: Message) -> bool:
        """Start acting on `message` unless it was seen; return whether it was.

        Raises:
            MessageRefusedError: It must not be acted on.
            OverloadedError: No room for one more handler.
        """


@final
class RequestServer:
    """Reads requests, has them handled, sends their replies."""

    def __init__(
        self,
        config: P2PConfig,
        codec: MessageCodec,
        gossip: DirectGossip,
        *,
        tracer: P2PTracer,
        trust: Trust,
        nursery: trio.Nursery,
        counts: Counter[str],
    ) -> None:
        self._codec = codec
        self._gossip = gossip
        self._nursery = nursery
        self._counts = counts
        self._handlers = Handlers(
            config.max_concurrent_handlers,
            codec,
            tracer=tracer,
            trust=trust,
            nursery=nursery,
            counts=counts,
        )
        self._streams: Counter[PeerId] = Counter()
        self._inbound = FairShares(MAX_INBOUND_BYTES)
        self._unsent = FairShares(MAX_UNSENT_BYTES)

    def handle(
        self, message_type: str, handler: RequestHandler, continues: Continues
    ) -> None:
        """Let `handler` answer requests of a type; the last one set wins.

        Raises:
            UnknownMessageTypeError: `message_type` is not registered.
        """
        self._handlers.register(message_type, handler, continues)

    async def serve(self, stream: Stream) -> None:
        """Take requests from `stream` until it ends or breaks the rules. Never raises."""
        if self._streams[stream.remote] >= MAX_STREAMS_PER_PEER:
            self._counts["streams.refused"] += 1
            return
        self._streams[stream.remote] += 1
        answers = Answers(stream, self._codec, room=self._unsent)
        answers.start(self._nursery)
        try:
            while True:
                await self._read_one(stream, answers)
                # Many may have been read ahead; the others get their turn between them.
                await trio.lowlevel.checkpoint()
        except OverloadedError as exc:
            self._counts["streams.overloaded"] += 1
            _logger.debug("stream from %s given up: %s", stream.remote, exc)
        except (PeerLostError, MessageRefusedError) as exc:
            self._codec.count_refusal(exc)
            _logger.debug("stream from %s ended: %s", stream.remote, exc)
        except Exception:
            self._counts["streams.errors"] += 1
            _logger.exception("stream from %s failed", stream.remote)
        finally:
            answers.stop()
            self._streams[stream.remote] -= 1
            if not self._streams[stream.remote]:
                del self._streams[stream.remote]

    async def _read_one(self, stream: Stream, answers: Answers) -> None:
        await answers.wait_taken()
        held = _HeldBytes(self._inbound, stream.remote)
        is_handed_on = False
        try:
            data = await read_frame(
                stream, max_bytes=self._codec.max_stream_bytes, room_for=held.hold
            )
            message = await self._codec.open_from_stream(data, stream.remote)
            del data
            is_handed_on = await self._answer_or_start(message, answers, held)
        finally:
            if not is_handed_on:
                held.release()

    async def _answer_or_start(
        self, message: Message, answers: Answers, held: "_HeldBytes"
    ) -> bool:
        """Return whether a handler has `message` now, and releases its bytes."""
        try:
            return await self._take(message, answers, held)
        except MessageRefusedError as exc:
            self._codec.count_refusal(exc)
            await answers.refuse(message, exc)
        except (OverloadedError, UnknownMessageTypeError) as exc:
            self._counts[f"requests.{exc.code}"] += 1
            await answers.refuse(message, exc)
        return False

    async def _take(
        self, message: Message, answers: Answers, held: "_HeldBytes"
    ) -> bool:
        if message.in_reply_to is not None:
            raise MessageRefusedError("malformed", "a reply where requests come")
        self._codec.check_times(message)
        if message.cancels is not None:
            self._handlers.call_off(message.author, message.cancels)
            return False
        if message.topic is not None:
            was_seen = self._gossip.take_direct(message)
            await answers.reply(message, ACK_DUPLICATE if was_seen else ACK_NEW)
            return False
        await self._handlers.take(message, answers, held.release)
        return True


@final
class _HeldBytes:
    """What one request takes of the room for requests."""

    def __init__(self, room: FairShares, peer_id: PeerId) -> None:
        self._room = room
        self._peer_id = peer_id
        self._size_bytes = 0

    async def hold(self, size_bytes: int) -> None:
        """Wait until there is room for a request of that size.

        Raises:
            OverloadedError: There is none in time.
        """
        if size_bytes <= SMALL_BYTES:
            return
        if not self._room.take(self._peer_id, size_bytes):
            with trio.move_on_after(ROOM_TIMEOUT_S) as scope:
                await self._room.wait_and_take(self._peer_id, size_bytes)
            if scope.cancelled_caught:
                raise OverloadedError(f"no room for {size_bytes} bytes more")
        self._size_bytes = size_bytes

    def release(self) -> None:
        """Give the room back; may be repeated."""
        if self._size_bytes:
            self._room.give_back(self._peer_id, self._size_bytes)
            self._size_bytes = 0
