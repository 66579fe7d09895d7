"""Messages on a stream: four bytes of length, big-endian, then a signed envelope."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from zerostate.errors import MessageRefusedError, MessageTooLargeError, PeerLostError
from zerostate.p2p.host import Stream

LENGTH_BYTES: Final = 4
"""Size of the length in front of a message."""

FRAME_TIMEOUT_S: Final = 30.0
"""Longest that a message may take from its first byte to its length, and from there to
its last byte, in seconds each: 16 MiB at 4.5 Mbit/s. Slower, the stream is given up, so
that nobody can hold it for ever."""


async def read_frame(
    stream: Stream,
    *,
    max_bytes: int,
    room_for: Callable[[int], Awaitable[None]] | None = None,
) -> bytes:
    """Return the next message; wait for its first byte without limit.

    Args:
        stream: Where from.
        max_bytes: Largest message that is read.
        room_for: Called with the message's size before the message is read.

    Raises:
        PeerLostError: The stream ended, or the message took too long.
        MessageRefusedError: ``frame_too_large``; the stream is of no more use.
    """
    length = await stream.read_exactly(1)
    length += await _read_soon(stream, LENGTH_BYTES - 1)
    size_bytes = int.from_bytes(length, "big")
    if size_bytes > max_bytes:
        raise MessageRefusedError(
            "frame_too_large", f"{size_bytes} bytes; the limit is {max_bytes}"
        )
    if room_for is not None:
        await room_for(size_bytes)
    return await _read_soon(stream, size_bytes)


async def _read_soon(stream: Stream, size_bytes: int) -> bytes:
    if stream.ahead_bytes >= size_bytes:
        return await stream.read_exactly(size_bytes)
    with trio.move_on_after(FRAME_TIMEOUT_S):
        return await stream.read_exactly(size_bytes)
    raise PeerLostError(f"{stream.remote} took too long to send a message")


async def write_frame(stream: Stream, data: bytes, *, max_bytes: int) -> None:
    """Write one message.

    Raises:
        MessageTooLargeError: `data` exceeds `max_bytes`; nothing was sent.
        PeerLostError: The stream ended, or the other end does not read.
    """
    check_size(len(data), max_bytes=max_bytes)
    await write_frames(stream, [data])


def write_frame_now(stream: Stream, data: bytes) -> bool:
    """Write one message if that needs no wait; return whether it is written."""
    return stream.write_now(_framed([data]))


async def write_frames(stream: Stream, messages: Sequence[bytes]) -> None:
    """Write several messages as one piece, which is cheaper than one by one.

    Raises:
        PeerLostError: The stream ended, or the other end does not read.
    """
    with trio.move_on_after(FRAME_TIMEOUT_S) as scope:
        await stream.write(_framed(messages))
    if scope.cancelled_caught:
        raise PeerLostError(f"{stream.remote} does not read")


def _framed(messages: Sequence[bytes]) -> bytes:
    parts = (
        part
        for data in messages
        for part in (len(data).to_bytes(LENGTH_BYTES, "big"), data)
    )
    return b"".join(parts)


def check_size(size_bytes: int, *, max_bytes: int) -> None:
    """Check a message's size before it goes out.

    Raises:
        MessageTooLargeError: It exceeds `max_bytes`.
    """
    if size_bytes > max_bytes:
        raise MessageTooLargeError(f"{size_bytes} bytes; the limit is {max_bytes}")
