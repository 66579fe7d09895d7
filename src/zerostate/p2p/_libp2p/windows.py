"""Yamux below a libp2p stream, and fewer of its window updates."""

from typing import Final

from libp2p.abc import INetStream
from libp2p.stream_muxer.yamux.yamux import YamuxStream

UNANNOUNCED_BYTES: Final = 64 << 10
"""Bytes read of which the sender is not told yet, at most: a quarter of the window that
every Yamux stream begins with, so a sender never waits for what is held back here.
py-libp2p tells after each read, which is one more frame for each small message."""


def yamux_stream(stream: INetStream) -> YamuxStream:
    """Return the Yamux stream inside `stream`. Only Yamux is spoken here."""
    muxed = getattr(stream, "muxed_stream", None)
    if not isinstance(muxed, YamuxStream):
        raise TypeError(f"not a Yamux stream: {type(muxed).__name__}")
    return muxed


def announce_less_often(muxed: YamuxStream) -> None:
    """Have `muxed` tell its sender of room in larger steps."""
    announce = muxed._auto_tune_and_send_window_update  # noqa: SLF001  # there is no other way in; libp2p is pinned
    unannounced_bytes = 0

    async def announce_later(*, bytes_read: int = 0) -> None:
        nonlocal unannounced_bytes
        unannounced_bytes += bytes_read
        if unannounced_bytes >= UNANNOUNCED_BYTES:
            held_back, unannounced_bytes = unannounced_bytes, 0
            await announce(bytes_read=held_back)

    muxed._auto_tune_and_send_window_update = announce_later  # type: ignore[method-assign]  # noqa: SLF001  # see above
