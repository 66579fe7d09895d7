"""The channel as a pure state machine: ``(state, change) → (state, events)``.

No I/O, no clock, no keys: a signature arrives as a `RecoveredSignature`, which only
`zerostate.evidence.ethereum.recover` (or a signer) makes, and the machine checks that
it is the right party's, over exactly this update. Both ends run the same machine.

A channel carries one update at a time. The payer proposes (one signature), the payee
counter-signs (two): only then is it agreed. State 0 opens the channel the same way.

A task may be paid by several states, while it goes on. Each names all that was paid for
the task so far, so the newest says by itself what the task has cost. And one state may
pay for several tasks, each of them for the first and only time.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from zerostate.errors import (
    ChannelFrozenError,
    ChannelNotFundedError,
    InsufficientBalanceError,
    PaymentError,
    PriceError,
    SignatureError,
    StaleStateError,
)
from zerostate.evidence.channel import ChannelTerms, state_digest
from zerostate.evidence.channel_update import OPENING, ChannelUpdate, TaskPayment
from zerostate.evidence.ethereum import EthAddress, RecoveredSignature
from zerostate.ids import ChannelId, TaskId
from zerostate.payment.lifecycle import Life, Phase
from zerostate.units import Minor

_NOTHING = Minor(0)


@dataclass(frozen=True, slots=True)
class Proposed:
    """An update with the payer's signature only: in flight."""

    update: ChannelUpdate
    payer: RecoveredSignature


@dataclass(frozen=True, slots=True)
class Agreed:
    """An update with both signatures."""

    update: ChannelUpdate
    payer: RecoveredSignature
    payee: RecoveredSignature


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel, as one of its ends knows it. Make one with `new_channel`."""

    terms: ChannelTerms
    agreed: Agreed | None = None
    """The newest update that both signed; None until the channel is open."""

    proposed: Proposed | None = None
    """The update in flight, if any."""

    life: Life | None = None
    """What it has to do with a chain; None for a promise."""

    unsynced: bool = False
    """Restored from a backup, and not yet compared with the counterparty's."""

    @property
    def channel_id(self) -> ChannelId:
        """The channel's id."""
        return self.terms.channel_id

    @property
    def is_open(self) -> bool:
        """Whether both have signed state 0."""
        return self.agreed is not None

    @property
    def nonce(self) -> int:
        """The newest agreed nonce, a withdrawal's included; -1 before it is open."""
        if self.agreed is None:
            return -1
        return max(self.agreed.update.nonce, self.life.base_nonce if self.life else 0)

    @property
    def balance_payer(self) -> Minor:
        """What the payer can still spend, by the newest agreed update."""
        withdrawn = self.life.withdrawn_payer if self.life else 0
        return Minor(self.terms.deposit - withdrawn - self.balance_payee)

    @property
    def balance_payee(self) -> Minor:
        """What the payee has earned in all, by the newest agreed update."""
        return self.agreed.update.net if self.agreed else Minor(0)

    @property
    def exposure(self) -> Minor:
        """What of that the payee has not withdrawn yet."""
        withdrawn = self.life.withdrawn_payee if self.life else 0
        return Minor(max(0, self.balance_payee - withdrawn))


@dataclass(frozen=True, slots=True)
class Propose:
    """The payer signed an update."""

    update: ChannelUpdate
    signature: RecoveredSignature
    paid: Minor = _NOTHING
    """What earlier updates have paid for the same task."""


@dataclass(frozen=True, slots=True)
class BindPayee:
    """The payee's address became known, from a verified binding."""

    terms: ChannelTerms
    """The channel's terms with the payee's address (`with_payee`)."""


@dataclass(frozen=True, slots=True)
class CounterSign:
    """The payee signed the update in flight."""

    signature: RecoveredSignature


Change = Propose | BindPayee | CounterSign


@dataclass(frozen=True, slots=True)
class UpdateProposed:
    """An update is in flight now."""

    update: ChannelUpdate


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """Both signed state 0."""

    deposit: Minor


