"""Requests that this peer makes: one long-lived stream to each peer it talks to.

Requests on a stream overlap; a reply names its request by id.
"""

import logging
from collections import Counter
from contextlib import suppress
from typing import Final, final

import trio

from zerostate.errors import (
    MessageRefusedError,
    OverloadedError,
    P2PError,
    PeerLostError,
    PeerUnreachableError,
)
from zerostate.ids import MessageId, PeerId
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.frames import read_frame
from zerostate.p2p.host import Host, Stream
from zerostate.p2p.message import Message
from zerostate.p2p.shares import FairShares
from zerostate.p2p.tasks import start_clean
from zerostate.p2p.writing import MAX_UNSENT_BYTES, FrameWriter

MAX_PENDING_PER_PEER: Final = 256
"""Requests to one peer that wait for their reply; one more is refused."""

RETIRE_POLL_S: Final = 0.5
"""How often a line without new requests looks whether it can close, in seconds."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class _Waiting:
    """One request's place for its reply."""

    def __init__(self) -> None:
        self.answered: Final = trio.Event()
        self.reply: Message | None = None

    async def wait(self, peer_id: PeerId) -> Message:
        await self.answered.wait()
        if self.reply is None:
            raise PeerLostError(f"{peer_id} went away before it replied")
        return self.reply


@final
class Line:
    """One stream to one peer, with the requests that wait on it."""

    def __init__(
        self,
        stream: Stream,
        codec: MessageCodec,
        *,
        room: FairShares,
        counts: Counter[str],
    ) -> None:
        self._stream = stream
        self._codec = codec
        self._counts = counts
        self._writer = FrameWriter(
            stream, max_bytes=codec.max_stream_bytes, room=room, broken=self.aclose
        )
        self._pending: dict[MessageId, _Waiting] = {}
        self.broken = False

    async def ask(self, data: bytes, message_id: MessageId) -> Message:
        """Send one sealed message and return the reply to it.

        Raises:
            OverloadedError: `MAX_PENDING_PER_PEER` requests wait already, or too many
                bytes wait to be sent; nothing was sent.
            PeerLostError: The stream ended first; the peer may or may not have acted.

        Cancellation: The peer may or may not act; its reply will be dropped. See
            `call_off`.
        """
        if len(self._pending) >= MAX_PENDING_PER_PEER:
            raise OverloadedError(f"{len(self._pending)} requests to one peer wait")
        if self.broken or message_id in self._pending:
            raise PeerLostError(f"the stream to {self._stream.remote} is in no state")
        waiting = self._pending[message_id] = _Waiting()
        try:
            # Written by another task: half a message would shift all that follow, so a
            # caller that gives up must not stop it, nor take others' replies with it.
            self._writer.put(message_id, data)
            return await waiting.wait(self._stream.remote)
        finally:
            del self._pending[message_id]
            self._writer.withdraw(message_id)

    def call_off(self, key: object, notice: bytes) -> None:
        """Tell the peer that a request is not waited for, if that can still be told."""
        with suppress(P2PError):
            self._writer.put(key, notice)

    async def write(self) -> None:
        """Send what is asked, until the stream ends."""
        await self._writer.run()

    async def read_replies(self) -> None:
        """Hand replies to who waits for them, until the stream ends."""
        try:
            while not self.broken:
                data = await read_frame(
                    self._stream, max_bytes=self._codec.max_stream_bytes
                )
                await self._take(data)
        except (PeerLostError, MessageRefusedError) as exc:
            self._codec.count_refusal(exc)
            _logger.debug("stream to %s ended: %s", self._stream.remote, exc)
        finally:
            await self.aclose()

    async def _take(self, data: bytes) -> None:
        reply = await self._codec.open_from_stream(data, self._stream.remote)
        self._codec.check_times(reply)
        waiting = self._pending.get(reply.in_reply_to or MessageId(b""))
        if waiting is None:
            # The request gave up, or was never made.
            self._counts["replies.unexpected"] += 1
            return
        waiting.reply = reply
        waiting.answered.set()

    async def retire(self) -> None:
        """Close when the last request that is under way has ended.

        Meant for a line that gets no new ones. Each request has a deadline of its own.
        """
        while self._pending and not self.broken:  # noqa: ASYNC110  # rare, and no event fits
            await trio.sleep(RETIRE_POLL_S)
        await self.aclose()

    def give_up(self) -> None:
        """Let whoever waits here have a `PeerLostError`, and take nothing new."""
        self.broken = True
        self._writer.stop()
        for waiting in self._pending.values():
            waiting.answered.set()

    async def aclose(self) -> None:
        """Give up, and close the stream."""
        self.give_up()
        await self._stream.aclose()


@final
class Lines:
    """The lines to all peers, opened when first needed."""

    def __init__(
        self,
        host: Host,
        codec: MessageCodec,
        *,
        nursery: trio.Nursery,
        counts: Counter[str],
    ) -> None:
        self._host = host
        self._codec = codec
        self._nursery = nursery
        self._counts = counts
        self._room = FairShares(MAX_UNSENT_BYTES)
        self._lines: dict[PeerId, Line] = {}
        self._opening: dict[PeerId, trio.Lock] = {}

    async def to(self, peer_id: PeerId) -> Line:
        """Return the line to a connected peer.

        Raises:
            PeerUnreachableError: Not connected, or no stream could be opened.
        """
        line = self.standing(peer_id)
        if line is not None:
            return line
        if peer_id not in self._host.connected():
            raise PeerUnreachableError(f"{peer_id} is not connected")
        lock = self._opening.setdefault(peer_id, trio.Lock())
        async with lock:
            return self.standing(peer_id) or await self._open(peer_id, lock)

    async def _open(self, peer_id: PeerId, lock: trio.Lock) -> Line:
        stream = await self._host.open_stream(peer_id)
        if self._opening.get(peer_id) is not lock:
            # `drop` has come meanwhile: the stream is of a stay that is over.
            await stream.aclose()
            raise PeerUnreachableError(f"{peer_id} is not connected any more")
        line = self._lines[peer_id] = Line(
            stream, self._codec, room=self._room, counts=self._counts
        )
        start_clean(self._nursery, line.write)
        start_clean(self._nursery, line.read_replies)
        return line

    def standing(self, peer_id: PeerId) -> Line | None:
        """Return the line to a peer if there is one; opens none."""
        line = self._lines.get(peer_id)
        return None if line is None or line.broken else line

    def renew(self, peer_id: PeerId) -> None:
        """Have the next request open a new line; those under way keep the old one."""
        line = self._lines.pop(peer_id, None)
        if line is not None:
            start_clean(self._nursery, line.retire)

    def drop(self, peer_id: PeerId) -> None:
        """Give up the line to a peer that is gone; who waits is told at once."""
        self._opening.pop(peer_id, None)
        line = self._lines.pop(peer_id, None)
        if line is not None:
            line.give_up()
            start_clean(self._nursery, line.aclose)
