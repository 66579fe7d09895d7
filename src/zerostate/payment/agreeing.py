"""What both ends sign beside payments: checked, signed, durable before it is sent."""

from dataclasses import replace
from typing import TypeVar

from zerostate.errors import (
    InsufficientBalanceError,
    PaymentError,
    SignatureError,
    StaleStateError,
)
from zerostate.evidence.ethereum import EthAddress, recover
from zerostate.payment.contract import close_digest, withdrawal_digest
from zerostate.payment.lifecycle import Pending, SignedFinal, SignedWithdrawal
from zerostate.payment.means import Held
from zerostate.units import Minor

S = TypeVar("S", SignedFinal, SignedWithdrawal)


def digest_of(held: Held, pending: Pending) -> bytes:
    """Return the 32-byte digest that both ends sign."""
    terms = held.state.terms
    match pending:
        case SignedFinal(final=final):
            return close_digest(terms.chain_id, terms.contract, terms.channel_id, final)
        case SignedWithdrawal(withdrawal=part):
            return withdrawal_digest(
                terms.chain_id, terms.contract, terms.channel_id, part
            )


def sign(held: Held, pending: Pending) -> bytes:
    """Return our signature, made in a span of its own."""
    party = held.means.party
    with party.tracer.trace_signature(held.channel_id):
        return party.key.sign(digest_of(held, pending)).signature


def check_payer(held: Held, pending: Pending) -> None:
    """Check the payer's signature.

    Raises:
        SignatureError: Another one signed, or something else was signed.
    """
    _check(held, pending, pending.payer_signature, held.state.terms.payer_address)


def with_payee(held: Held, ours: S, answer: S) -> S:
    """Return what we proposed with the payee's signature from its answer.

    Raises:
        SignatureError: It is not the payee's, or over something else.
    """
    address = held.state.terms.payee_address
    if address is None:
        raise PaymentError(f"{held.channel_id} is not agreed on yet")
    _check(held, ours, answer.payee_signature, address)
    return replace(ours, payee_signature=answer.payee_signature)


def next_nonce(held: Held) -> int:
    """Return a nonce above every one that was ever signed on the channel."""
    state, pending = held.state, held.life.pending
    used = [state.nonce]
    if state.proposed is not None:
        used.append(state.proposed.update.nonce)
    if isinstance(pending, SignedWithdrawal):
        used.append(pending.withdrawal.nonce)
    return max(used) + 1


def check_shares(held: Held, total_payer: Minor, total_payee: Minor) -> None:
    """Check that so much can have been withdrawn in all.

    Raises:
        StaleStateError: Less than was withdrawn already.
        InsufficientBalanceError: More than is the party's.
    """
    state, life = held.state, held.life
    net = state.balance_payee
    if total_payer < life.withdrawn_payer or total_payee < life.withdrawn_payee:
        raise StaleStateError("more than that was withdrawn already")
    # What the payee promised to deposit may not be there yet: it does not count.
    left_payer = state.terms.deposit - net - total_payer
    if left_payer < 0 or total_payee > net:
        raise InsufficientBalanceError(
            f"{total_payer} to the payer and {total_payee} to the payee in all; "
            f"{state.terms.deposit - net} and {net} are theirs"
        )


def _check(held: Held, pending: Pending, signature: bytes, address: EthAddress) -> None:
    with held.means.party.tracer.trace_signature_verification(held.channel_id):
        signer = recover(digest_of(held, pending), signature).signer
        if signer != address:
            raise SignatureError(f"signed by {signer}, not by {address}")
