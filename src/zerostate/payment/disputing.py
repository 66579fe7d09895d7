"""Answering a close that is by an older state than the newest."""

from dataclasses import replace
from typing import Final, final

from zerostate.errors import TransactionRevertedError
from zerostate.ids import ChannelId
from zerostate.payment.chain import ChannelStatus, TxReceipt
from zerostate.payment.closing import newest_state
from zerostate.payment.lifecycle import Phase
from zerostate.payment.means import Means


@final
class Disputing:
    """Stops signing when a channel is closed by one end, and brings what is newer."""

    def __init__(self, means: Means) -> None:
        self._means: Final = means

    async def dispute(self, channel_id: ChannelId) -> TxReceipt | None:
        """See `ChannelManager.dispute`."""
        means = self._means
        async with means.held(channel_id, urgent=True) as held:
            found = await means.on_chain(channel_id)
            if found.status not in {ChannelStatus.CLOSING, ChannelStatus.SETTLED}:
                return None
            life = held.life.frozen(Phase.DISPUTED)
            await held.keep(replace(life, deadline_s=found.deadline_s))
            state = newest_state(held.state, found.nonce)
        if found.status is ChannelStatus.SETTLED:
            return None
        # The lock is let go: nothing is signed any more, and the chain may take long.
        if state.nonce <= found.nonce:
            return None
        async with means.ledger.locks.hold(f"dispute {channel_id}"):
            found = await means.on_chain(channel_id)
            if found.status is not ChannelStatus.CLOSING or found.nonce >= state.nonce:
                return None
            with means.party.tracer.trace_dispute(
                channel_id, closing_nonce=found.nonce, nonce=state.nonce
            ):
                try:
                    return await means.onchain.challenge(channel_id, state)
                except TransactionRevertedError:
                    # A watchtower may have been faster.
                    found = await means.on_chain(channel_id)
                    if found.nonce < state.nonce:
                        raise
        return None
