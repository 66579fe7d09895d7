"""The last check before a message is acted on: that it was not acted on before."""

import heapq
from collections import Counter
from typing import Final, final

from zerostate.errors import MessageRefusedError
from zerostate.ids import MessageId, PeerId
from zerostate.p2p.message import MAX_CLOCK_SKEW_S, Message
from zerostate.units import NS_PER_S

MAX_SEEN: Final = 131_072
"""Message ids remembered in all, about 30 MB. When full, new messages are refused:
forgetting one early would let it be replayed."""

MAX_SEEN_PER_AUTHOR: Final = 32_768
"""Ids remembered for one author: more than it may gossip in the time that they are
kept (100/s for 240 s), so that no single author fills the set."""

_Key = tuple[PeerId, MessageId]


@final
class SeenMessages:
    """The (author, id) pairs that may still arrive inside the clock window.

    An id is kept until its message would be refused for its age anyway, so nothing can
    be replayed; the set is bounded by `MAX_SEEN`, whatever peers send.
    """

    def __init__(
        self, *, limit: int = MAX_SEEN, author_limit: int = MAX_SEEN_PER_AUTHOR
    ) -> None:
        self._limit = limit
        self._author_limit = author_limit
        self._seen: set[_Key] = set()
        self._horizons: list[tuple[int, _Key]] = []
        self._authors: Counter[PeerId] = Counter()

    def __contains__(self, message: Message) -> bool:
        return (message.author, message.id) in self._seen

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, message: Message, *, now_unix_ns: int) -> None:
        """Remember `message`.

        Raises:
            MessageRefusedError: ``replayed`` if it is remembered already, ``seen_full``
                if there is no room; nothing was changed.
        """
        self._forget(now_unix_ns)
        if message in self:
            raise MessageRefusedError("replayed")
        if (
            len(self._seen) >= self._limit
            or self._authors[message.author] >= self._author_limit
        ):
            raise MessageRefusedError("seen_full", "too many messages in the window")
        key = (message.author, message.id)
        horizon = message.sent_unix_ns + MAX_CLOCK_SKEW_S * NS_PER_S
        heapq.heappush(self._horizons, (horizon, key))
        self._seen.add(key)
        self._authors[message.author] += 1

    def _forget(self, now_unix_ns: int) -> None:
        while self._horizons and self._horizons[0][0] < now_unix_ns:
            _, key = heapq.heappop(self._horizons)
            self._seen.discard(key)
            author = key[0]
            self._authors[author] -= 1
            if not self._authors[author]:
                del self._authors[author]
