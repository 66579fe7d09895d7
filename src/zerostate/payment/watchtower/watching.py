"""Following the chain, and answering who closes by an old state.

Events only say where to look: before anything is sent, the channel is read from the
chain. So an event that is seen twice, late or not at all after a reorganisation does no
harm.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

import trio

from zerostate.errors import ChainError, ReorganisedError, StoreUnavailableError
from zerostate.evidence.channel import decode_state
from zerostate.ids import ChannelId
from zerostate.payment.chain import (
    Chain,
    Challenged,
    ChannelStatus,
    Closing,
    EventPage,
    OnChainChannel,
    Settled,
)
from zerostate.payment.contract import CosignedState
from zerostate.payment.onchain import OnChain
from zerostate.payment.tracing import PaymentTracer
from zerostate.payment.watchtower.store import Kept, Phase, TowerStore

MAX_AT_ONCE: Final = 256
"""Channels looked at, and answers that wait for their confirmation, at once."""

LOOK_AGAIN_S: Final = 60.0
"""Time between two looks at every channel that somebody closes, in seconds, whatever
the events said."""

FIRST_PAUSE_S: Final = 1.0
"""Pause after a first failure with a channel, in seconds; each further one doubles
it."""

MAX_PAUSE_S: Final = 15.0
"""Longest such pause, in seconds; far less than any window that protects anybody."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Due:
    """A channel that is to be looked at."""

    at_s: float
    """Not before; trio's clock."""

    pause_s: float = FIRST_PAUSE_S


@dataclass(slots=True)
class WatchCounts:
    """What the tower did."""

    answered: int = 0
    """Closes answered by a newer state, confirmed on the chain."""

    missed: int = 0
    """Closes by an older state that were seen too late to be answered."""

    failures: int = 0
    """Attempts that failed; each is logged and made again."""

    reorganisations: int = 0
    """How often the chain had dropped blocks that were looked at."""

    followed_block: int = 0
    """Number of the newest block that was looked at."""


