"""Putting a channel's money on the chain, and seeing that it is there."""

import logging
from collections.abc import Callable
from typing import Final, final

import trio

from zerostate.errors import (
    ChannelFrozenError,
    ChannelNotFundedError,
    NotConfirmedError,
    PaymentError,
    RemoteError,
    TransactionRevertedError,
)
from zerostate.ids import ChannelId, PeerId
from zerostate.payment import wire
from zerostate.payment.chain import ChannelStatus, OnChainChannel
from zerostate.payment.config import MAX_TTL_S, MIN_TTL_S
from zerostate.payment.contract import peer_hash
from zerostate.payment.following import Follower
from zerostate.payment.lifecycle import Life, Phase
from zerostate.payment.means import Held, Means
from zerostate.payment.state import ChannelState
from zerostate.payment.store import Role
from zerostate.units import NS_PER_S, Minor

MIN_LEFT_S: Final = MIN_TTL_S // 2
"""Shortest life of a channel that is accepted, in seconds: the payer's proposal takes
some of it, and two clocks differ."""

WINDOW_PARTS: Final = 4
"""Payments are taken for this part of a channel's window after the chain was last seen;
the rest is left to answer a close in."""

Seen = Callable[[PeerId], None]
"""Is told the payer of a channel whose deposit we have seen."""

_log: Final = logging.getLogger(__name__)


def _nobody_asks(_peer_id: PeerId) -> None:
    pass


