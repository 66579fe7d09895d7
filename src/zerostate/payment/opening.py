"""The paying end of opening a channel: find one, or propose and fund a new one."""

import secrets
from typing import Final, final

from zerostate.errors import InsufficientBalanceError, PaymentError, RemoteError
from zerostate.evidence.channel import (
    SALT_BYTES,
    ChannelTerms,
    decode_state,
    open_terms,
    with_payee,
)
from zerostate.evidence.channel_update import OPENING
from zerostate.ids import ChannelId, PeerId
from zerostate.payment import wire
from zerostate.payment.funding import Funding
from zerostate.payment.lifecycle import Life, Phase
from zerostate.payment.means import Means
from zerostate.payment.proposing import counter_signed, proposed
from zerostate.payment.sharing import Sharing
from zerostate.payment.state import BindPayee, ChannelState, apply, new_channel
from zerostate.payment.store import PaymentStatus, Role
from zerostate.units import Minor


@final
class Opener:
    """Opens channels in which we pay."""

    def __init__(self, means: Means, funding: Funding, sharing: Sharing) -> None:
        self._sharing: Final = sharing
        self._means: Final = means
        self._party: Final = means.party
        self._ledger: Final = means.ledger
        self._funding: Final = funding

    async def open_channel(
        self,
        peer_id: PeerId,
        deposit: Minor,
        deposit_payee: Minor,
        ttl_s: int | None,
        *,
        needed: Minor | None,
    ) -> ChannelId:
        """See `ChannelManager.open_channel`."""
        self._party.check_deposit(deposit)
        if peer_id == self._party.peer_id:
            raise PaymentError("a channel with oneself")
        async with self._ledger.locks.hold(peer_id):
            least = deposit if needed is None else needed
            found = await self._usable_channel(peer_id, least)
            if found is not None and _is_ready(found):
                return found.channel_id
            if found is None:
                await self._check_room(peer_id)
                life = self._funding.new_life(deposit_payee, ttl_s)
                found = new_channel(self._new_terms(peer_id, deposit), life)
            with self._party.tracer.trace_open_channel(peer_id, found.channel_id):
                if not found.is_open:
                    await self._agree(found)
                if found.life is not None:
                    async with self._means.held(found.channel_id) as held:
                        await self._funding.fund(held)
        return found.channel_id

    async def require_means(
        self, peer_id: PeerId, deposit: Minor, *, needed: Minor
    ) -> None:
        """See `ChannelManager.require_means`."""
        self._party.check_deposit(deposit)
        if await self._usable_channel(peer_id, needed) is not None:
            return
        await self._check_room(peer_id)
        if self._means.chain is None:
            return
        chain = self._means.onchain.chain
        balance = await chain.balance(self._party.key.address)
        if balance < deposit:
            raise InsufficientBalanceError(
                f"account {self._party.key.address} has {balance} wei, and a channel "
                f"takes {deposit}; send it some, or set a smaller channel_deposit"
            )

    async def _usable_channel(
        self, peer_id: PeerId, needed: Minor
    ) -> ChannelState | None:
        rows = await self._ledger.store.channels(peer_id=peer_id, role=Role.PAYER)
        for row in rows:
            if row.life is not None and row.life.phase not in _USABLE:
                continue
            # Not held: whoever is to pay would wait for what is in flight, and come too
            # late to share the next state.
            state = await self._ledger.load(row.channel_id, Role.PAYER)
            if self._is_usable(state) and await self._spendable(state) >= needed:
                return state
        return None

    def _is_usable(self, state: ChannelState) -> bool:
        life, config = state.life, self._party.config
        if state.unsynced or state.terms.contract != config.contract:
            return False
        if life is None:
            return self._means.chain is None
        return (
            life.phase is Phase.OPENING or life.takes_payments
        ) and self._means.now_unix_s() < life.expires_unix_s

    async def _spendable(self, state: ChannelState) -> Minor:
        in_flight = state.proposed is not None
        promised = self._sharing.promised(state.channel_id, in_flight=in_flight)
        if state.proposed is None or state.proposed.update.task_id is None:
            return Minor(state.balance_payer - promised)
        payment = await self._ledger.store.payment(state.proposed.update.task_id)
        if payment is not None and payment.status is PaymentStatus.REFUSED:
            return Minor(0)
        more = state.proposed.update.net - state.balance_payee
        return Minor(state.balance_payer - more - promised)

    async def _check_room(self, peer_id: PeerId) -> None:
        in_all, with_peer = await self._ledger.store.count_channels(peer_id)
        config = self._party.config
        if in_all >= config.max_channels or with_peer >= config.max_channels_per_peer:
            raise PaymentError(
                f"{in_all} channels, {with_peer} of them with {peer_id}: as many as "
                "payment.max_channels or payment.max_channels_per_peer allows"
            )

    def _new_terms(self, peer_id: PeerId, deposit: Minor) -> ChannelTerms:
        return ChannelTerms(
            chain_id=self._party.config.chain_id,
            contract=self._party.config.contract,
            payer=self._party.peer_id,
            payer_address=self._party.key.address,
            payer_binding=self._party.binding,
            payee=peer_id,
            deposit=deposit,
            salt=secrets.token_bytes(SALT_BYTES),
        )

    async def _agree(self, state: ChannelState) -> None:
        state = proposed(self._party, state, OPENING, paid=Minor(0))
        proposal = await self._ledger.save(state, Role.PAYER)
        body = wire.encode_channel_open(_opening(proposal, state.life))
        try:
            reply = await self._means.request(
                state.terms.payee, wire.CHANNEL_OPEN, body
            )
        except RemoteError:
            # State 0 pays nothing, so a refused one may be forgotten.
            await self._ledger.forget_opening(state.channel_id)
            raise
        opened = decode_state(wire.decode_channel_opened(reply))
        binding = open_terms(opened.terms).payee_binding
        bound = apply(state, BindPayee(with_payee(state.terms, binding))).state
        await self._ledger.save(counter_signed(bound, opened), Role.PAYER)


_USABLE: Final = frozenset({Phase.OPENING, Phase.OPEN})


def _is_ready(state: ChannelState) -> bool:
    """Whether nothing is left to do before it takes payments."""
    return state.is_open and (state.life is None or state.life.phase is Phase.OPEN)


def _opening(proposal: bytes, life: Life | None) -> wire.Opening:
    if life is None:
        return wire.Opening(proposal)
    return wire.Opening(
        proposal, life.deposit_payee, life.window_s, life.expires_unix_s
    )
