"""Partial withdrawals: a part is paid out, and the channel goes on."""

from dataclasses import replace
from typing import Final, final

import trio

from zerostate.errors import (
    ChannelFrozenError,
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

    async def withdraw(
        self, channel_id: ChannelId, *, to_payer: Minor, to_payee: Minor
    ) -> TxReceipt:
        """See `ChannelManager.withdraw`."""
        if min(to_payer, to_payee) < 0 or not to_payer + to_payee:
            raise PaymentError("say how much to withdraw: to the payer, or the payee")
        held = await self._means.look(channel_id)
        if held.role is Role.PAYEE:
            return await self._asked_for(held, to_payer, to_payee)
        tracer = self._means.party.tracer
        with tracer.trace_withdrawal(channel_id, held.peer_id) as span:
            async with self._means.held(channel_id) as held:
                nonce = await self._propose(held, to_payer, to_payee)
                tracer.record_nonce(span, nonce)
                return await self._finish(held)

    async def resume(self, channel_id: ChannelId) -> None:
        """Finish a withdrawal that is pending, if there is one.

        Raises:
            P2PError: The payee does not answer.
            ChainError: The chain refused, or did not answer.
        """
        held = await self._means.look(channel_id)
        if not isinstance(held.life.pending, SignedWithdrawal):
            return
        tracer = self._means.party.tracer
        with tracer.trace_withdrawal(channel_id, held.peer_id) as span:
            async with self._means.held(channel_id) as held:
                if isinstance(held.life.pending, SignedWithdrawal):
                    tracer.record_nonce(span, held.life.pending.withdrawal.nonce)
                    await self._finish(held)

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
        life = replace(
            held.life.withdrawn(part),
            pending=signed,
            deadline_s=self._means.now_unix_s() + GRACE_S,
        )
        await held.keep(life)
        return signed

    async def _propose(self, held: Held, to_payer: Minor, to_payee: Minor) -> int:
        """Make a withdrawal durable that we have signed; return its nonce."""
        held.require_synced()
        if held.life.phase is not Phase.OPEN:
            raise ChannelFrozenError(f"{held.channel_id} is {held.life.phase}")
        if held.life.pending is not None:
            await self._finish(held)
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
        await held.keep(replace(life, pending=signed))
        return part.nonce

    async def _finish(self, held: Held) -> TxReceipt:
        """Have what is pending signed by the payee, and bring it to the chain."""
        signed = held.life.pending
        if not isinstance(signed, SignedWithdrawal):
            raise PaymentError(f"no withdrawal is pending on {held.channel_id}")
        if not signed.payee_signature:
            signed = await self._signed_by_payee(held, signed)
        receipt = await self._on_chain(held, signed)
        await held.keep(replace(held.life, tx_hash=receipt.tx_hash))
        await self._note(held)
        await self._settling.claim()
        return receipt

    async def _signed_by_payee(
        self, held: Held, signed: SignedWithdrawal
    ) -> SignedWithdrawal:
        body = wire.encode_channel_withdraw(held.channel_id, signed)
        try:
            reply = await self._means.request(held.peer_id, wire.CHANNEL_WITHDRAW, body)
        except RemoteError:
            # Should it sign after all, it harms itself alone: no state of ours needs
            # what it would take out.
            await held.keep(replace(held.life, pending=None))
            raise
        answer = wire.decode_channel_withdrawn(reply)
        signed = agreeing.with_payee(held, signed, answer)
        life = held.life.withdrawn(signed.withdrawal)
        await held.keep(replace(life, pending=signed))
        return signed

    async def _on_chain(self, held: Held, signed: SignedWithdrawal) -> TxReceipt:
        means, part = self._means, signed.withdrawal
        try:
            return await means.onchain.withdraw(
                held.channel_id,
                part,
                payer_signature=signed.payer_signature,
                payee_signature=signed.payee_signature,
            )
        except TransactionRevertedError:
            found = await means.on_chain(held.channel_id)
            if found.nonce < part.nonce:
                raise
            # The other end was faster, or we were before a crash.
            event = await self._settling.withdrawn_event(held.channel_id, part.nonce)
            receipt = await means.onchain.chain.receipt(event.tx_hash)
            if receipt is None:
                raise
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

    async def _asked_for(
        self, held: Held, to_payer: Minor, to_payee: Minor
    ) -> TxReceipt:
        """As the payee: have the payer propose it, and wait until it is paid out."""
        before = held.life.base_nonce
        wanted = wire.Wanted(held.channel_id, wire.Wish.WITHDRAW, to_payer, to_payee)
        body = wire.encode_channel_request(wanted)
        await self._means.request(held.peer_id, wire.CHANNEL_REQUEST, body)
        with trio.move_on_after(self._means.confirm_timeout_s):
            while True:
                held = await self._means.look(held.channel_id)
                if held.life.base_nonce > before:
                    found = await self._means.on_chain(held.channel_id, deep=True)
                    if found.nonce >= held.life.base_nonce:
                        break
                await trio.sleep(self._means.poll_s)
        if held.life.base_nonce <= before:
            raise NotConfirmedError(f"{held.peer_id} has not withdrawn it yet")
        event = await self._settling.withdrawn_event(
            held.channel_id, held.life.base_nonce
        )
        receipt = await self._means.onchain.chain.receipt(event.tx_hash)
        if receipt is None:
            raise NotConfirmedError(f"{event.tx_hash} is in no block any more")
        await self.seen(held.channel_id)
        return receipt