@final
class Funding:
    """Both ends of funding: the payer deposits, the payee looks before it trusts.

    Attributes:
        seen: Called when the payee has seen a channel's deposit, once it is durable.
    """

    def __init__(self, means: Means, follower: Follower) -> None:
        self.seen: Seen = _nobody_asks
        self._means = means
        self._follower = follower

    def new_life(self, deposit_payee: Minor, ttl_s: int | None) -> Life | None:
        """Return the life of a channel that we are about to propose.

        Raises:
            PaymentError: A deposit of the payee's or a time to live, but no chain.
        """
        config = self._means.party.config
        if self._means.chain is None:
            if deposit_payee or ttl_s is not None:
                raise PaymentError("only a channel on a chain has these; there is none")
            return None
        return Life(
            phase=Phase.OPENING,
            window_s=config.window_s,
            expires_unix_s=self._means.now_unix_s()
            + (config.ttl_s if ttl_s is None else ttl_s),
            deposit_payee=deposit_payee,
        )

    def accepted_life(self, opening: wire.Opening) -> Life | None:
        """Return the life of a channel that is proposed to us.

        Raises:
            PaymentError: We do not take part in such a channel; says what we take.
        """
        config = self._means.party.config
        if self._means.chain is None:
            if opening.window_s:
                raise PaymentError("we are on no chain: our channels are promises")
            return None
        if not config.window_s <= opening.window_s <= config.max_window_s:
            raise PaymentError(
                f"a challenge window of {opening.window_s} s; we take "
                f"{config.window_s} to {config.max_window_s}"
            )
        ttl_s = opening.expires_unix_s - self._means.now_unix_s()
        if not MIN_LEFT_S <= ttl_s <= MAX_TTL_S:
            raise PaymentError(
                f"it lives for {ttl_s} s from now; we take {MIN_LEFT_S} to {MAX_TTL_S}"
            )
        if opening.deposit_payee > config.max_own_deposit:
            raise PaymentError(
                f"a deposit of {opening.deposit_payee} from us; at most "
                f"{config.max_own_deposit}"
            )
        return Life(
            phase=Phase.OPENING,
            window_s=opening.window_s,
            expires_unix_s=opening.expires_unix_s,
            deposit_payee=opening.deposit_payee,
        )

    async def fund(self, held: Held) -> None:
        """Deposit as the payer, and have the payee see it; then the channel is open.

        What was done before is not done again. Only with the channel held.

        Raises:
            ChainError: The chain refused, or did not answer; calling again goes on.
            P2PError: The payee did not; likewise.
        """
        if held.life.phase is not Phase.OPENING:
            return
        await self._follower.anchor()
        await self._deposited(held.state, held.life)
        await self._seen_by_payee(held)
        await held.keep(held.life.frozen(Phase.OPEN))

    async def on_channel_funded(self, author: PeerId, body: bytes) -> bytes:
        """See `ChannelManager.on_channel_funded`."""
        channel_id = wire.decode_channel_funded(body)
        async with self._means.held(channel_id, peer_id=author) as held:
            held.require(Role.PAYEE)
            if held.life.phase is Phase.OPENING:
                await self._follower.anchor()
                await self.check_funded(held)
                await held.keep(held.life.frozen(Phase.OPEN))
                self.seen(author)
        return wire.encode_funded_seen(channel_id)

    async def check_funded(self, held: Held) -> None:
        """Look on the chain for the channel as it was agreed on.

        Raises:
            ChannelNotFundedError: It is not there, or not deep enough yet.
            PaymentError: It is there, and is not what was agreed on.
        """
        newest = await self._means.on_chain(held.channel_id)
        deep = await self._means.on_chain(held.channel_id, deep=True)
        if ChannelStatus.UNKNOWN in {newest.status, deep.status}:
            raise ChannelNotFundedError(
                f"{held.channel_id} is not on the chain, or not deep enough yet"
            )
        if newest.status is not ChannelStatus.OPEN:
            raise PaymentError(f"{held.channel_id} is being closed already")
        wrong = _differences(held.state, held.life, deep)
        if wrong:
            raise PaymentError(f"{held.channel_id} on the chain has another {wrong}")

    async def check_seen(self, channel_id: ChannelId, life: Life) -> None:
        """Check that nobody is closing the channel while we do not look.

        What is paid after a close that we see too late is lost. So when the chain was
        not followed for a part of the window, this looks for itself.

        Raises:
            ChannelNotFundedError: It is not on the chain any more.
            ChannelFrozenError: It is being closed.
            ChainError: The chain did not answer.
        """
        looked_ns, now_ns = self._follower.looked_ns, self._means.clock.monotonic_ns()
        unseen_ns = life.window_s * NS_PER_S // WINDOW_PARTS
        if looked_ns is not None and now_ns - looked_ns < unseen_ns:
            return
        found = await self._means.on_chain(channel_id)
        if found.status is ChannelStatus.UNKNOWN:
            raise ChannelNotFundedError(f"{channel_id} is not on the chain any more")
        if found.status is not ChannelStatus.OPEN:
            raise ChannelFrozenError(f"{channel_id} is being closed on the chain")

    async def deposit_own(self, held: Held) -> None:
        """Make the deposit that we agreed to as the payee, if it is not made yet.

        Raises:
            ChainError: The chain refused, or did not answer.
        """
        wanted = held.life.deposit_payee
        found = await self._means.on_chain(held.channel_id)
        if found.status is not ChannelStatus.OPEN or found.deposit_payee >= wanted:
            return
        amount = Minor(wanted - found.deposit_payee)
        await self._means.onchain.deposit(held.channel_id, amount, total=wanted)

    async def _deposited(self, state: ChannelState, life: Life) -> None:
        terms = state.terms
        if terms.payee_address is None:
            raise PaymentError(f"{state.channel_id} is not agreed on yet")
        found = await self._means.on_chain(state.channel_id)
        if found.status is ChannelStatus.UNKNOWN:
            try:
                await self._means.onchain.open_channel(
                    state.channel_id,
                    payee=terms.payee_address,
                    payee_peer_hash=peer_hash(terms.payee),
                    deposit=terms.deposit,
                    salt=terms.salt,
                    window_s=life.window_s,
                )
            except TransactionRevertedError:
                # One that was sent before a crash may have come first.
                found = await self._means.on_chain(state.channel_id)
                if found.status is ChannelStatus.UNKNOWN:
                    raise
        await self._deep_enough(state.channel_id)

    async def _deep_enough(self, channel_id: ChannelId) -> None:
        with trio.move_on_after(self._means.confirm_timeout_s):
            while True:
                found = await self._means.on_chain(channel_id, deep=True)
                if found.status is not ChannelStatus.UNKNOWN:
                    return
                await trio.sleep(self._means.poll_s)
        raise NotConfirmedError(f"{channel_id} is not deep enough in the chain yet")

    async def _seen_by_payee(self, held: Held) -> None:
        body = wire.encode_channel_funded(held.channel_id)
        last: RemoteError | None = None
        with trio.move_on_after(self._means.confirm_timeout_s):
            while True:
                try:
                    reply = await self._means.request(
                        held.peer_id, wire.CHANNEL_FUNDED, body
                    )
                except RemoteError as exc:
                    # Its node may be a block or two behind ours.
                    if exc.remote_code != ChannelNotFundedError.code:
                        raise
                    last = exc
                else:
                    wire.decode_funded_seen(reply)
                    return
                await trio.sleep(self._means.poll_s)
        raise ChannelNotFundedError(
            f"{held.peer_id} does not see {held.channel_id} on the chain: {last}"
        )


def _differences(state: ChannelState, life: Life, found: OnChainChannel) -> str:
    terms = state.terms
    same = {
        "payer": found.payer == terms.payer_address,
        "payee": found.payee == terms.payee_address,
        "deposit": found.deposit_payer >= terms.deposit,
        "window": found.window_s == life.window_s,
    }
    return ", ".join(name for name, is_same in same.items() if not is_same)
