"""How the payer puts a state in flight and takes the payee's signature on it."""

from zerostate.errors import SignatureError
from zerostate.evidence.channel import SignedState, state_digest
from zerostate.evidence.channel_update import ChannelUpdate
from zerostate.evidence.ethereum import recover
from zerostate.payment.party import Party
from zerostate.payment.state import (
    ChannelState,
    CounterSign,
    Propose,
    apply,
    check_next,
)
from zerostate.units import Minor


def proposed(
    party: Party, state: ChannelState, update: ChannelUpdate, *, paid: Minor
) -> ChannelState:
    """Return `state` with `update` in flight; signs only what is not signed yet.

    `paid` is what earlier updates have paid for the same task.

    Raises:
        PaymentError: The update may not come next; nothing was signed.
    """
    if state.proposed is not None:
        return state
    check_next(state, update, paid=paid)
    signature = party.sign(state.terms, update)
    return apply(state, Propose(update, signature, paid)).state


def counter_signed(state: ChannelState, answer: SignedState) -> ChannelState:
    """Return `state` agreed, by the payee's signature in `answer`; not durable yet.

    Raises:
        SignatureError: The answer is another state, or not signed by the payee.
    """
    if state.proposed is None or answer.update != state.proposed.update:
        raise SignatureError("the payee answered with another state")
    digest = state_digest(state.terms, answer.update)
    return apply(state, CounterSign(recover(digest, answer.payee_signature))).state