@dataclass(frozen=True, slots=True)
class PaymentAgreed:
    """Both signed an update that pays."""

    update: ChannelUpdate


Event = UpdateProposed | ChannelOpened | PaymentAgreed


@dataclass(frozen=True, slots=True)
class Transition:
    """What came of a change."""

    state: ChannelState
    events: tuple[Event, ...] = ()
    """Empty when the change said what was known already."""


def new_channel(terms: ChannelTerms, life: Life | None = None) -> ChannelState:
    """Return a channel that nobody has signed yet."""
    return ChannelState(terms, life=life)


def payment_update(
    state: ChannelState,
    amount: Minor,
    *,
    task_id: TaskId,
    receipt_sha256: str,
    paid: Minor = _NOTHING,
    others: tuple[TaskPayment, ...] = (),
) -> ChannelUpdate:
    """Return the update that pays next; `apply` judges whether it may.

    Args:
        state: The channel.
        amount: What the task has then been paid in all.
        task_id: The task.
        receipt_sha256: What the update names: the task's receipt, or its manifest.
        paid: What earlier updates have paid for the task.
        others: What else it pays for.
    """
    update = ChannelUpdate(
        state.nonce + 1, _NOTHING, task_id, receipt_sha256, amount, others
    )
    return replace(update, net=Minor(state.balance_payee + update.total - paid))


def check_next(
    state: ChannelState, update: ChannelUpdate, *, paid: Minor = _NOTHING
) -> None:
    """Check that `update` may come next, signatures apart.

    `paid` is what earlier updates have paid for the same task.

    Raises:
        ChannelFrozenError: The channel is not open (any more).
        StaleStateError: The nonce is not the next one, or another update is in flight.
        InsufficientBalanceError: The update pays more than is left.
        PriceError: The amount is not positive.
        PaymentError: The numbers do not add up.
    """
    if state.proposed is not None:
        raise StaleStateError(
            f"nonce {state.proposed.update.nonce} is in flight on {state.channel_id}"
        )
    if update.nonce != state.nonce + 1:
        raise StaleStateError(
            f"nonce {update.nonce} on {state.channel_id}; the next is {state.nonce + 1}"
        )
    if not state.is_open:
        if update != OPENING:
            raise PaymentError("state 0 opens a channel and cannot pay")
        return
    _check_takes_payments(state)
    _check_payments(update)
    if update.amount < paid:
        raise PriceError(f"{update.amount} in all, and {paid} was paid already")
    more = update.total - paid
    if more > state.balance_payer:
        raise InsufficientBalanceError(
            f"{more} is more than the {state.balance_payer} left on "
            f"{state.channel_id}; open a channel with a larger deposit"
        )
    if update.net != state.balance_payee + more:
        raise PaymentError(
            f"the payee's balance cannot become {update.net}: it is "
            f"{state.balance_payee} and the payment is {more}"
        )


def restore(
    terms: ChannelTerms,
    agreed: Agreed | None,
    proposed: Proposed | None,
    life: Life | None = None,
    *,
    unsynced: bool = False,
) -> ChannelState:
    """Return a channel as it was stored.

    Raises:
        SignatureError: A stored signature is not the right party's.
        StaleStateError: The stored proposal does not follow the agreed state.
    """
    state = ChannelState(terms, life=life, unsynced=unsynced)
    if agreed is not None:
        if terms.payee_address is None:
            raise SignatureError(f"the payee's address on {terms.channel_id} is gone")
        check = partial(_check_signature, state=state, update=agreed.update)
        check("payer", signature=agreed.payer, address=terms.payer_address)
        check("payee", signature=agreed.payee, address=terms.payee_address)
        state = replace(state, agreed=agreed)
    if proposed is None:
        return state
    agreed_nonce = -1 if agreed is None else agreed.update.nonce
    if proposed.update.nonce <= agreed_nonce:
        raise StaleStateError(f"nonce {proposed.update.nonce} after {agreed_nonce}")
    _check_signature(
        "payer", state, proposed.update, proposed.payer, terms.payer_address
    )
    return replace(state, proposed=proposed)


