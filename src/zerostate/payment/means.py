"""What the operations on channels have to work with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import trio

from zerostate.clock import Clock
from zerostate.errors import (
    ChannelNotFoundError,
    PaymentError,
    RequestTimeoutError,
    StaleStateError,
)
from zerostate.ids import ChannelId, PeerId
from zerostate.payment.chain import OnChainChannel
from zerostate.payment.ledger import Ledger
from zerostate.payment.lifecycle import Life
from zerostate.payment.model import Counterparty
from zerostate.payment.onchain import OnChain
from zerostate.payment.party import Party
from zerostate.payment.state import ChannelState
from zerostate.payment.store import Role

NEWEST: Final = 1
"""Depth of the newest block: to see what happens early, not to rely on it."""

DEFAULT_POLL_S: Final = 1.0
"""Time between looks at the chain where the configuration names none, in seconds."""

DEFAULT_CONFIRM_S: Final = 600.0
"""Longest wait for something on the chain, likewise, in seconds."""


@dataclass(frozen=True, slots=True)
class Means:
    """This peer, its channels on disk, the other end and the chain."""

    party: Party
    ledger: Ledger
    counterparty: Counterparty
    clock: Clock
    chain: OnChain | None
    """None: channels are promises."""

    @property
    def onchain(self) -> OnChain:
        """The chain.

        Raises:
            PaymentError: There is none.
        """
        if self.chain is None:
            raise PaymentError(
                "this peer's channels are promises, on no chain; configure "
                "payment.chain to settle"
            )
        return self.chain

    @property
    def poll_s(self) -> float:
        """Time between two looks at the chain, in seconds."""
        config = self.party.config.chain
        return config.poll_s if config else DEFAULT_POLL_S

    @property
    def confirm_timeout_s(self) -> float:
        """Longest wait for something that should be on the chain, in seconds."""
        config = self.party.config.chain
        return config.confirm_timeout_s if config else DEFAULT_CONFIRM_S

    def now_unix_s(self) -> int:
        """Return our own clock's time."""
        return self.clock.wall_ns() // 1_000_000_000

    async def request(self, peer_id: PeerId, message_type: str, body: bytes) -> bytes:
        """Ask the other end, for no longer than is configured.

        Raises:
            P2PError: No answer, or an error as the answer.
        """
        timeout_s = self.party.config.request_timeout_s
        with trio.move_on_after(timeout_s):
            return await self.counterparty.request(peer_id, message_type, body)
        raise RequestTimeoutError(
            f"{peer_id} did not answer {message_type} within {timeout_s:g} s; the same "
            "call sends the same state again"
        )

    @asynccontextmanager
    async def held(
        self,
        channel_id: ChannelId,
        *,
        peer_id: PeerId | None = None,
        urgent: bool = False,
    ) -> AsyncIterator["Held"]:
        """Hold a channel of either role; no other operation changes it meanwhile.

        `urgent` as for `KeyedLocks.hold`.

        Raises:
            ChannelNotFoundError: There is no such channel (with `peer_id`).
            PaymentError: It is a promise, on no chain.
        """
        async with self.ledger.locks.hold(channel_id, urgent=urgent):
            yield await self.look(channel_id, peer_id=peer_id)

    async def look(
        self, channel_id: ChannelId, *, peer_id: PeerId | None = None
    ) -> "Held":
        """Return a channel without holding it; it may have changed since."""
        row = await self.ledger.store.channel(channel_id)
        if row is None:
            raise ChannelNotFoundError(f"no channel {channel_id}")
        state = await self.ledger.load(channel_id, row.role, peer_id=peer_id)
        if state.life is None:
            raise PaymentError(f"{channel_id} is a promise: it is on no chain")
        return Held(self, row.role, row.peer_id, state, state.life)

    async def on_chain(
        self, channel_id: ChannelId, *, deep: bool = False
    ) -> OnChainChannel:
        """Return the channel as the contract has it: newest, or deep enough to trust."""
        depth = None if deep else NEWEST
        return await self.onchain.chain.channel(channel_id, depth=depth)


@dataclass(slots=True)
class Held:
    """A channel on a chain, as it was loaded; changes are durable when made."""

    means: Means
    role: Role
    peer_id: PeerId
    """The other end."""

    state: ChannelState
    life: Life

    @property
    def channel_id(self) -> ChannelId:
        """The channel's id."""
        return self.state.channel_id

    async def keep(self, life: Life) -> None:
        """Make its life durable. Only with the channel held."""
        if life == self.life:
            return
        state = replace(self.state, life=life)
        await self.means.ledger.keep(state, self.role)
        self.state, self.life = state, life

    async def drop_proposed(self, nonce: int) -> None:
        """Forget what is in flight if the chain knows `nonce`: it comes too late.

        Only with the channel held, and only by what is deep enough in the chain.
        """
        proposed = self.state.proposed
        if proposed is None or proposed.update.nonce > nonce:
            return
        state = replace(self.state, proposed=None)
        await self.means.ledger.keep(state, self.role)
        self.state = state

    async def reload(self) -> None:
        """Take up what another operation made durable. Only with the channel held."""
        now = await self.means.look(self.channel_id)
        self.state, self.life = now.state, now.life

    def require(self, role: Role) -> None:
        """Check which end we are.

        Raises:
            ChannelNotFoundError: The other one.
        """
        if self.role is not role:
            raise ChannelNotFoundError(
                f"{self.channel_id} is no channel in which we are the {role}"
            )

    def require_synced(self) -> None:
        """Check that what we know of it is the newest.

        Raises:
            StaleStateError: It was restored from a backup.
        """
        if self.state.unsynced:
            raise StaleStateError(
                f"{self.channel_id} was restored from a backup, and the other end has "
                "not told its newest state yet"
            )
