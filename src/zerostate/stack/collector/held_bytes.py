"""How much of the bodies under way is held in memory, and who may still come in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

MAX_HELD_BYTES: Final = 128 * 1024 * 1024
"""Bytes of bodies that all requests of both receivers hold together, as sent or decoded:
eight of the longest."""


class BusyError(Exception):
    """There is no room for more bytes just now. Stays within the collector."""


@final
class HeldBytes:
    """The account of all bodies held; for one event loop."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        """Allow `max_bytes` at any moment."""
        self.total_bytes = 0
        self._max_bytes = max_bytes

    @contextmanager
    def share(self) -> Iterator["BodyShare"]:
        """Yield one request's share, which is given back at the end."""
        share = BodyShare(self)
        try:
            yield share
        finally:
            share.hold(0)

    def change(self, more_bytes: int) -> None:
        """Enter that `more_bytes` are held, less when negative.

        Raises:
            BusyError: That would be more than allowed; nothing was entered.
        """
        if more_bytes > 0 and self.total_bytes + more_bytes > self._max_bytes:
            raise BusyError("too many spans at once; try again later")
        self.total_bytes += more_bytes


@final
class BodyShare:
    """What one request holds: its body as sent, decoded, or for a moment both."""

    def __init__(self, held: HeldBytes) -> None:
        """Hold nothing yet; use `HeldBytes.share`."""
        self.count_bytes = 0
        self._held = held

    def hold(self, count_bytes: int) -> None:
        """Hold `count_bytes` from now on, instead of what was held.

        Raises:
            BusyError: There is no room; the share is as it was. Never for less.
        """
        self._held.change(count_bytes - self.count_bytes)
        self.count_bytes = count_bytes
