"""Payments that wait for one channel, begun in a known order, each in its own trace."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
import trio.testing

from payment_parties import Pair
from zerostate.errors import ZeroStateError
from zerostate.ids import ChannelId, TaskId
from zerostate.payment import Payment
from zerostate.units import Minor

PATIENCE_S = 30
"""Longest that any of a line may wait, in seconds."""


@dataclass
class Line:
    """Who waits for a channel while a payment of 1 is on its way there."""

    pair: Pair
    channel_id: ChannelId
    nursery: trio.Nursery
    arrived: trio.Event = field(default_factory=trio.Event)
    gate: trio.Event = field(default_factory=trio.Event)
    receipts: dict[TaskId, bytes] = field(default_factory=dict)
    scopes: dict[TaskId, trio.CancelScope] = field(default_factory=dict)
    payments: dict[TaskId, Payment] = field(default_factory=dict)
    """What was paid, in the order in which it was told."""

    errors: dict[TaskId, ZeroStateError] = field(default_factory=dict)
    next_request: Callable[[], Awaitable[None]] | None = None
    """Called when the first request of those in the line is about to arrive."""

    next_reply: Callable[[], Awaitable[None]] | None = None
    """Called when the reply to it is about to leave."""

    replies: int = 0
    watched: Any = None
    """Is told the trio task that begins to pay next, as its attribute `task`."""

    async def join(
        self, price: int, *, channel_id: ChannelId | None = None, issued: bool = True
    ) -> TaskId:
        """Begin to pay for a new task, and wait until that waits; not `issued`: the
        payee knows nothing of its receipt."""
        task_id, receipt = self.pair.issue(price)
        if not issued:
            del self.pair.issued[task_id]
        self.receipts[task_id] = receipt
        await self.begin(task_id, price, channel_id=channel_id)
        return task_id

    async def begin(
        self, task_id: TaskId, price: int, *, channel_id: ChannelId | None = None
    ) -> None:
        """Begin to pay for a task, perhaps once more."""
        self.scopes[task_id] = trio.CancelScope()
        self.nursery.start_soon(self._pay, task_id, price, channel_id)
        await trio.testing.wait_all_tasks_blocked()

    async def cancel(self, task_id: TaskId) -> None:
        self.scopes[task_id].cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def _pay(
        self, task_id: TaskId, price: int, channel_id: ChannelId | None
    ) -> None:
        if self.watched is not None:
            self.watched.task, self.watched = trio.lowlevel.current_task(), None
        tracer = self.pair.spans.provider.get_tracer("test")
        try:
            with self.scopes[task_id], tracer.start_as_current_span("test.task"):
                self.payments[task_id] = await self.pair.payer.pay(
                    channel_id or self.channel_id,
                    Minor(price),
                    task_id=task_id,
                    receipt=self.receipts[task_id],
                )
        except ZeroStateError as exc:
            self.errors[task_id] = exc

    async def on_request(self) -> None:
        """Let the first request wait before it arrives, until the gate is open."""
        if not self.arrived.is_set():
            self.arrived.set()
            await self.gate.wait()
        elif self.next_request is not None:
            hook, self.next_request = self.next_request, None
            await hook()

    async def on_reply(self) -> None:
        self.replies += 1
        if self.replies > 1 and self.next_reply is not None:
            hook, self.next_reply = self.next_reply, None
            await hook()

    def trace(self, task_id: TaskId):
        """Return the spans of the trace in which a task was to be paid."""
        spans = self.pair.spans.spans
        (trace_id,) = {
            span.context.trace_id
            for span in spans
            if span.name == "payment.transaction"
            and span.attributes["task.id"] == task_id
        }
        return [span for span in spans if span.context.trace_id == trace_id]


@asynccontextmanager
async def waiting_line(pair: Pair, channel_id: ChannelId) -> AsyncIterator[Line]:
    """Let those that are begun in the block wait; at its end they go, and have gone."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            line = Line(pair, channel_id, nursery)
            pair.network.before, pair.network.after = line.on_request, line.on_reply
            pair.network.sent.clear()
            await line.join(1)
            await line.arrived.wait()
            yield line
            line.gate.set()
    pair.network.before = pair.network.after = None