@final
class Watcher:
    """Answers closes of the channels in the store.

    Attributes:
        counts: What it did since it was made.
    """

    def __init__(
        self,
        chain: Chain,
        store: TowerStore,
        tracer: PaymentTracer,
        *,
        poll_s: float,
    ) -> None:
        self.counts: Final = WatchCounts()
        self._chain = chain
        self._on_chain = OnChain(chain, tracer)
        self._store = store
        self._tracer = tracer
        self._poll_s = poll_s
        self._due: dict[ChannelId, Due] = {}
        self._looking: set[ChannelId] = set()
        self._missed: set[ChannelId] = set()
        self._is_blind = False

    def look_at(self, channel_id: ChannelId) -> None:
        """Have a channel looked at soon: there is a newer state, or news of it."""
        self._due[channel_id] = Due(trio.current_time())

    async def run(self) -> None:
        """Watch until cancelled; what was sent by then stays sent.

        Raises:
            StoreCorruptError: The store does not hold what was written.
        """
        again_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    if trio.current_time() >= again_s:
                        await self._look_at_all(Phase.CLOSING, Phase.SETTLED)
                        again_s = trio.current_time() + LOOK_AGAIN_S
                    await self._follow()
                except (ChainError, StoreUnavailableError) as exc:
                    self._lost_sight(exc)
                else:
                    self._is_blind = False
                self._start(nursery)
                await trio.sleep(self._poll_s)

    async def _follow(self) -> None:
        """Read the events since the last time, and note whom they are about."""
        since = await self._store.cursor()
        if since is None:
            # Nothing is watched yet, or all that was known of the chain is gone.
            head = await self._chain.head()
            await self._store.follow(head.block, ())
            await self._look_at_all(*Phase)
            self.counts.followed_block = head.block.number
            return
        is_rewound = False
        while since is not None:
            try:
                page = await self._chain.events(since, depth=1)
            except ReorganisedError as exc:
                _log.warning("the chain was reorganised: %s", exc)
                since, is_rewound = await self._store.rewind(), True
                continue
            self.counts.followed_block = page.until.number
            if page.until == since:
                break
            for channel_id in await self._store.follow(page.until, _news(page)):
                self.look_at(channel_id)
            since = page.until
        if is_rewound:
            await self._recover()

    async def _recover(self) -> None:
        """Look at everything anew that a reorganisation may have changed."""
        self.counts.reorganisations += 1
        await self._look_at_all(Phase.CLOSING, Phase.SETTLED)
        for tx_hash in await self._chain.vanished():
            _log.warning("%s is gone from the chain and was sent again", tx_hash)

    async def _look_at_all(self, *phases: Phase) -> None:
        for channel_id in await self._store.in_phases(*phases):
            self._due.setdefault(channel_id, Due(trio.current_time()))

    def _start(self, nursery: trio.Nursery) -> None:
        now_s = trio.current_time()
        for channel_id, due in list(self._due.items()):
            if len(self._looking) >= MAX_AT_ONCE:
                return
            if due.at_s <= now_s and channel_id not in self._looking:
                del self._due[channel_id]
                self._looking.add(channel_id)
                nursery.start_soon(self._look, channel_id, due)

    async def _look(self, channel_id: ChannelId, due: Due) -> None:
        try:
            await self._look_once(channel_id)
        except (ChainError, StoreUnavailableError) as exc:
            self.counts.failures += 1
            _log.warning("%s could not be answered for: %s", channel_id, exc)
            again = Due(
                trio.current_time() + due.pause_s, min(2 * due.pause_s, MAX_PAUSE_S)
            )
            self._due.setdefault(channel_id, again)
        finally:
            self._looking.discard(channel_id)

    async def _look_once(self, channel_id: ChannelId) -> None:
        kept = await self._store.get(channel_id)
        if kept is None:
            return
        on_chain = await self._chain.channel(channel_id, depth=1)
        if on_chain.status is ChannelStatus.CLOSING:
            await self._note(kept, Phase.CLOSING)
            if on_chain.nonce < kept.nonce:
                await self._answer(kept, on_chain)
        elif on_chain.status is ChannelStatus.SETTLED:
            await self._note(kept, Phase.SETTLED)
            deep = await self._chain.channel(channel_id)
            if deep.status is ChannelStatus.SETTLED:
                await self._store.forget(channel_id)
                self._missed.discard(channel_id)
        else:
            await self._note(kept, Phase.OPEN)

    async def _answer(self, kept: Kept, on_chain: OnChainChannel) -> None:
        head = await self._chain.head()
        if head.timestamp_s >= on_chain.deadline_s:
            self._too_late(kept, on_chain)
            return
        with self._tracer.trace_dispute(
            kept.channel_id, closing_nonce=on_chain.nonce, nonce=kept.nonce
        ):
            state = CosignedState.of(decode_state(kept.state))
            receipt = await self._on_chain.challenge(kept.channel_id, state)
        self.counts.answered += 1
        _log.warning(
            "%s: the close by state %d was answered by state %d in %s",
            kept.channel_id,
            on_chain.nonce,
            kept.nonce,
            receipt.tx_hash,
        )

    async def _note(self, kept: Kept, phase: Phase) -> None:
        if kept.phase is not phase:
            await self._store.set_phase(kept.channel_id, phase)

    def _too_late(self, kept: Kept, on_chain: OnChainChannel) -> None:
        if kept.channel_id in self._missed:
            return
        self._missed.add(kept.channel_id)
        self.counts.missed += 1
        _log.error(
            "%s: closed by state %d; state %d is too late, the window ended at %d",
            kept.channel_id,
            on_chain.nonce,
            kept.nonce,
            on_chain.deadline_s,
        )

    def _lost_sight(self, exc: Exception) -> None:
        self.counts.failures += 1
        if not self._is_blind:
            _log.warning("the chain cannot be followed now: %s", exc)
        self._is_blind = True


def _news(page: EventPage) -> Iterator[tuple[ChannelId, Phase]]:
    for event in page.events:
        match event.fact:
            case Closing(channel_id=channel_id) | Challenged(channel_id=channel_id):
                yield channel_id, Phase.CLOSING
            case Settled(channel_id=channel_id):
                yield channel_id, Phase.SETTLED
            case _:
                pass
