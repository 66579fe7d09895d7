"""What a channel needs when nobody asks for it: finish, expire, settle."""

from typing import Final, final

from zerostate.ids import ChannelId
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.closing import GRACE_S, Closing
from zerostate.payment.disputing import Disputing
from zerostate.payment.funding import Funding
from zerostate.payment.lifecycle import Phase, SignedFinal, SignedWithdrawal
from zerostate.payment.means import Held, Means
from zerostate.payment.payee import EXPIRY_GRACE_S
from zerostate.payment.settling import Settling
from zerostate.payment.store import Role
from zerostate.payment.withdrawing import Withdrawing


@final
class Tending:
    """Looks after one channel at a time. Each look does what is due, and no more."""

    def __init__(  # noqa: PLR0917  # one for each operation
        self,
        means: Means,
        funding: Funding,
        closing: Closing,
        withdrawing: Withdrawing,
        disputing: Disputing,
        settling: Settling,
    ) -> None:
        self._means: Final = means
        self._funding: Final = funding
        self._closing: Final = closing
        self._withdrawing: Final = withdrawing
        self._disputing: Final = disputing
        self._settling: Final = settling

    async def tend(self, channel_id: ChannelId) -> None:
        """Do what is due for a channel.

        Raises:
            ZeroStateError: It could not be done now; the next look tries again.
        """
        held = await self._means.look(channel_id)
        match held.life.phase:
            case Phase.OPENING:
                await self._opening(held)
            case Phase.OPEN:
                await self._open(held)
            case Phase.CLOSING:
                await self._ending(held)
            case Phase.DISPUTED:
                await self._disputed(held)
            case Phase.SETTLED:
                pass

    async def claim_rest(self) -> None:
        """Claim what settled channels left to our credit.

        Raises:
            ZeroStateError: It could not be done now.
        """
        await self._settling.claim_rest()

    async def _opening(self, held: Held) -> None:
        found = await self._means.on_chain(held.channel_id)
        if found.status is not ChannelStatus.UNKNOWN:
            if held.role is Role.PAYER and self._is_over(held):
                await self._closing.close(held.channel_id, force=True)
        elif held.role is Role.PAYEE:
            # It was never worth anything. The payer's own stays: what it sent to the
            # chain may still arrive.
            async with self._means.held(held.channel_id) as now:
                if now.life.phase is Phase.OPENING:
                    await now.keep(now.life.frozen(Phase.SETTLED))

    async def _open(self, held: Held) -> None:
        if held.role is Role.PAYER and self._is_over(held):
            # What is pending counts as gone, whether it gets on the chain or not.
            await self._closing.close(held.channel_id)
        elif isinstance(held.life.pending, SignedWithdrawal):
            await self._withdrawal(held, held.life.pending)
        elif held.role is Role.PAYER:
            pass
        elif self._is_over(held, grace_s=EXPIRY_GRACE_S + GRACE_S):
            if held.state.exposure:
                await self._closing.close(held.channel_id)
        elif held.life.deposit_payee:
            await self._funding.deposit_own(held)

    async def _withdrawal(self, held: Held, pending: SignedWithdrawal) -> None:
        found = await self._means.on_chain(held.channel_id, deep=True)
        if found.nonce >= pending.withdrawal.nonce:
            await self._withdrawing.seen(held.channel_id)
        elif self._is_due(held) or not pending.payee_signature:
            await self._withdrawing.resume(held.channel_id)

    async def _ending(self, held: Held) -> None:
        found = await self._means.on_chain(held.channel_id)
        if found.status is ChannelStatus.SETTLED:
            await self._settling.after_window(held.channel_id)
        elif found.status is ChannelStatus.CLOSING and held.role is Role.PAYEE:
            await self._disputing.dispute(held.channel_id)
        elif held.role is Role.PAYER or (
            isinstance(held.life.pending, SignedFinal) and self._is_due(held)
        ):
            await self._closing.close(held.channel_id)

    async def _disputed(self, held: Held) -> None:
        found = await self._means.on_chain(held.channel_id)
        if found.status is ChannelStatus.OPEN:
            # We were about to close it, and the transaction came to nothing.
            await self._closing.start(held.channel_id)
            return
        await self._disputing.dispute(held.channel_id)
        head = await self._means.onchain.chain.head()
        if (
            found.status is ChannelStatus.SETTLED
            or head.timestamp_s >= found.deadline_s
        ):
            await self._settling.after_window(held.channel_id)

    def _is_over(self, held: Held, *, grace_s: int = 0) -> bool:
        return self._means.now_unix_s() >= held.life.expires_unix_s + grace_s

    def _is_due(self, held: Held) -> bool:
        deadline_s = held.life.deadline_s
        return deadline_s is None or self._means.now_unix_s() >= deadline_s
