"""The payment layer of one node: opened, served to others, looked after."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, final

import trio

from zerostate.clock import Clock
from zerostate.errors import ZeroStateError
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId
from zerostate.node.counterparts import Counterparts
from zerostate.node.reconnections import Reconnections
from zerostate.p2p import Message, PeerNode
from zerostate.p2p.tasks import open_background, start_clean
from zerostate.p2p.types import (
    CHANNEL_CLOSE,
    CHANNEL_FUNDED,
    CHANNEL_OPEN,
    CHANNEL_REQUEST,
    CHANNEL_SYNC,
    CHANNEL_WITHDRAW,
    PAYMENT_UPDATE,
)
from zerostate.payment import (
    ChannelManager,
    PaymentConfig,
    PaymentTracer,
    open_channels,
)

_logger: Final = logging.getLogger("zerostate.node")

_Answers = Callable[[PeerId, bytes], Awaitable[bytes]]


@final
class Payments:
    """A node's channels. Made by `open_payments`.

    Attributes:
        channels: The channels themselves.
        counterparts: With whom there are channels.
    """

    def __init__(
        self,
        channels: ChannelManager,
        counterparts: Counterparts,
        reconnections: Reconnections,
    ) -> None:
        self.channels: Final = channels
        self.counterparts: Final = counterparts
        self._reconnections: Final = reconnections
        self._ready = trio.Event()

    def stats(self) -> Mapping[str, int]:
        """Return what went wrong in the background, and is tried again."""
        failed = self.channels.failures
        return {
            "channels.not_compared": self._reconnections.failed,
            **{f"channels.failed.{code}": count for code, count in failed.items()},
        }

    def begin(self) -> None:
        """Answer counterparts from now on; until then they wait.

        To be called once `ChannelManager.expects` is set: what a peer has earned would
        be refused before, and a refused payment is not made again.
        """
        self._ready.set()

    async def reach_chain(self) -> None:
        """Reach the chain, if there is one, before somebody has to wait for it.

        That takes a second of processor time. Where it cannot be reached, that is
        logged; whoever needs it tries again.
        """
        try:
            await self.channels.reach_chain()
        except ZeroStateError as exc:
            _logger.warning("the chain cannot be reached now: %s", exc)

    def serve(self, peers: PeerNode) -> None:
        """Answer what other peers ask about channels."""
        channels = self.channels
        answers: dict[str, _Answers] = {
            CHANNEL_OPEN: channels.on_channel_open,
            CHANNEL_FUNDED: channels.on_channel_funded,
            PAYMENT_UPDATE: channels.on_payment_update,
            CHANNEL_WITHDRAW: channels.on_channel_withdraw,
            CHANNEL_CLOSE: channels.on_channel_close,
            CHANNEL_REQUEST: channels.on_channel_request,
            CHANNEL_SYNC: channels.on_channel_sync,
        }
        for message_type, answer in answers.items():
            peers.handle(message_type, self._handler(answer))

    def _handler(self, answer: _Answers) -> Callable[[Message], Awaitable[bytes]]:
        async def handle(message: Message) -> bytes:
            await self._ready.wait()
            return await answer(message.author, message.body)

        return handle


@asynccontextmanager
async def open_payments(
    config: PaymentConfig,
    identity: Identity,
    peers: PeerNode,
    *,
    tracer: PaymentTracer,
    clock: Clock,
) -> AsyncIterator[Payments]:
    """Open a node's channels, serve them to others and look after them in the block.

    The chain is followed, and channels are compared with counterparts that come back.

    Raises:
        ConfigError: The settings cannot be used on this machine.
        StoreError: The channels cannot be read, or another process has them open.
    """
    async with open_channels(
        config, identity, tracer=tracer, clock=clock, counterparty=peers
    ) as channels:
        counterparts = await Counterparts.load(channels)
        channels.opened = counterparts.add
        reconnections = Reconnections(channels.synchronise, counterparts.__contains__)
        payments = Payments(channels, counterparts, reconnections)
        payments.serve(peers)
        peers.relations.is_counterpart = counterparts.__contains__
        async with open_background() as nursery:
            start_clean(nursery, reconnections.run)
            peers.tell_arrivals(reconnections.arrived)
            start_clean(nursery, channels.watch)
            yield payments
