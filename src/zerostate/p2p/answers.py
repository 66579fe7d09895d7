"""The way back on a stream that a peer opened."""

from typing import Final, final

import trio

from zerostate.errors import ZeroStateError
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.host import Stream
from zerostate.p2p.message import Message
from zerostate.p2p.shares import FairShares
from zerostate.p2p.tasks import start_clean
from zerostate.p2p.writing import FrameWriter
from zerostate.telemetry.propagation import TraceCarrier

REPLY_TTL_S: Final = 110.0
"""Life of a reply, in seconds: as long as its request may wait
(`zerostate.p2p.config.MAX_TIMEOUT_S`), since it may be given again to a repeat."""

MAX_UNREAD_BYTES: Final = 1 << 20
"""Replies that may wait on one stream before the next request is read from it, in bytes
(1 MiB): who does not take its replies is not asked for more work."""


@final
class Answers:
    """Seals replies and sends them on one stream."""

    def __init__(
        self, stream: Stream, codec: MessageCodec, *, room: FairShares
    ) -> None:
        self._stream = stream
        self._codec = codec
        self._writer = FrameWriter(
            stream, max_bytes=codec.max_stream_bytes, room=room, broken=stream.aclose
        )

    def start(self, nursery: trio.Nursery) -> None:
        """Begin to send, until `stop`."""
        start_clean(nursery, self._writer.run)

    def stop(self) -> None:
        """Drop what waits."""
        self._writer.stop()

    async def seal(
        self, request: Message, body: bytes, failure: ZeroStateError | None
    ) -> bytes:
        """Return the sealed reply to `request`: `body`, or why it failed."""
        if failure is None:
            return await self._codec.seal(
                request.type,
                body,
                TraceCarrier(),
                ttl_s=REPLY_TTL_S,
                to=request.author,
                in_reply_to=request.id,
            )
        return self._codec.seal_small(
            request.type,
            b"",
            TraceCarrier(),
            ttl_s=REPLY_TTL_S,
            to=request.author,
            in_reply_to=request.id,
            error_code=failure.code,
            error_message=str(failure),
        )

    async def send(self, reply: bytes) -> None:
        """Send a sealed reply, or have it sent when its turn comes.

        Raises:
            OverloadedError: Too many bytes wait already.
            PeerLostError: The stream has ended.
        """
        self._writer.put(object(), reply)

    async def reply(self, request: Message, body: bytes) -> None:
        """Seal and `send` a reply."""
        await self.send(await self.seal(request, body, None))

    async def refuse(self, request: Message, failure: ZeroStateError) -> None:
        """Seal and `send` why a request failed."""
        await self.send(await self.seal(request, b"", failure))

    async def wait_taken(self) -> None:
        """Return when the other end has taken its replies, but for a few.

        Raises:
            PeerLostError: The stream has ended.
        """
        await self._writer.wait_unsent_below(MAX_UNREAD_BYTES)

    async def aclose(self) -> None:
        """Drop what waits, and close the stream."""
        self.stop()
        await self._stream.aclose()
