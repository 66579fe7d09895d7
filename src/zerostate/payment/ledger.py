"""Channel states, between the pure machine and the store."""

from dataclasses import replace
from typing import Final, final

from zerostate.clock import Clock
from zerostate.errors import (
    ChannelNotFoundError,
    EvidenceError,
    PaymentError,
    StoreCorruptError,
)
from zerostate.evidence.channel import (
    ChannelTerms,
    ChannelUpdate,
    SignedState,
    decode_state,
    encode_state,
    encode_terms,
    open_terms,
    state_digest,
)
from zerostate.evidence.ethereum import RecoveredSignature, recover
from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment.locks import KeyedLocks
from zerostate.payment.state import Agreed, ChannelState, Proposed, restore
from zerostate.payment.store import (
    ChannelRow,
    PaymentRow,
    PaymentStatus,
    PaymentStore,
    Role,
)


@final
class Ledger:
    """Loads channels, and makes their new states durable before anyone acts on them.

    The store is the only truth: nothing is kept in memory between two operations, so
    there is no state that a crash could set apart from the disk's.
    """

    def __init__(self, store: PaymentStore, clock: Clock) -> None:
        self.store: Final = store
        self.locks: Final = KeyedLocks()
        """By channel, task or peer: taken in the order peer or task, then channel."""

        self._clock = clock

    async def load(
        self, channel_id: ChannelId, role: Role, *, peer_id: PeerId | None = None
    ) -> ChannelState:
        """Return the channel, verified anew.

        Raises:
            ChannelNotFoundError: There is none in which we are `role` (and the
                counterparty is `peer_id`).
            StoreCorruptError: What is stored does not verify.
        """
        row = await self.store.channel(channel_id)
        if row is None or row.role is not role or peer_id not in {None, row.peer_id}:
            whom = f" with {peer_id}" if peer_id else ""
            raise ChannelNotFoundError(
                f"no channel {channel_id}{whom} in which we are the {role}"
            )
        return restored(row)

    async def save(
        self,
        state: ChannelState,
        role: Role,
        *,
        interim: bool = False,
        trace_context: str | None = None,
    ) -> bytes:
        """Make `state`, and the payment in its newest update, durable.

        Args:
            state: The channel.
            role: Ours.
            interim: Whether the task that is paid goes on.
            trace_context: Of the payment's span.

        Returns:
            The newest update's bytes: the proposal in flight, else the co-signed state.

        Raises:
            ChannelFrozenError: Nothing is signed on it any more; nothing was written.
        """
        row = _row(state, role)
        newest = row.proposed or row.agreed
        if newest is None:
            raise ValueError(f"nobody has signed {state.channel_id} yet")
        payment = _payment(state, newest)
        if payment is not None:
            payment = replace(payment, interim=interim, trace_context=trace_context)
        await self.store.save(row, payment, now_unix_ns=self._clock.wall_ns())
        return newest

    async def keep(self, state: ChannelState, role: Role) -> None:
        """Make `state` durable where it is not about a payment: its life."""
        await self.store.save(
            _row(state, role), None, now_unix_ns=self._clock.wall_ns()
        )

    async def refuse(self, state: ChannelState) -> None:
        """Note that the payee refused the update in flight, which stays in flight."""
        row = _row(state, Role.PAYER)
        if row.proposed is None:
            raise ValueError(f"nothing is in flight on {state.channel_id}")
        payment = _payment(state, row.proposed, PaymentStatus.REFUSED)
        await self.store.save(row, payment, now_unix_ns=self._clock.wall_ns())


def restored(row: ChannelRow) -> ChannelState:
    """Return the channel in `row`, verified anew.

    Raises:
        StoreCorruptError: What is stored does not verify.
    """
    try:
        terms = open_terms(row.terms)
        agreed = _agreed(terms, decode_state(row.agreed)) if row.agreed else None
        proposed = (
            _proposed(terms, decode_state(row.proposed)) if row.proposed else None
        )
        return restore(terms, agreed, proposed, row.life, unsynced=row.unsynced)
    except (EvidenceError, PaymentError) as exc:
        raise StoreCorruptError(f"channel {row.channel_id}: {exc}") from exc


def agreed_bytes(state: ChannelState) -> bytes:
    """Return the newest co-signed state of an open channel, as bytes."""
    if state.agreed is None:
        raise ValueError(f"{state.channel_id} is not open")
    return _encoded(
        state.terms, state.agreed.update, state.agreed.payer, state.agreed.payee
    )


def _row(state: ChannelState, role: Role) -> ChannelRow:
    terms = state.terms
    agreed = agreed_bytes(state) if state.agreed else None
    proposed = (
        _encoded(terms, state.proposed.update, state.proposed.payer)
        if state.proposed
        else None
    )
    peer_id = terms.payee if role is Role.PAYER else terms.payer
    return ChannelRow(
        state.channel_id,
        peer_id,
        role,
        encode_terms(terms),
        agreed,
        proposed,
        state.life,
        state.unsynced,
    )


def _payment(
    state: ChannelState, newest: bytes, status: PaymentStatus | None = None
) -> PaymentRow | None:
    signed = state.proposed or state.agreed
    task_id: TaskId | None = signed.update.task_id if signed else None
    if signed is None or task_id is None:
        return None
    if status is None:
        status = PaymentStatus.PROPOSED if state.proposed else PaymentStatus.AGREED
    return PaymentRow(task_id, state.channel_id, signed.update.nonce, newest, status)


def _agreed(terms: ChannelTerms, state: SignedState) -> Agreed:
    digest = state_digest(terms, state.update)
    return Agreed(
        state.update,
        recover(digest, state.payer_signature),
        recover(digest, state.payee_signature),
    )


def _proposed(terms: ChannelTerms, state: SignedState) -> Proposed:
    digest = state_digest(terms, state.update)
    return Proposed(state.update, recover(digest, state.payer_signature))


def _encoded(
    terms: ChannelTerms,
    update: ChannelUpdate,
    payer: RecoveredSignature,
    payee: RecoveredSignature | None = None,
) -> bytes:
    return encode_state(
        SignedState(
            encode_terms(terms),
            update,
            payer.signature,
            payee.signature if payee else b"",
        )
    )
