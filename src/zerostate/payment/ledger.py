"""Channel states, between the pure machine and the store."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    SignedState,
    decode_state,
    encode_state,
    encode_terms,
    open_terms,
    state_digest,
)
from zerostate.evidence.ethereum import recover
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
from zerostate.units import Minor

MAX_IN_MEMORY: Final = 2048
"""Channels kept in memory, about 6 KB each. Those beyond are read, and their four
signatures verified, each time they are used."""

TraceContexts = Mapping[TaskId, str | None]
"""W3C ``traceparent`` of the span that pays for each task."""

_NO_CONTEXTS: Final[TraceContexts] = {}

OnSaved = Callable[[ChannelState, ChannelRow], None]
"""Told of a channel, and of how it was made durable."""


@final
class Ledger:
    """Loads channels, and makes their new states durable before anyone acts on them.

    The newest channels that were used (`MAX_IN_MEMORY`) are also kept in memory, verified.
    That is safe because the store is locked by this process alone, and because what is
    in memory changes only after the commit that made it durable: a crash finds on the
    disk all that anybody acted on. Whoever writes channels or their lives past this
    class calls `forget`.
    """

    def __init__(
        self,
        store: PaymentStore,
        clock: Clock,
        *,
        max_in_memory: int = MAX_IN_MEMORY,
    ) -> None:
        self.store: Final = store
        self.locks: Final = KeyedLocks()
        """By channel, task or peer: taken in the order peer or task, then channel."""

        self.on_saved: OnSaved = _nobody_asks
        """Called with each channel whose newest state has become durable; must be
        quick and not raise."""

        self._clock = clock
        self._kept: OrderedDict[ChannelId, _Kept] = OrderedDict()
        self._max_in_memory = max_in_memory
        self._writes = 0

    async def load(
        self, channel_id: ChannelId, role: Role, *, peer_id: PeerId | None = None
    ) -> ChannelState:
        """Return the channel, verified. Who is to change it holds its lock.

        Raises:
            ChannelNotFoundError: There is none in which we are `role` (and the
                counterparty is `peer_id`).
            StoreCorruptError: What is stored does not verify.
        """
        kept = self._kept.get(channel_id)
        if kept is None:
            kept = await self._read(channel_id)
        else:
            self._kept.move_to_end(channel_id)
        if (
            kept is None
            or kept.row.role is not role
            or peer_id not in {None, kept.row.peer_id}
        ):
            whom = f" with {peer_id}" if peer_id else ""
            raise ChannelNotFoundError(
                f"no channel {channel_id}{whom} in which we are the {role}"
            )
        return kept.state

    def forget(self, channel_id: ChannelId) -> None:
        """Read the channel from the disk when it is used next."""
        self._forget(channel_id)

    async def forget_opening(self, channel_id: ChannelId) -> None:
        """Delete a channel that was never agreed on; others are left alone."""
        self.forget(channel_id)
        await self.store.forget_opening(channel_id)

    async def save(
        self,
        state: ChannelState,
        role: Role,
        *,
        interim: bool = False,
        paid: Minor = Minor(0),  # noqa: B008  # a NewType of an int
        trace_contexts: TraceContexts = _NO_CONTEXTS,
    ) -> bytes:
        """Make `state`, and the payments in its newest update, durable.

        Args:
            state: The channel.
            role: Ours.
            interim: Whether the task that is paid goes on.
            paid: What earlier states have paid for it.
            trace_contexts: Of each payment's span.

        Returns:
            The newest update's bytes: the proposal in flight, else the co-signed state.

        Raises:
            ChannelFrozenError: Nothing is signed on it any more; nothing was written.
        """
        row = self._row(state, role)
        newest = row.proposed or row.agreed
        if newest is None:
            raise ValueError(f"nobody has signed {state.channel_id} yet")
        payments = _payments(
            state, newest, interim=interim, paid=paid, trace_contexts=trace_contexts
        )
        await self._write(state, row, payments)
        return newest

    async def keep(self, state: ChannelState, role: Role) -> None:
        """Make `state` durable where it is not about a payment: its life."""
        await self._write(state, self._row(state, role), ())

    async def save_compared(self, state: ChannelState, role: Role) -> None:
        """As `save`, for a state that the other end knew and we had forgotten.

        The payments in it are kept too, as far as we know nothing else of their tasks.
        """
        row = self._row(state, role)
        payments = []
        for payment in _payments(state, row.agreed or b""):
            known = await self.store.payment(payment.task_id)
            if known is None:
                payments.append(payment)
            else:
                payments.append(
                    replace(payment, interim=known.interim, paid=known.paid)
                )
        await self._write_compared(state, row, payments)

    async def keep_compared(self, state: ChannelState, role: Role) -> None:
        """Note that both ends have compared their states, and ours is the newest."""
        await self._write_compared(state, self._row(state, role), ())

    async def refuse(
        self,
        state: ChannelState,
        *,
        interim: bool = False,
        paid: Minor = Minor(0),  # noqa: B008  # a NewType of an int
    ) -> None:
        """Note that the payee refused the update in flight, which stays in flight."""
        row = self._row(state, Role.PAYER)
        if row.proposed is None:
            raise ValueError(f"nothing is in flight on {state.channel_id}")
        payments = _payments(
            state,
            row.proposed,
            status=PaymentStatus.REFUSED,
            interim=interim,
            paid=paid,
        )
        await self._write(state, row, payments)

    def agreed(self, state: ChannelState) -> bytes:
        """Return the newest co-signed state of an open channel, as bytes."""
        kept = self._kept.get(state.channel_id)
        if kept is not None and kept.state is state and kept.row.agreed:
            return kept.row.agreed
        return agreed_bytes(state)

    async def _read(self, channel_id: ChannelId) -> "_Kept | None":
        writes = self._writes
        row = await self.store.channel(channel_id)
        if channel_id in self._kept:
            return self._kept[channel_id]
        if row is None:
            return None
        # Somebody looks without the lock: what was read may be old already.
        if writes != self._writes:
            return _Kept(restored(row), row)
        return self._remember(restored(row), row)

    async def _write(
        self, state: ChannelState, row: ChannelRow, payments: Sequence[PaymentRow]
    ) -> None:
        before = self._forget(state.channel_id)
        await self.store.save(
            row,
            *payments,
            now_unix_ns=self._clock.wall_ns(),
            with_life=before is None or before.row.life != row.life,
        )
        self._remember(state, row)
        self.on_saved(state, row)

    async def _write_compared(
        self, state: ChannelState, row: ChannelRow, payments: Sequence[PaymentRow]
    ) -> None:
        self._forget(state.channel_id)
        await self.store.save_compared(
            row, *payments, now_unix_ns=self._clock.wall_ns()
        )
        self._remember(state, row)
        self.on_saved(state, row)

    def _forget(self, channel_id: ChannelId) -> "_Kept | None":
        self._writes += 1
        return self._kept.pop(channel_id, None)

    def _remember(self, state: ChannelState, row: ChannelRow) -> "_Kept":
        kept = self._kept[state.channel_id] = _Kept(state, row)
        if len(self._kept) > self._max_in_memory:
            self._kept.popitem(last=False)
        return kept

    def _row(self, state: ChannelState, role: Role) -> ChannelRow:
        """Return what to store; what is stored already is not encoded again."""
        terms, agreed, proposed = state.terms, state.agreed, state.proposed
        kept = self._kept.get(state.channel_id)
        same = kept is not None and kept.state.terms is terms
        terms_bytes = kept.row.terms if kept and same else encode_terms(terms)
        if kept and same and kept.state.agreed is agreed:
            agreed_row = kept.row.agreed
        else:
            agreed_row = _agreed_bytes(terms_bytes, agreed) if agreed else None
        if kept and same and kept.state.proposed is proposed:
            proposed_row = kept.row.proposed
        else:
            proposed_row = _proposed_bytes(terms_bytes, proposed) if proposed else None
        return ChannelRow(
            state.channel_id,
            terms.payee if role is Role.PAYER else terms.payer,
            role,
            terms_bytes,
            agreed_row,
            proposed_row,
            state.life,
            state.unsynced,
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    state: ChannelState
    row: ChannelRow


def _nobody_asks(_state: ChannelState, _row: ChannelRow) -> None:
    pass


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


def agreed_of(terms: ChannelTerms, state: bytes) -> Agreed:
    """Return a co-signed state as the machine has it.

    Raises:
        EvidenceError: Malformed.
        SignatureError: A signature is none.
    """
    return _agreed(terms, decode_state(state))


def agreed_bytes(state: ChannelState) -> bytes:
    """Return the newest co-signed state of an open channel, as bytes."""
    if state.agreed is None:
        raise ValueError(f"{state.channel_id} is not open")
    return _agreed_bytes(encode_terms(state.terms), state.agreed)


def _payments(
    state: ChannelState,
    newest: bytes,
    *,
    status: PaymentStatus | None = None,
    interim: bool = False,
    paid: Minor = Minor(0),  # noqa: B008  # a NewType of an int
    trace_contexts: TraceContexts = _NO_CONTEXTS,
) -> tuple[PaymentRow, ...]:
    """Return what the newest update pays; `interim` and `paid` are of its one task."""
    signed = state.proposed or state.agreed
    if signed is None:
        return ()
    if status is None:
        status = PaymentStatus.PROPOSED if state.proposed else PaymentStatus.AGREED
    return tuple(
        PaymentRow(
            one.task_id,
            state.channel_id,
            signed.update.nonce,
            newest,
            status,
            trace_contexts.get(one.task_id),
            interim,
            paid,
        )
        for one in signed.update.payments
    )


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


def _agreed_bytes(terms: bytes, agreed: Agreed) -> bytes:
    payer, payee = agreed.payer.signature, agreed.payee.signature
    return encode_state(SignedState(terms, agreed.update, payer, payee))


def _proposed_bytes(terms: bytes, proposed: Proposed) -> bytes:
    return encode_state(SignedState(terms, proposed.update, proposed.payer.signature))
