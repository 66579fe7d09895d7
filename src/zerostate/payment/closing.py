"""Ending a channel: together if the other end answers, alone if it does not."""

import logging
from dataclasses import replace
from typing import Final, final

import trio

from zerostate.errors import (
    ChannelFrozenError,
    ChannelNotFundedError,
    EvidenceError,
    P2PError,
    PaymentError,
    RequestTimeoutError,
    StaleStateError,
    TransactionRevertedError,
    WireError,
)
from zerostate.evidence.channel_update import payment_hash
from zerostate.ids import ChannelId, PeerId
from zerostate.payment import agreeing, wire
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.contract import CosignedState, FinalState
from zerostate.payment.lifecycle import Phase, SignedFinal
from zerostate.payment.means import Held, Means
from zerostate.payment.model import Settlement
from zerostate.payment.payer import Payer
from zerostate.payment.settling import Settling, decode_settlement
from zerostate.payment.state import ChannelState
from zerostate.payment.store import Role
from zerostate.units import Minor

GRACE_S: Final = 60
"""How long the payee waits for the payer to bring to the chain what both signed, in
seconds; then it does so itself."""

_log: Final = logging.getLogger(__name__)


@final
class Closing:
    """Both ends of closing. Safe to call again at any point, also after a crash."""

    def __init__(self, means: Means, payer: Payer, settling: Settling) -> None:
        self._means = means
        self._payer = payer
        self._settling = settling

    async def close(
        self, channel_id: ChannelId, *, force: bool = False, wait: bool = False
    ) -> Settlement | None:
        """See `ChannelManager.close`."""
        tracer = self._means.party.tracer
        final = None
        async with self._means.ledger.locks.hold(f"end {channel_id}"):
            held = await self._means.look(channel_id)
            if held.life.settlement is not None:
                return decode_settlement(held.life.settlement)
            if not force:
                held.require_synced()
            if held.life.phase is Phase.OPENING:
                await self._require_funded(channel_id)
            with tracer.trace_close_channel(channel_id, held.peer_id) as span:
                if not force:
                    final = await self._agreed(held)
                if final is None:
                    nonce = await self.start(channel_id)
                else:
                    nonce = final.final.nonce
                tracer.record_close(span, nonce=nonce, cooperative=final is not None)
            if final is not None:
                return await self._settling.by_final(channel_id, final)
        return await self._after_start(channel_id, wait=wait)

    async def start(self, channel_id: ChannelId) -> int:
        """Close alone, by the newest state that both signed; return its nonce.

        Raises:
            ChannelNotFundedError: The channel is not on the chain.
            ChainError: The chain refused, or did not answer.
        """
        async with self._means.held(channel_id) as held:
            found = await self._means.on_chain(channel_id)
            if found.status is ChannelStatus.UNKNOWN:
                raise ChannelNotFundedError(f"{channel_id} is not on the chain")
            # From here on nothing is signed, whatever becomes of the transaction.
            await held.keep(held.life.frozen(Phase.DISPUTED))
            state = newest_state(held.state, found.nonce)
            if found.status is ChannelStatus.OPEN:
                try:
                    await self._means.onchain.start_close(channel_id, state)
                except TransactionRevertedError:
                    # The other end may have been faster.
                    found = await self._means.on_chain(channel_id)
                    if found.status is ChannelStatus.OPEN:
                        raise
            found = await self._means.on_chain(channel_id)
            await held.keep(replace(held.life, deadline_s=found.deadline_s))
            return found.nonce

    async def on_channel_close(self, author: PeerId, body: bytes) -> bytes:
        """See `ChannelManager.on_channel_close`."""
        channel_id, proposal = wire.decode_channel_close(body)
        async with self._means.held(channel_id, peer_id=author) as held:
            held.require(Role.PAYEE)
            held.require_synced()
            signed = _signed_before(held, proposal)
            if signed is None:
                if held.life.phase is Phase.OPENING:
                    # Or a stranger could leave channels here that nothing ever ends.
                    await self._require_funded(channel_id)
                signed = await self._countersigned(held, proposal)
        return wire.encode_channel_closed(signed)

    async def _require_funded(self, channel_id: ChannelId) -> None:
        found = await self._means.on_chain(channel_id)
        if found.status is ChannelStatus.UNKNOWN:
            raise ChannelNotFundedError(
                f"{channel_id} is not on the chain: there is nothing to close"
            )

    async def _countersigned(self, held: Held, proposal: SignedFinal) -> SignedFinal:
        final, state = proposal.final, held.state
        if final.nonce < agreeing.next_nonce(held):
            raise StaleStateError(
                f"a final state with nonce {final.nonce}; we have signed "
                f"{agreeing.next_nonce(held) - 1}"
            )
        if final.net != state.balance_payee:
            raise StaleStateError(
                f"a final state that pays {final.net}; by the newest it is "
                f"{state.balance_payee}"
            )
        agreeing.check_payer(held, proposal)
        signed = replace(proposal, payee_signature=agreeing.sign(held, proposal))
        life = held.life.frozen(Phase.CLOSING)
        if life.phase is Phase.CLOSING:
            life = replace(life, deadline_s=self._means.now_unix_s() + GRACE_S)
        await held.keep(replace(life, pending=signed))
        return signed

    async def _agreed(self, held: Held) -> SignedFinal | None:
        """Return a final state that both signed, or None: the other end does not."""
        if held.life.phase is Phase.DISPUTED:
            return None
        try:
            if held.role is Role.PAYER:
                return await self._proposed(held.channel_id)
            return await self._asked_for(held)
        except (P2PError, PaymentError, EvidenceError, WireError) as exc:
            _log.warning("%s: no end together: %s", held.channel_id, exc)
            return None

    async def _proposed(self, channel_id: ChannelId) -> SignedFinal:
        async with self._means.held(channel_id) as held:
            held.require_synced()
            signed = held.life.pending
            if not isinstance(signed, SignedFinal):
                await self._payer.finish_in_flight(held.state)
                await held.reload()
                final = FinalState(agreeing.next_nonce(held), held.state.balance_payee)
                signed = SignedFinal(final, b"")
                signed = replace(signed, payer_signature=agreeing.sign(held, signed))
                life = held.life.frozen(Phase.CLOSING)
                await held.keep(replace(life, pending=signed, deadline_s=None))
            if not signed.payee_signature:
                body = wire.encode_channel_close(channel_id, signed)
                reply = await self._means.request(
                    held.peer_id, wire.CHANNEL_CLOSE, body
                )
                answer = wire.decode_channel_closed(reply)
                signed = agreeing.with_payee(held, signed, answer)
                await held.keep(replace(held.life, pending=signed))
            return signed

    async def _asked_for(self, held: Held) -> SignedFinal | None:
        """As the payee: have the payer propose the end, and wait for it."""
        channel_id = held.channel_id
        if not isinstance(held.life.pending, SignedFinal):
            wanted = wire.Wanted(channel_id, wire.Wish.CLOSE)
            body = wire.encode_channel_request(wanted)
            await self._means.request(held.peer_id, wire.CHANNEL_REQUEST, body)
        with trio.move_on_after(self._means.party.config.request_timeout_s):
            while True:
                held = await self._means.look(channel_id)
                if isinstance(held.life.pending, SignedFinal):
                    return held.life.pending
                if held.life.phase is Phase.DISPUTED:
                    return None
                await trio.sleep(self._means.poll_s)
        raise RequestTimeoutError(f"{held.peer_id} has not proposed the end in time")

    async def _after_start(
        self, channel_id: ChannelId, *, wait: bool
    ) -> Settlement | None:
        found = await self._means.on_chain(channel_id)
        head = await self._means.onchain.chain.head()
        over = found.status is ChannelStatus.SETTLED or (
            head.timestamp_s >= found.deadline_s
        )
        if not (wait or over):
            return None
        return await self._settling.after_window(channel_id, wait=wait)


def newest_state(state: ChannelState, known_nonce: int) -> CosignedState:
    """Return the newest that both signed, as the contract takes it.

    Args:
        state: The channel.
        known_nonce: The newest that the contract knows: it takes no signatures for it.
    """
    agreed = state.agreed
    if agreed is None or agreed.update.nonce <= known_nonce:
        return CosignedState.known(known_nonce)
    return CosignedState(
        agreed.update.nonce,
        Minor(agreed.update.net),
        payment_hash(agreed.update),
        agreed.payer.signature,
        agreed.payee.signature,
    )


def _signed_before(held: Held, proposal: SignedFinal) -> SignedFinal | None:
    signed = held.life.pending
    if not isinstance(signed, SignedFinal):
        if held.life.phase is Phase.SETTLED:
            raise ChannelFrozenError(f"{held.channel_id} is settled")
        return None
    same = (signed.final, signed.payer_signature) == (
        proposal.final,
        proposal.payer_signature,
    )
    if not same:
        raise ChannelFrozenError(f"another end of {held.channel_id} is signed already")
    return signed
