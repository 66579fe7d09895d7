"""What the other ends of channels may ask of this peer."""

from collections.abc import Callable
from typing import Final

from zerostate.ids import PeerId
from zerostate.payment.closing import Closing
from zerostate.payment.disputing import Disputing
from zerostate.payment.following import Follower
from zerostate.payment.funding import Funding
from zerostate.payment.means import Means
from zerostate.payment.model import Expects, ExpectsStream
from zerostate.payment.payee import Payee
from zerostate.payment.payer import Payer
from zerostate.payment.rechecking import Rechecking
from zerostate.payment.settling import Settling
from zerostate.payment.syncing import Syncing
from zerostate.payment.tending import Tending
from zerostate.payment.watching import Watching
from zerostate.payment.withdrawing import Withdrawing

Tells = Callable[[PeerId], None]
"""Is told the other party of a channel that is open."""


class ChannelAnswers:
    """Answers requests of counterparties; the base of `ChannelManager`.

    Each method takes who signed the message and its body, and returns the reply's. The
    same request gets the same answer, also after a restart. What is signed is durable
    before it is returned. All may raise StoreError: then nothing was signed.

    Attributes:
        opened: Called with the other party whenever a channel is open: on a chain, when
            its deposit was seen there. Set by the node. Must not raise.
    """

    def __init__(self, means: Means) -> None:
        follower = Follower(means)
        self._funding: Final = Funding(means, follower)
        self._payer: Final = Payer(means)
        self._funding.seen = self._funded
        self._means: Final = means
        self._payee: Final = Payee(means, self._funding)
        self._settling: Final = Settling(means, follower)
        self._closing: Final = Closing(means, self._payer, self._settling)
        self._withdrawing: Final = Withdrawing(means, self._payer, self._settling)
        self._disputing: Final = Disputing(means)
        self._syncing: Final = Syncing(means, self._payer)
        tending = Tending(
            means,
            self._funding,
            self._closing,
            self._withdrawing,
            self._disputing,
            self._settling,
        )
        self._watching: Final = Watching(
            means,
            follower,
            tending,
            self._disputing,
            self._closing,
            self._withdrawing,
            Rechecking(means, self._settling),
        )
        self._payee.exposed = self._watching.withdraw_soon
        self.opened: Tells = _nobody_asks

    @property
    def expects(self) -> Expects:
        """What this peer has earned for a task; None when nothing.

        Set by the node. Until then every payment is refused.
        """
        return self._payee.expects

    @expects.setter
    def expects(self, hook: Expects) -> None:
        self._payee.expects = hook

    @property
    def expects_stream(self) -> ExpectsStream:
        """What this peer takes payments for before a receipt; None when nothing.

        Set by the node. Until then only a task that is done is paid.
        """
        return self._payee.expects_stream

    @expects_stream.setter
    def expects_stream(self, hook: ExpectsStream) -> None:
        self._payee.expects_stream = hook

    async def on_channel_open(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``channel_open``: counter-sign state 0 of a channel from `author`.

        The same proposal gets the same answer.

        Args:
            author: Who signed the message.
            body: The message's body.

        Raises:
            WireError: Not such a body.
            EvidenceError: Malformed, or the payer's address binding is wrong.
            SignatureError: Not `author`'s channel, not to us, or not signed by it.
            StaleStateError: Not state 0, or the channel has moved on.
            PaymentError: Another chain, contract, window, time or own deposit than we
                take, or no room.
        """
        answer = await self._payee.on_channel_open(author, body)
        if self._means.chain is None:
            self.opened(author)
        return answer

    async def on_payment_update(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``payment_update``: check a payment and counter-sign it.

        Accepts only what `expects` names: its receipt, its price to the unit. The same
        proposal gets the same answer, also after a restart.

        Args:
            author: Who signed the message.
            body: The message's body.

        Raises:
            WireError: Not such a body.
            EvidenceError: Malformed.
            ChannelNotFoundError: `author` has no such channel to us.
            PriceError: Not for a receipt that is to be paid, or not its price, or the
                task is paid already.
            StaleStateError: The nonce is not the next one.
            InsufficientBalanceError: More than the deposit covers.
            ExposureError: More than one channel may owe us.
            ChannelNotFundedError: We have not seen its deposit on the chain.
            ChannelFrozenError: It is closed or being closed, or its time is over.
            SignatureError: Not signed by the payer.
        """
        return await self._payee.on_payment_update(author, body)

    async def on_channel_funded(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``channel_funded``: look for the deposit on the chain.

        Raises:
            WireError: Not such a body.
            ChannelNotFoundError: `author` has no such channel to us.
            ChannelNotFundedError: It is not there, or not deep enough; asking again may
                help.
            PaymentError: It is there with other terms than agreed on.
            ChainError: The chain did not answer.
        """
        return await self._funding.on_channel_funded(author, body)

    async def on_channel_close(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``channel_close``: counter-sign a final state. Nothing is signed after.

        Raises:
            WireError: Not such a body.
            ChannelNotFoundError: `author` has no such channel to us.
            StaleStateError: Not above all nonces, or not what was paid by the newest.
            ChannelFrozenError: Another final state is signed already.
            SignatureError: Not signed by the payer.
        """
        return await self._closing.on_channel_close(author, body)

    async def on_channel_withdraw(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``channel_withdraw``: counter-sign a partial withdrawal.

        Raises:
            WireError: Not such a body.
            ChannelNotFoundError: `author` has no such channel to us.
            StaleStateError: The nonce is not the next one, or `net` not the newest.
            InsufficientBalanceError: More than is the party's.
            ChannelFrozenError: The channel is not open.
            SignatureError: Not signed by the payer.
        """
        return await self._withdrawing.on_channel_withdraw(author, body)

    async def on_channel_request(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``channel_request``: take a payee's wish; `watch` does it.

        Raises:
            WireError: Not such a body.
            ChannelNotFoundError: We have no such channel to `author`.
            PaymentError: It is a promise, `watch` is not running, or it asks for more
                than a part of what is the payee's.
            OverloadedError: Too many wishes wait, or another one of this channel.
        """
        return await self._watching.on_channel_request(author, body)

    async def on_channel_sync(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``channel_sync``: tell our newest state, or take up the payer's.

        Raises:
            WireError: Not such a body.
            ChannelNotFoundError: `author` has no such channel to us.
            EvidenceError: It claims a state that we did not sign.
        """
        return await self._syncing.on_channel_sync(author, body)

    def _funded(self, payer: PeerId) -> None:
        self.opened(payer)


def _nobody_asks(_peer_id: PeerId) -> None:
    pass
