"""The links that a span is to start with, as far as they are looked at."""

from collections.abc import Iterable, Reversible, Sized
from itertools import islice
from typing import Final, Protocol, final

from opentelemetry.trace import Link
from typing_extensions import override

MAX_LINKS_READ: Final = 1024
"""Most links looked at when a span starts, unless it may hold more: whoever starts it
waits for that."""


class _Counted(Sized, Reversible[object], Protocol):
    """What knows its length and its end, as every sequence does."""


@final
class GivenLinks(list[Link]):
    """Links, oldest first."""

    __slots__ = ("unread",)

    def __init__(self, links: Iterable[Link], unread: int) -> None:
        super().__init__(links)
        self.unread: Final = unread
        """How many were not looked at."""

    @override
    def __repr__(self) -> str:
        return f"GivenLinks({super().__repr__()}, unread={self.unread})"


def read_links(given: object, max_links: int) -> GivenLinks | None:
    """Return the links in `given`; None if there is nothing in it for a span.

    Looks at `MAX_LINKS_READ` or `max_links`, whichever is more: the newest of a
    sequence, as of a full span, and the first of what only can be iterated, where all
    others count as one, since they may have no end.

    What the code of `given` raises gets through.
    """
    most = max(MAX_LINKS_READ, max_links)
    if isinstance(given, Sized) and isinstance(given, Reversible):
        newest, unread = _newest(given, most)
    else:
        newest, unread = _first(given, most)
    links = [link for link in newest if isinstance(link, Link)]
    return GivenLinks(links, unread) if links or unread else None


def _newest(given: _Counted, most: int) -> tuple[list[object], int]:
    read = list(islice(reversed(given), most))
    read.reverse()
    return read, max(0, len(given) - len(read))


def _first(given: object, most: int) -> tuple[list[object], int]:
    read = list(islice(given, most + 1))  # type: ignore[call-overload]  # if it cannot be iterated, that raises
    return read[:most], len(read) - len(read[:most])
