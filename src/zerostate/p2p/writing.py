"""Writing to one stream: whole messages, in order, with a bound on what waits."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from zerostate.errors import OverloadedError, PeerLostError
from zerostate.p2p.frames import check_size, write_frame_now, write_frames
from zerostate.p2p.host import Stream
from zerostate.p2p.shares import FairShares

MAX_UNSENT_BYTES: Final = 128 << 20
"""Bytes that wait to be sent to all peers, for requests and for replies each (128 MiB).
One peer alone gets half: four of the largest messages."""

FRAME_OVERHEAD_BYTES: Final = 256
"""What a waiting message takes beside its bytes, roughly; it counts, so that very many
small ones are bounded too."""

MAX_BATCH_BYTES: Final = 64 << 10
"""Messages written at once, in bytes: more would only be cut into pieces below."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class FrameWriter:
    """Writes the messages of one stream.

    Callers never wait for the other end. `run` has to run as long as the stream lasts.

    Args:
        stream: Where to.
        max_bytes: Largest message.
        room: Bytes that may wait, shared with the other streams.
        broken: Called once, when a message could not be written whole; the stream is of
            no more use then.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        max_bytes: int,
        room: FairShares,
        broken: Callable[[], Awaitable[None]],
    ) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._room = room
        self._on_broken = broken
        self._waiting: dict[object, bytes] = {}
        self._unsent_bytes = 0
        self._is_writing = False
        self._is_broken = False
        self._wake = trio.lowlevel.ParkingLot()
        self._written = trio.lowlevel.ParkingLot()

    def put(self, key: object, data: bytes) -> None:
        """Write `data` now if nothing stands in its way, else when its turn comes.

        Args:
            key: For `withdraw`; not among those that wait.
            data: A sealed message.

        Raises:
            MessageTooLargeError: It exceeds the largest message; nothing was sent.
            OverloadedError: Too many bytes wait already; nothing was sent.
            PeerLostError: The stream is broken; nothing was sent.
        """
        self._check_whole()
        check_size(len(data), max_bytes=self._max_bytes)
        if self._waiting or self._is_writing or not write_frame_now(self._stream, data):
            self._take_room(data)
            self._waiting[key] = data
            self._wake.unpark()

    def withdraw(self, key: object) -> bool:
        """Take back what was `put` if it still waits; return whether it did."""
        data = self._waiting.pop(key, None)
        if data is not None:
            self._give_back([data])
        return data is not None

    async def wait_unsent_below(self, limit_bytes: int) -> None:
        """Return when fewer than `limit_bytes` wait to be sent.

        Raises:
            PeerLostError: The stream is broken.
        """
        while self._unsent_bytes >= limit_bytes and not self._is_broken:
            await self._written.park()
        self._check_whole()

    async def run(self) -> None:
        """Write what waits, until the stream is broken or `stop` is called."""
        try:
            while not self._is_broken:
                if self._is_writing or not self._waiting:
                    await self._wake.park()
                else:
                    await self._write(self._next_batch())
        except PeerLostError as exc:
            _logger.debug("stream to %s ended: %s", self._stream.remote, exc)

    def stop(self) -> None:
        """Drop what waits and take nothing new."""
        self._is_broken = True
        self._give_back(list(self._waiting.values()))
        self._waiting.clear()
        self._wake.unpark_all()

    async def _write(self, batch: list[bytes]) -> None:
        self._is_writing = True
        is_whole = False
        try:
            await write_frames(self._stream, batch)
            is_whole = True
        finally:
            self._is_writing = False
            self._give_back(batch)
            if not is_whole and not self._is_broken:
                self.stop()
                await self._on_broken()

    def _next_batch(self) -> list[bytes]:
        keys: list[object] = []
        size_bytes = 0
        for key, data in self._waiting.items():
            size_bytes += len(data)
            if keys and size_bytes > MAX_BATCH_BYTES:
                break
            keys.append(key)
        return [self._waiting.pop(key) for key in keys]

    def _take_room(self, data: bytes) -> None:
        size_bytes = len(data) + FRAME_OVERHEAD_BYTES
        if not self._room.take(self._stream.remote, size_bytes):
            raise OverloadedError(f"{self._unsent_bytes} bytes to one peer wait")
        self._unsent_bytes += size_bytes

    def _give_back(self, batch: list[bytes]) -> None:
        size_bytes = sum(len(data) + FRAME_OVERHEAD_BYTES for data in batch)
        if size_bytes:
            self._unsent_bytes -= size_bytes
            self._room.give_back(self._stream.remote, size_bytes)
        self._written.unpark_all()

    def _check_whole(self) -> None:
        if self._is_broken:
            raise PeerLostError(f"the stream to {self._stream.remote} has ended")
