"""Partial withdrawals: a part is paid out, and the channel goes on.

Whoever asks for one brings it to the chain, and so pays the gas: nobody can spend the
other end's by asking. Totals are cumulative, so what is signed for and not on the chain
yet is in the next one, and nothing waits for it.
"""

from dataclasses import replace
from typing import Final, final

import trio

from zerostate.errors import (
    ChannelFrozenError,
    InsufficientBalanceError,
    NotConfirmedError,
    PaymentError,
    RemoteError,
    StaleStateError,
    TransactionRevertedError,
)
from zerostate.ids import ChannelId, PeerId
from zerostate.payment import agreeing, wire
from zerostate.payment.chain import ChannelStatus, TxReceipt
from zerostate.payment.closing import GRACE_S
from zerostate.payment.contract import Withdrawal
from zerostate.payment.lifecycle import Phase, SignedWithdrawal
from zerostate.payment.means import Held, Means
from zerostate.payment.payee import EXPIRY_GRACE_S
from zerostate.payment.payer import Payer
from zerostate.payment.settling import Settling
from zerostate.payment.store import Role
from zerostate.units import Minor


@final
class Withdrawing:
    """Both ends of a withdrawal. Safe to call again, also after a crash."""

    def __init__(self, means: Means, payer: Payer, settling: Settling) -> None:
        self._means: Final = means
        self._payer: Final = payer
        self._settling: Final = settling
        self._asked: Final[dict[ChannelId, int]] = {}
        """As the payee: how much in all should be ours, of channels that we asked for."""

    async def withdraw(
        self, channel_id: ChannelId, *, to_payer: Minor, to_payee: Minor
    ) -> TxReceipt:
        """See `ChannelManager.withdraw`."""
        if min(to_payer, to_payee) < 0 or not to_payer + to_payee:
            raise PaymentError("say how much to withdraw: to the payer, or the payee")
        held = await self._means.look(channel_id)
        if held.role is Role.PAYEE:
            if to_payer:
                raise PaymentError("a payee withdraws what is its own: only to_payee")
            return await self._asked_for(held, to_payee)
        tracer = self._means.party.tracer
        with tracer.trace_withdrawal(channel_id, held.peer_id) as span:
            async with self._means.held(channel_id) as held:
                nonce = await self._propose(held, to_payer, to_payee)
                tracer.record_nonce(span, nonce)
                return await self._finish(held)

    async def grant(self, channel_id: ChannelId, *, to_payee: Minor) -> None:
        """Propose what the payee asked for; it brings that to the chain itself.

        Raises:
            InsufficientBalanceError: More than is the payee's.
            ChannelFrozenError: The channel is not open.
            P2PError: The payee does not answer, or refuses.
        """
        tracer = self._means.party.tracer
        held = await self._means.look(channel_id)
        with tracer.trace_withdrawal(channel_id, held.peer_id) as span:
            async with self._means.held(channel_id) as held:
                nonce = await self._propose(held, Minor(0), to_payee, is_asked=True)
                tracer.record_nonce(span, nonce)
                await self._signed_by_both(held)

    async def resume(self, channel_id: ChannelId) -> None:
        """Go on with a withdrawal that is pending, if there is one.

        Raises:
            P2PError: The payee does not answer.
            ChainError: The chain refused, or did not answer.
        """
        held = await self._means.look(channel_id)
        if not isinstance(held.life.pending, SignedWithdrawal):
            return
        tracer = self._means.party.tracer
        if held.role is Role.PAYEE:
            await self._bring(held)
            return
        with tracer.trace_withdrawal(channel_id, held.peer_id) as span:
            async with self._means.held(channel_id) as held:
                if isinstance(held.life.pending, SignedWithdrawal):
                    tracer.record_nonce(span, held.life.pending.withdrawal.nonce)
                    await self._go_on(held)

    async def on_channel_withdraw(self, author: PeerId, body: bytes) -> bytes:
        """See `ChannelManager.on_channel_withdraw`."""
        channel_id, proposal = wire.decode_channel_withdraw(body)
        async with self._means.held(channel_id, peer_id=author) as held:
            held.require(Role.PAYEE)
            held.require_synced()
            signed = held.life.pending
            same = isinstance(signed, SignedWithdrawal) and (
                (signed.withdrawal, signed.payer_signature)
                == (proposal.withdrawal, proposal.payer_signature)
            )
            if not same:
                signed = await self._countersigned(held, proposal)
        if not isinstance(signed, SignedWithdrawal):
            raise TypeError("a withdrawal was signed")
        return wire.encode_channel_withdrawn(signed)

    async def seen(self, channel_id: ChannelId) -> None:
        """Note what the chain says was withdrawn, and take what is ours.

        Raises:
            ChainError: The chain did not answer.
        """
        async with self._means.held(channel_id) as held:
            await self._note(held)
        await self._settling.claim()

    async def _countersigned(
        self, held: Held, proposal: SignedWithdrawal
    ) -> SignedWithdrawal:
        part = proposal.withdrawal
        if not held.life.takes_payments:
            raise ChannelFrozenError(f"{held.channel_id} is {held.life.phase}")
        if part.nonce < agreeing.next_nonce(held):
            raise StaleStateError(
                f"nonce {part.nonce}; the next is {agreeing.next_nonce(held)}"
            )
        if part.net != held.state.balance_payee:
            raise StaleStateError(
                f"names {part.net} as paid; by the newest it is "
                f"{held.state.balance_payee}"
            )
        agreeing.check_shares(held, part.total_payer, part.total_payee)
        agreeing.check_payer(held, proposal)
        signed = replace(proposal, payee_signature=agreeing.sign(held, proposal))
        is_ours = await self._is_ours_to_bring(held, part)
        deadline_s = (
            self._means.now_unix_s() + GRACE_S
            if is_ours
            else held.life.expires_unix_s + EXPIRY_GRACE_S + GRACE_S
        )
        life = held.life.withdrawn(part)
        await held.keep(replace(life, pending=signed, deadline_s=deadline_s))
        if is_ours:
            self._asked.pop(held.channel_id, None)
        return signed

    async def _is_ours_to_bring(self, held: Held, part: Withdrawal) -> bool:
        """Whether we asked for it, or bear it for the bound on what a channel owes us.

        What we did not ask for is the payer's to pay for, and does not have to be on
        the chain for us to be paid in the end.
        """
        wanted = self._asked.get(held.channel_id)
        if wanted is not None and part.total_payee >= wanted:
            return True
        most = self._means.party.config.max_exposure
        if most is None:
            return False
        found = await self._means.on_chain(held.channel_id)
        return 2 * (part.total_payee - found.withdrawn_payee) > most

    async def _propose(
        self, held: Held, to_payer: Minor, to_payee: Minor, *, is_asked: bool = False
    ) -> int:
        """Make a withdrawal durable that we have signed; return its nonce."""
        held.require_synced()
        if held.life.phase is not Phase.OPEN:
            raise ChannelFrozenError(f"{held.channel_id} is {held.life.phase}")
        if held.life.pending is not None:
            await self._go_on(held)
        if held.state.proposed is not None:
            # One that the payee refuses ends with this: its number is lower.
            await self._payer.finish_in_flight(held.state)
            await held.reload()
        life = held.life
        part = Withdrawal(
            agreeing.next_nonce(held),
            held.state.balance_payee,
            Minor(life.withdrawn_payer + to_payer),
            Minor(life.withdrawn_payee + to_payee),
        )
        agreeing.check_shares(held, part.total_payer, part.total_payee)
        signed = SignedWithdrawal(part, b"")
        signed = replace(signed, payer_signature=agreeing.sign(held, signed))
        # One that the payee asked for we never send: at that time the channel is closed.
        deadline_s = life.expires_unix_s if is_asked else None
        await held.keep(replace(life, pending=signed, deadline_s=deadline_s))
        return part.nonce

    async def _go_on(self, held: Held) -> None:
        """As the payer: do our part of what is pending."""
        if held.life.deadline_s is None:
            await self._finish(held)
        else:
            await self._signed_by_both(held)

    async def _finish(self, held: Held) -> TxReceipt:
        """Have what is pending signed by the payee, and bring it to the chain."""
        signed = await self._signed_by_both(held)
        receipt = await self._on_chain(held.channel_id, signed)
        await held.keep(replace(held.life, tx_hash=receipt.tx_hash))
        await self._note(held)
        await self._settling.claim()
        return receipt

    async def _signed_by_both(self, held: Held) -> SignedWithdrawal:
        signed = held.life.pending
        if not isinstance(signed, SignedWithdrawal):
            raise PaymentError(f"no withdrawal is pending on {held.channel_id}")
        if signed.payee_signature:
            return signed
        body = wire.encode_channel_withdraw(held.channel_id, signed)
        try:
            reply = await self._means.request(held.peer_id, wire.CHANNEL_WITHDRAW, body)
        except RemoteError:
            # Should it sign after all, it harms itself alone: no state of ours needs
            # what it would take out.
            await held.keep(replace(held.life, pending=None, deadline_s=None))
            raise
        answer = wire.decode_channel_withdrawn(reply)
        signed = agreeing.with_payee(held, signed, answer)
        life = held.life.withdrawn(signed.withdrawal)
        await held.keep(replace(life, pending=signed))
        return signed

    async def _bring(self, held: Held) -> TxReceipt:
        """As the payee: bring what both signed to the chain, and take what is ours."""
        means, channel_id = self._means, held.channel_id
        tracer = means.party.tracer
        with tracer.trace_withdrawal(channel_id, held.peer_id) as span:
            # Not the channel's own lock: payments go on while the chain takes its time.
            async with means.ledger.locks.hold(f"withdraw {channel_id}"):
                held = await means.look(channel_id)
                signed, nonce = held.life.pending, held.life.base_nonce
                if isinstance(signed, SignedWithdrawal):
                    nonce = signed.withdrawal.nonce
                    receipt = await self._on_chain(channel_id, signed)
                elif held.life.phase is Phase.OPEN:
                    receipt = await self._receipt(channel_id, nonce)
                else:
                    raise ChannelFrozenError(f"{channel_id} is {held.life.phase}")
            tracer.record_nonce(span, nonce)
            async with means.held(channel_id) as held:
                await held.keep(replace(held.life, tx_hash=receipt.tx_hash))
            await self.seen(channel_id)
        return receipt

    async def _on_chain(
        self, channel_id: ChannelId, signed: SignedWithdrawal
    ) -> TxReceipt:
        means, part = self._means, signed.withdrawal
        try:
            return await means.onchain.withdraw(
                channel_id,
                part,
                payer_signature=signed.payer_signature,
                payee_signature=signed.payee_signature,
            )
        except TransactionRevertedError:
            found = await means.on_chain(channel_id)
            if found.nonce < part.nonce:
                raise
            # The other end was faster, or we were before a crash.
            return await self._receipt(channel_id, part.nonce)

    async def _receipt(self, channel_id: ChannelId, nonce: int) -> TxReceipt:
        event = await self._settling.withdrawn_event(channel_id, nonce)
        receipt = await self._means.onchain.chain.receipt(event.tx_hash)
        if receipt is None:
            raise NotConfirmedError(f"{event.tx_hash} is in no block any more")
        return receipt

    async def _note(self, held: Held) -> None:
        found = await self._means.on_chain(held.channel_id, deep=True)
        life, pending = held.life, held.life.pending
        if found.status is ChannelStatus.OPEN and found.nonce > life.base_nonce:
            totals = found.withdrawn_payer, found.withdrawn_payee
            life = life.withdrawn(Withdrawal(found.nonce, found.net, *totals))
        if isinstance(pending, SignedWithdrawal) and (
            found.nonce >= pending.withdrawal.nonce
        ):
            life = replace(life, pending=None, deadline_s=None)
        await held.keep(life)
        await held.drop_proposed(found.nonce)

    async def _asked_for(self, held: Held, to_payee: Minor) -> TxReceipt:
        """As the payee: have the payer sign it, and bring it to the chain."""
        if not held.life.takes_payments:
            raise ChannelFrozenError(f"{held.channel_id} is {held.life.phase}")
        left = held.state.exposure
        if to_payee <= left:
            await self._asked_and_signed(held, to_payee)
        elif not isinstance(held.life.pending, SignedWithdrawal):
            raise InsufficientBalanceError(f"{to_payee} to the payee; {left} is left")
        # Or both had signed it before, and it came to nothing on the chain.
        return await self._bring(held)

    async def _asked_and_signed(self, held: Held, to_payee: Minor) -> None:
        channel_id = held.channel_id
        wanted = wire.Wanted(channel_id, wire.Wish.WITHDRAW, to_payee=to_payee)
        body = wire.encode_channel_request(wanted)
        in_all = held.life.withdrawn_payee + to_payee
        # Kept if the wait ends: it is our wish also when the payer comes to it later.
        self._asked[channel_id] = in_all
        try:
            await self._means.request(held.peer_id, wire.CHANNEL_REQUEST, body)
        except RemoteError:
            self._asked.pop(channel_id, None)
            raise
        with trio.move_on_after(self._means.confirm_timeout_s):
            while (await self._means.look(channel_id)).life.withdrawn_payee < in_all:  # noqa: ASYNC110  # what the payer's request writes has no event
                await trio.sleep(self._means.poll_s)
            return
        raise NotConfirmedError(f"{held.peer_id} has not signed the withdrawal yet")
