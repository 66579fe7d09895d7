"""Replies kept for requests that may be sent again, so that they are acted on once."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, final

from zerostate.ids import MessageId, PeerId
from zerostate.p2p.message import MAX_CLOCK_SKEW_S, Message
from zerostate.units import NS_PER_S

MAX_KEPT_REPLIES: Final = 4096
"""Replies kept in all."""

MAX_KEPT_BYTES: Final = 64 << 20
"""Replies kept in all, in bytes (64 MiB)."""

AUTHOR_SHARE: Final = 4
"""One author's replies take at most this part, a quarter, of count and of bytes; its
own oldest goes first."""


@dataclass(slots=True)
class _Author:
    replies: OrderedDict[MessageId, bytes] = field(default_factory=OrderedDict)
    size_bytes: int = 0


@final
class KeptReplies:
    """The sealed replies to the requests of which a repeat may still come.

    A reply is kept until its request would be refused for its age, or until there is no
    room for it. A repeat that comes after that is refused as ``replayed``: nothing is
    ever acted on twice for want of room here. The caller sees to that, by admitting a
    request (`zerostate.p2p.admission`) before it acts.

    Args:
        limit: Replies in all.
        limit_bytes: Their bytes in all.
    """

    def __init__(
        self, *, limit: int = MAX_KEPT_REPLIES, limit_bytes: int = MAX_KEPT_BYTES
    ) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._authors: dict[PeerId, _Author] = {}
        self._oldest: OrderedDict[tuple[PeerId, MessageId], int] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._oldest)

    def find(self, message: Message) -> bytes | None:
        """Return the reply that was given to `message`, or None."""
        author = self._authors.get(message.author)
        return author.replies.get(message.id) if author is not None else None

    def keep(self, message: Message, reply: bytes, *, now_unix_ns: int) -> None:
        """Keep the first reply to `message`, if there is room for one of its size."""
        self._forget_old(now_unix_ns)
        horizon = message.sent_unix_ns + MAX_CLOCK_SKEW_S * NS_PER_S
        if len(reply) > self._limit_bytes // AUTHOR_SHARE or horizon < now_unix_ns:
            return
        author = self._authors.setdefault(message.author, _Author())
        if message.id in author.replies:
            return
        author.replies[message.id] = reply
        author.size_bytes += len(reply)
        self.size_bytes += len(reply)
        self._oldest[message.author, message.id] = horizon
        while author.size_bytes > self._limit_bytes // AUTHOR_SHARE or len(
            author.replies
        ) > max(1, self._limit // AUTHOR_SHARE):
            self._drop(message.author, next(iter(author.replies)))
        while self.size_bytes > self._limit_bytes or len(self) > self._limit:
            self._drop(*next(iter(self._oldest)))

    def _forget_old(self, now_unix_ns: int) -> None:
        # In the order in which they were kept, which is nearly that of the horizons;
        # one that stays too long is refused by its age, and is bounded all the same.
        while self._oldest:
            key, horizon = next(iter(self._oldest.items()))
            if horizon >= now_unix_ns:
                return
            self._drop(*key)

    def _drop(self, author_id: PeerId, message_id: MessageId) -> None:
        author = self._authors[author_id]
        size_bytes = len(author.replies.pop(message_id))
        author.size_bytes -= size_bytes
        self.size_bytes -= size_bytes
        del self._oldest[author_id, message_id]
        if not author.replies:
            del self._authors[author_id]