def apply(state: ChannelState, change: Change) -> Transition:
    """Return what `change` makes of `state`. A change applied twice changes nothing.

    Raises:
        ChannelFrozenError: The channel is not open (any more).
        StaleStateError: The nonce is not the next one, or another update is in flight.
        InsufficientBalanceError: The update pays more than is left.
        PriceError: The amount is not positive.
        SignatureError: The signature is not the right party's, or over something else.
        PaymentError: The numbers do not add up, or the channel is not that far.
    """
    match change:
        case Propose():
            return _propose(state, change)
        case BindPayee():
            return _bind_payee(state, change)
        case CounterSign():
            return _counter_sign(state, change)
        case _ as unreachable:
            assert_never(unreachable)


def _check_takes_payments(state: ChannelState) -> None:
    if state.unsynced:
        raise ChannelFrozenError(
            f"{state.channel_id} was restored from a backup; nothing is signed on it "
            "before the other end has told its newest state"
        )
    life = state.life
    if life is None or life.takes_payments:
        return
    if life.phase is Phase.OPENING:
        raise ChannelNotFundedError(
            f"the deposit of {state.channel_id} is not seen on the chain yet; retry"
        )
    why = "a withdrawal is being agreed on" if life.phase is Phase.OPEN else life.phase
    raise ChannelFrozenError(f"{state.channel_id} takes no payment now: {why}")


def _check_payments(update: ChannelUpdate) -> None:
    if not update.payments:
        raise PaymentError("a payment names a task and its receipt")
    for one in update.payments:
        if one.amount <= 0:
            raise PriceError(f"an amount of {one.amount}; only positive amounts pay")
        if not one.receipt_sha256:
            raise PaymentError("a payment names a task and its receipt")


def _propose(state: ChannelState, change: Propose) -> Transition:
    if state.proposed is not None and state.proposed.update == change.update:
        return Transition(state)
    check_next(state, change.update, paid=change.paid)
    _check_signature(
        "payer", state, change.update, change.signature, state.terms.payer_address
    )
    proposed = Proposed(change.update, change.signature)
    return Transition(
        replace(state, proposed=proposed), (UpdateProposed(change.update),)
    )


def _bind_payee(state: ChannelState, change: BindPayee) -> Transition:
    if state.terms == change.terms:
        return Transition(state)
    if state.terms.payee_address is not None:
        raise PaymentError(f"the payee's address on {state.channel_id} is fixed")
    if change.terms.channel_id != state.channel_id:
        raise PaymentError(f"terms of another channel than {state.channel_id}")
    return Transition(replace(state, terms=change.terms))


def _counter_sign(state: ChannelState, change: CounterSign) -> Transition:
    if state.proposed is None:
        if state.agreed is not None and state.agreed.payee == change.signature:
            return Transition(state)
        raise StaleStateError(f"nothing is in flight on {state.channel_id}")
    if state.terms.payee_address is None:
        raise PaymentError(f"the payee's address on {state.channel_id} is not known")
    update = state.proposed.update
    _check_signature(
        "payee", state, update, change.signature, state.terms.payee_address
    )
    agreed = Agreed(update, state.proposed.payer, change.signature)
    event: Event = (
        ChannelOpened(state.terms.deposit)
        if update.nonce == 0
        else PaymentAgreed(update)
    )
    return Transition(replace(state, agreed=agreed, proposed=None), (event,))


def _check_signature(
    role: str,
    state: ChannelState,
    update: ChannelUpdate,
    signature: RecoveredSignature,
    address: EthAddress,
) -> None:
    if signature.digest != state_digest(state.terms, update):
        raise SignatureError(f"the {role} signed something else than this update")
    if signature.signer != address:
        raise SignatureError(f"signed by {signature.signer}; the {role} is {address}")
