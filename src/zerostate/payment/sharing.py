"""Payments that wait for their channel, so that whoever is next takes them along.

A channel carries one state at a time, and each costs two waits for a disk, a way there
and back, and four signatures' work. So those that wait while a state is on its way do
not each get one of their own: the first of them pays for all.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, final

import trio

from zerostate.errors import PaymentError
from zerostate.evidence.channel_update import MAX_SHARED, TaskPayment
from zerostate.ids import ChannelId, TaskId
from zerostate.payment.locks import MAX_WAITING
from zerostate.payment.model import Payment
from zerostate.units import Minor


@dataclass(slots=True, eq=False)
class Waiting:
    """One payment that waits for its channel's turn; of a task never paid before."""

    payment: TaskPayment
    trace_context: str | None
    """W3C ``traceparent`` of its span."""

    paid: Payment | None = None
    """It, once somebody else has made it."""

    awake: trio.Event = field(default_factory=trio.Event)
    """It is its turn to ask for the channel, or somebody else has dealt with it."""


@final
class Sharing:
    """Who waits for which channel, in the order of asking.

    Only the first of a line asks for the channel itself; the others sleep meanwhile.
    """

    def __init__(self) -> None:
        self._waiting: Final[dict[ChannelId, list[Waiting]]] = {}
        self._taken_on: Final[dict[TaskId, ChannelId]] = {}
        self._on_the_way: Final[dict[ChannelId, Minor]] = {}
        """What whoever has the turn pays, until its state tells or nothing comes of it."""

    def taken_on(self, task_id: TaskId) -> ChannelId | None:
        """Return where a task is being paid along with another one, if it is.

        Also of one that does not wait any more, because it was cancelled.
        """
        return self._taken_on.get(task_id)

    def join(self, channel_id: ChannelId, waiting: Waiting) -> None:
        """Let others take `waiting` along, until it leaves.

        Raises:
            PaymentError: `MAX_WAITING` wait for the channel already.
        """
        line = self._waiting.setdefault(channel_id, [])
        if len(line) >= MAX_WAITING:
            raise PaymentError(
                f"{len(line)} payments wait for {channel_id}; retry later"
            )
        line.append(waiting)
        line[0].awake.set()

    def leave(self, channel_id: ChannelId, waiting: Waiting) -> None:
        """Take `waiting` out of its line, if it still stands there."""
        if waiting in self._waiting.get(channel_id, ()):
            self._leave(channel_id, (waiting,))

    async def turn(self, waiting: Waiting) -> None:
        """Wait until it is this one's turn to ask for the channel, or it is paid."""
        await waiting.awake.wait()
        if waiting.paid is None:
            # Those that were woken together with us come into the line before us.
            await trio.lowlevel.checkpoint()

    def take(
        self, channel_id: ChannelId, mine: Waiting, left: Minor
    ) -> tuple[Waiting, ...]:
        """Return others that go along with `mine`, as far as `left` pays for them.

        They stand in no line any more; who takes them calls `wake`, whatever comes of it.
        """
        taken: list[Waiting] = []
        for one in self._waiting.get(channel_id, ()):
            if len(taken) == MAX_SHARED - 1:
                break
            if one is not mine and one.payment.amount <= left:
                left = Minor(left - one.payment.amount)
                taken.append(one)
                self._taken_on[one.payment.task_id] = channel_id
        self._leave(channel_id, (mine, *taken))
        self._on_the_way[channel_id] = _sum((mine, *taken))
        return tuple(taken)

    def promised(self, channel_id: ChannelId, *, in_flight: bool) -> Minor:
        """Return what will be paid on a channel, as far as its state does not tell.

        Args:
            channel_id: The channel.
            in_flight: Whether its state tells what is in flight.
        """
        waiting = _sum(self._waiting.get(channel_id, ()))
        if in_flight:
            return waiting
        return Minor(waiting + self._on_the_way.get(channel_id, 0))

    def told(self, channel_id: ChannelId) -> None:
        """Note that the channel's state tells what whoever has the turn pays."""
        self._on_the_way.pop(channel_id, None)

    def wake(self, channel_id: ChannelId, taken: Collection[Waiting]) -> None:
        """Let those that were taken see what has come of it."""
        self.told(channel_id)
        for one in taken:
            self._taken_on.pop(one.payment.task_id, None)
            one.awake.set()

    def _leave(self, channel_id: ChannelId, leaving: Collection[Waiting]) -> None:
        line = self._waiting.pop(channel_id, [])
        if left := [one for one in line if one not in leaving]:
            self._waiting[channel_id] = left
            left[0].awake.set()


def _sum(waiting: Iterable[Waiting]) -> Minor:
    return Minor(sum(one.payment.amount for one in waiting))
