"""Requests that other peers make of this one, on streams that they open."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, final

import trio

from zerostate.errors import (
    InternalError,
    MessageRefusedError,
    OverloadedError,
    PeerLostError,
    RequestTimeoutError,
    UnknownMessageTypeError,
    ZeroStateError,
)
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.frames import check_size, read_frame, write_frame
from zerostate.p2p.host import Stream
from zerostate.p2p.message import Message
from zerostate.p2p.tasks import start_clean
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.types import require_registered
from zerostate.telemetry.propagation import TraceCarrier

MAX_STREAMS_PER_PEER: Final = 4
"""Streams of this protocol that one peer may hold open here. It needs one; a second is
usual for a moment after a reconnection."""

HANDLER_TIMEOUT_S: Final = 120.0
"""Longest that a handler of a direct request may run, in seconds: no request waits
longer for its reply (`zerostate.p2p.config.MAX_TIMEOUT_S`)."""

REPLY_TTL_S: Final = 60.0
"""Life of a reply, in seconds; the other end drops what comes after its timeout."""

ACK_NEW: Final = b"\x01"
"""Body of the reply to gossip on a stream: it was new."""

ACK_DUPLICATE: Final = b"\x00"
"""Body of the reply to gossip on a stream: it had arrived before."""

ENVELOPE_OVERHEAD_BYTES: Final = 4096
"""More than signature, key, ids, type and error text of a reply take, in bytes."""

_logger: Final = logging.getLogger("zerostate.p2p")

RequestHandler = Callable[[Message], Awaitable[bytes]]
"""Acts on a request and returns the body of the reply."""


class DirectGossip(Protocol):
    """What takes gossip that its author sends once more directly."""

    def take_direct(self, message: Message) -> bool:
        """Start acting on `message` unless it was seen; return whether it was.

        Raises:
            MessageRefusedError: It must not be acted on.
            OverloadedError: No room for one more handler.
        """


@final
class _Answers:
    """The way back on one stream."""

    def __init__(self, stream: Stream, codec: MessageCodec) -> None:
        self._stream = stream
        self._codec = codec
        self._writing = trio.Lock()

    async def reply(self, request: Message, body: bytes) -> None:
        await self._send(
            await self._codec.seal(
                request.type,
                body,
                TraceCarrier(),
                ttl_s=REPLY_TTL_S,
                to=request.author,
                in_reply_to=request.id,
            )
        )

    async def refuse(self, request: Message, failure: ZeroStateError) -> None:
        await self._send(
            await self._codec.seal(
                request.type,
                b"",
                TraceCarrier(),
                ttl_s=REPLY_TTL_S,
                to=request.author,
                in_reply_to=request.id,
                error_code=failure.code,
                error_message=str(failure),
            )
        )

    async def _send(self, data: bytes) -> None:
        async with self._writing:
            await write_frame(
                self._stream, data, max_bytes=self._codec.max_stream_bytes
            )


@final
class RequestServer:
    """Reads requests, runs their handlers, sends their replies."""

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
        self._tracer = tracer
        self._trust = trust
        self._nursery = nursery
        self._counts = counts
        self._handlers: dict[str, RequestHandler] = {}
        self._slots = trio.CapacityLimiter(config.max_concurrent_handlers)
        self._streams: Counter[str] = Counter()

    def handle(self, message_type: str, handler: RequestHandler) -> None:
        """Let `handler` answer requests of a type; the last one set wins.

        Raises:
            UnknownMessageTypeError: `message_type` is not registered.
        """
        self._handlers[require_registered(message_type)] = handler

    async def serve(self, stream: Stream) -> None:
        """Take requests from `stream` until it ends or breaks the rules. Never raises."""
        if self._streams[stream.remote] >= MAX_STREAMS_PER_PEER:
            self._counts["streams.refused"] += 1
            return
        self._streams[stream.remote] += 1
        try:
            await self._read(stream)
        except (PeerLostError, MessageRefusedError) as exc:
            self._codec.count_refusal(exc)
            _logger.debug("stream from %s ended: %s", stream.remote, exc)
        except Exception:
            self._counts["streams.errors"] += 1
            _logger.exception("stream from %s failed", stream.remote)
        finally:
            self._streams[stream.remote] -= 1
            if not self._streams[stream.remote]:
                del self._streams[stream.remote]

    async def _read(self, stream: Stream) -> None:
        answers = _Answers(stream, self._codec)
        while True:
            data = await read_frame(stream, max_bytes=self._codec.max_stream_bytes)
            message = await self._codec.open_from_stream(data, stream.remote)
            try:
                await self._take(message, answers)
            except MessageRefusedError as exc:
                self._codec.count_refusal(exc)
                await answers.refuse(message, exc)
            except (OverloadedError, UnknownMessageTypeError) as exc:
                self._counts[f"requests.{exc.code}"] += 1
                await answers.refuse(message, exc)

    async def _take(self, message: Message, answers: _Answers) -> None:
        if message.in_reply_to is not None:
            raise MessageRefusedError("malformed", "a reply where requests come")
        self._codec.check_times(message)
        if message.topic is not None:
            was_seen = self._gossip.take_direct(message)
            await answers.reply(message, ACK_DUPLICATE if was_seen else ACK_NEW)
            return
        handler = self._handlers.get(message.type)
        if handler is None:
            raise UnknownMessageTypeError(f"nothing here handles {message.type}")
        slot = take_slot(self._slots)
        try:
            self._codec.admit(message)
        except MessageRefusedError:
            self._slots.release_on_behalf_of(slot)
            raise
        start_clean(self._nursery, self._run, message, handler, answers, slot)

    async def _run(
        self, message: Message, handler: RequestHandler, answers: _Answers, slot: object
    ) -> None:
        try:
            body, failure = await self._outcome(message, handler)
            if failure is None:
                await answers.reply(message, body)
            else:
                await answers.refuse(message, failure)
        except PeerLostError as exc:
            self._counts["replies.undelivered"] += 1
            _logger.debug("no way back for a reply: %s", exc)
        finally:
            self._slots.release_on_behalf_of(slot)

    async def _outcome(
        self, message: Message, handler: RequestHandler
    ) -> tuple[bytes, ZeroStateError | None]:
        admission = self._trust.admit(message)
        try:
            with self._tracer.trace_handling(message, admission=admission):
                return await self._bounded(message, handler), None
        except ZeroStateError as exc:
            self._counts[f"handler.refused.{exc.code}"] += 1
            return b"", exc
        except Exception:
            self._counts["handler.errors"] += 1
            _logger.exception("handler of %s failed", message.type)
            return b"", InternalError("the handler failed; see that peer's log")

    async def _bounded(self, message: Message, handler: RequestHandler) -> bytes:
        with trio.move_on_after(HANDLER_TIMEOUT_S):
            body = await handler(message)
            check_size(
                len(body) + ENVELOPE_OVERHEAD_BYTES,
                max_bytes=self._codec.max_stream_bytes,
            )
            return body
        raise RequestTimeoutError(f"the handler took over {HANDLER_TIMEOUT_S:.0f} s")


def take_slot(slots: trio.CapacityLimiter) -> object:
    """Take one of the `slots` for a handler; give it to ``release_on_behalf_of``.

    Raises:
        OverloadedError: All are taken.
    """
    slot = object()
    try:
        slots.acquire_on_behalf_of_nowait(slot)
    except trio.WouldBlock as exc:
        raise OverloadedError(f"{slots.total_tokens} handlers are at work") from exc
    return slot
