"""What a peer tells the channel contract, each in a span of its own.

`zerostate.payment.chain.Chain` returns when a transaction is sent; here each operation
also waits until it is confirmed, so that its span covers what it took on the chain.
"""

from collections.abc import Awaitable
from typing import Final, final

from zerostate.evidence.ethereum import EthAddress
from zerostate.ids import ChannelId
from zerostate.payment.chain import Chain, TxHash, TxReceipt
from zerostate.payment.contract import CosignedState, FinalState, Withdrawal
from zerostate.payment.tracing import ChainOperation, PaymentTracer
from zerostate.units import Minor


@final
class OnChain:
    """Sends, waits for the confirmation, and tells of it in a CLIENT span.

    Arguments and errors are those of the same method of
    `zerostate.payment.chain.Chain`, and those of its `confirm`. After
    NotConfirmedError, ChainUnreachableError or cancellation the transaction may have
    been sent, and then goes on being sent: look at the channel before calling again.

    Attributes:
        chain: What is wrapped; reading from it needs no span.
    """

    def __init__(self, chain: Chain, tracer: PaymentTracer) -> None:
        self.chain: Final = chain
        self._tracer: Final = tracer

    async def open_channel(
        self,
        channel_id: ChannelId,
        *,
        payee: EthAddress,
        payee_peer_hash: bytes,
        deposit: Minor,
        salt: bytes,
        window_s: int,
    ) -> TxReceipt:
        """Open a channel as its payer, with `deposit` from this account."""
        sending = self.chain.open_channel(
            channel_id,
            payee=payee,
            payee_peer_hash=payee_peer_hash,
            deposit=deposit,
            salt=salt,
            window_s=window_s,
        )
        return await self._done("open_channel", channel_id, sending)

    async def deposit(
        self, channel_id: ChannelId, amount: Minor, *, total: Minor
    ) -> TxReceipt:
        """Add `amount` to this account's deposit, which must then be `total`."""
        sending = self.chain.deposit(channel_id, amount, total=total)
        return await self._done("deposit", channel_id, sending)

    async def withdraw(
        self,
        channel_id: ChannelId,
        withdrawal: Withdrawal,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxReceipt:
        """Pay out a part that both signed for."""
        sending = self.chain.withdraw(
            channel_id,
            withdrawal,
            payer_signature=payer_signature,
            payee_signature=payee_signature,
        )
        return await self._done("withdraw", channel_id, sending)

    async def close(
        self,
        channel_id: ChannelId,
        final: FinalState,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxReceipt:
        """Settle at once by a final state that both signed."""
        sending = self.chain.close(
            channel_id,
            final,
            payer_signature=payer_signature,
            payee_signature=payee_signature,
        )
        return await self._done("close", channel_id, sending)

    async def start_close(
        self, channel_id: ChannelId, state: CosignedState
    ) -> TxReceipt:
        """Close as a party, by the newest state; starts the window."""
        sending = self.chain.start_close(channel_id, state)
        return await self._done("start_close", channel_id, sending)

    async def challenge(self, channel_id: ChannelId, state: CosignedState) -> TxReceipt:
        """Answer a close with a newer state."""
        sending = self.chain.challenge(channel_id, state)
        return await self._done("challenge", channel_id, sending)

    async def settle(self, channel_id: ChannelId) -> TxReceipt:
        """End a unilateral close after its window."""
        return await self._done("settle", channel_id, self.chain.settle(channel_id))

    async def claim(self, receiver: EthAddress | None = None) -> TxReceipt:
        """Send all that is this account's to `receiver` (None: this account)."""
        return await self._done("claim", None, self.chain.claim(receiver))

    async def _done(
        self,
        operation: ChainOperation,
        channel_id: ChannelId | None,
        sending: Awaitable[TxHash],
    ) -> TxReceipt:
        with self._tracer.trace_chain_operation(
            operation, chain_id=self.chain.chain_id, channel_id=channel_id
        ) as span:
            tx_hash = await sending
            self._tracer.record_sent(span, tx_hash)
            receipt = await self.chain.confirm(tx_hash)
            self._tracer.record_confirmed(span, receipt)
            return receipt
