"""Payments that wait for their channel, so that whoever is next takes them along.

A channel carries one state at a time, and each costs two waits for a disk, a way there
and back, and four signatures' work. So those that wait while a state is on its way do
not each get one of their own: the first of them pays for all.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

from zerostate.evidence.channel_update import MAX_SHARED, TaskPayment
from zerostate.ids import ChannelId
from zerostate.payment.state import ChannelState
from zerostate.units import Minor


@dataclass(slots=True, eq=False)
class Waiting:
    """One payment that waits for its channel's turn; of a task never paid before."""

    payment: TaskPayment
    trace_context: str | None
    """W3C ``traceparent`` of its span."""

    paid_by: ChannelState | None = None
    """The channel once both ends have signed a state that pays it."""


@final
class Sharing:
    """Who waits for which channel."""

    def __init__(self) -> None:
        self._waiting: Final[dict[ChannelId, list[Waiting]]] = {}

    @contextmanager
    def joined(self, channel_id: ChannelId, waiting: Waiting) -> Iterator[None]:
        """Let others take `waiting` along inside the block."""
        self._waiting.setdefault(channel_id, []).append(waiting)
        try:
            yield
        finally:
            # Not the line of before: one that was empty meanwhile is another one now.
            self._leave(channel_id, (waiting,))

    def take(
        self, channel_id: ChannelId, mine: Waiting, left: Minor
    ) -> tuple[Waiting, ...]:
        """Return others that go along with `mine`, as far as `left` pays for them.

        They do not wait any more: if it comes to nothing, each tries again by itself.
        """
        taken: list[Waiting] = []
        for one in self._waiting.get(channel_id, ()):
            if len(taken) == MAX_SHARED - 1:
                break
            if one is not mine and one.payment.amount <= left:
                left = Minor(left - one.payment.amount)
                taken.append(one)
        self._leave(channel_id, taken)
        return tuple(taken)

    def _leave(self, channel_id: ChannelId, leaving: Collection[Waiting]) -> None:
        line = self._waiting.pop(channel_id, [])
        if left := [one for one in line if one not in leaving]:
            self._waiting[channel_id] = left
