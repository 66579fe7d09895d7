"""The paying end: open a channel, pay on it."""

import secrets
from typing import Final, final

import trio

from zerostate.errors import (
    PaymentError,
    PriceError,
    RemoteError,
    RequestTimeoutError,
    SignatureError,
)
from zerostate.evidence.channel import (
    OPENING,
    SALT_BYTES,
    ChannelTerms,
    ChannelUpdate,
    SignedState,
    decode_state,
    open_terms,
    state_digest,
    with_payee,
)
from zerostate.evidence.ethereum import recover
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment import wire
from zerostate.payment.ledger import Ledger, agreed_bytes
from zerostate.payment.model import Counterparty, Payment
from zerostate.payment.party import Party
from zerostate.payment.state import (
    BindPayee,
    ChannelState,
    CounterSign,
    Propose,
    apply,
    check_next,
    new_channel,
    payment_update,
)
from zerostate.payment.store import PaymentRow, PaymentStatus, Role
from zerostate.units import Minor


@final
class Payer:
    """Proposes states and takes the payee's signatures.

    A proposal is durable before it is sent. From then on it is the only one for its
    nonce: it is sent again, the same bytes, until the payee's signature is here.
    """

    def __init__(
        self, party: Party, ledger: Ledger, counterparty: Counterparty
    ) -> None:
        self._party: Final = party
        self._ledger: Final = ledger
        self._counterparty: Final = counterparty

    async def open_channel(
        self, peer_id: PeerId, deposit: Minor, *, needed: Minor | None = None
    ) -> ChannelId:
        """See `ChannelManager.open_channel`."""
        self._party.check_deposit(deposit)
        if peer_id == self._party.peer_id:
            raise PaymentError("a channel with oneself")
        async with self._ledger.locks.hold(peer_id):
            least = deposit if needed is None else needed
            found = await self._usable_channel(peer_id, least)
            if found is not None and found.is_open:
                return found.channel_id
            if found is None:
                await self._check_room(peer_id)
                found = new_channel(self._new_terms(peer_id, deposit))
            with self._party.tracer.trace_open_channel(found.channel_id, peer_id):
                await self._open(found)
        return found.channel_id

    async def pay(
        self, channel_id: ChannelId, amount: Minor, *, task_id: TaskId, receipt: bytes
    ) -> Payment:
        """See `ChannelManager.pay`."""
        receipt_hash = receipt_sha256(receipt)
        async with self._ledger.locks.hold(task_id):
            begun = await self._ledger.store.payment(task_id)
            if begun is not None:
                channel_id = begun.channel_id
            async with self._ledger.locks.hold(channel_id):
                # Another task may have finished it while we waited.
                begun = await self._ledger.store.payment(task_id)
                state = await self._ledger.load(channel_id, Role.PAYER)
                if begun is not None:
                    return await self._finish(state, begun, amount, receipt_hash)
                if state.proposed is not None:
                    state = await self._finish_earlier(state, state.proposed.update)
                update = payment_update(
                    state, amount, task_id=task_id, receipt_sha256=receipt_hash
                )
                return _payment(await self._transact(state, update))

    async def _usable_channel(
        self, peer_id: PeerId, needed: Minor
    ) -> ChannelState | None:
        rows = await self._ledger.store.channels(peer_id=peer_id, role=Role.PAYER)
        for row in rows:
            async with self._ledger.locks.hold(row.channel_id):
                state = await self._ledger.load(row.channel_id, Role.PAYER)
                if await self._spendable(state) >= needed:
                    return state
        return None

    async def _spendable(self, state: ChannelState) -> Minor:
        if state.proposed is None or state.proposed.update.task_id is None:
            return state.balance_payer
        payment = await self._ledger.store.payment(state.proposed.update.task_id)
        if payment is not None and payment.status is PaymentStatus.REFUSED:
            return Minor(0)
        return Minor(state.balance_payer - state.proposed.update.amount)

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

    async def _open(self, state: ChannelState) -> ChannelState:
        state = await self._proposed(state, OPENING)
        proposal = await self._ledger.save(state, Role.PAYER)
        body = wire.encode_channel_open(wire.Opening(proposal))
        try:
            reply = await self._request(state.terms.payee, wire.CHANNEL_OPEN, body)
        except RemoteError:
            # State 0 pays nothing, so a refused one may be forgotten.
            await self._ledger.forget_opening(state.channel_id)
            raise
        opened = decode_state(wire.decode_channel_opened(reply))
        binding = open_terms(opened.terms).payee_binding
        bound = apply(state, BindPayee(with_payee(state.terms, binding))).state
        return await self._counter_signed(bound, opened)

    async def _finish(
        self, state: ChannelState, begun: PaymentRow, amount: Minor, receipt_hash: str
    ) -> Payment:
        update = decode_state(begun.state).update
        if (update.amount, update.receipt_sha256) != (amount, receipt_hash):
            raise PriceError(
                f"{begun.task_id} is being paid already, with {update.amount} for "
                f"receipt {update.receipt_sha256[:16]}…; nothing was paid again"
            )
        if begun.status is PaymentStatus.AGREED:
            return Payment(
                begun.channel_id, amount, begun.nonce, begun.task_id, begun.state
            )
        return _payment(await self._transact(state, update))

    async def _finish_earlier(
        self, state: ChannelState, update: ChannelUpdate
    ) -> ChannelState:
        if update.task_id is None:
            raise PaymentError(f"{state.channel_id} is not open yet")
        try:
            return await self._transact(state, update)
        except RemoteError as exc:
            raise PaymentError(
                f"{state.channel_id} cannot be used before the payee signs nonce "
                f"{update.nonce} ({update.task_id}), which it refuses: {exc}; open "
                "another channel"
            ) from exc

    async def _transact(
        self, state: ChannelState, update: ChannelUpdate
    ) -> ChannelState:
        tracer = self._party.tracer
        task_id = update.task_id
        if task_id is None:
            raise ValueError("state 0 is not a payment")
        with tracer.trace_payment(
            state.channel_id, update.amount, update.nonce, task_id
        ) as span:
            state = await self._proposed(state, update)
            body = await self._send_update(state)
            answer = decode_state(wire.decode_payment_accepted(body))
            state = await self._counter_signed(state, answer)
            tracer.record_state(span, agreed_bytes(state), update.nonce)
        return state

    async def _send_update(self, state: ChannelState) -> bytes:
        body = wire.encode_payment_update(await self._ledger.save(state, Role.PAYER))
        try:
            return await self._request(state.terms.payee, wire.PAYMENT_UPDATE, body)
        except RemoteError:
            await self._ledger.refuse(state)
            raise

    async def _proposed(
        self, state: ChannelState, update: ChannelUpdate
    ) -> ChannelState:
        """Return `state` with `update` in flight; signs only what is not signed yet."""
        if state.proposed is not None:
            return state
        check_next(state, update)
        signature = self._party.sign(state.terms, update)
        return apply(state, Propose(update, signature)).state

    async def _counter_signed(
        self, state: ChannelState, answer: SignedState
    ) -> ChannelState:
        """Check the payee's signature in `answer` and make the agreed state durable."""
        if state.proposed is None or answer.update != state.proposed.update:
            raise SignatureError("the payee answered with another state")
        digest = state_digest(state.terms, answer.update)
        signature = recover(digest, answer.payee_signature)
        state = apply(state, CounterSign(signature)).state
        await self._ledger.save(state, Role.PAYER)
        return state

    async def _request(self, peer_id: PeerId, message_type: str, body: bytes) -> bytes:
        timeout_s = self._party.config.request_timeout_s
        with trio.move_on_after(timeout_s):
            return await self._counterparty.request(peer_id, message_type, body)
        raise RequestTimeoutError(
            f"{peer_id} did not answer {message_type} within {timeout_s:g} s; the same "
            "call sends the same state again"
        )


def _payment(state: ChannelState) -> Payment:
    """Return the payment in the newest agreed update."""
    if state.agreed is None or state.agreed.update.task_id is None:
        raise ValueError(f"nothing was paid on {state.channel_id} yet")
    update, task_id = state.agreed.update, state.agreed.update.task_id
    return Payment(
        state.channel_id, update.amount, update.nonce, task_id, agreed_bytes(state)
    )
