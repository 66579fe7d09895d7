"""The channel state machine under any order of right, wrong and repeated changes."""

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from zerostate.errors import (
    InsufficientBalanceError,
    PaymentError,
    PriceError,
    SignatureError,
    StaleStateError,
)
from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import (
    ChannelTerms,
    state_digest,
    with_payee,
)
from zerostate.evidence.channel_update import OPENING, ChannelUpdate, TaskPayment
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthKey, recover
from zerostate.evidence.identity import Identity
from zerostate.ids import TaskId
from zerostate.payment.state import (
    CounterSign,
    PaymentAgreed,
    Propose,
    apply,
    new_channel,
    payment_update,
    restore,
)
from zerostate.units import Minor

PAYER, PAYEE = Identity(b"\x01" * 32), Identity(b"\x02" * 32)
PAYER_KEY, PAYEE_KEY, STRANGER_KEY = (EthKey(bytes((n,)) * 32) for n in (1, 2, 3))
DEPOSIT = 1000
RECEIPT = "ab" * 32


def task(number: int) -> TaskId:
    return TaskId(f"task-{number:032x}")


def channel(salt: bytes):
    terms = ChannelTerms(
        chain_id=31337,
        contract=ZERO_ADDRESS,
        payer=PAYER.peer_id,
        payer_address=PAYER_KEY.address,
        payer_binding=make_binding(PAYER, PAYER_KEY),
        payee=PAYEE.peer_id,
        deposit=Minor(DEPOSIT),
        salt=salt,
    )
    return new_channel(with_payee(terms, make_binding(PAYEE, PAYEE_KEY)))


class ChannelMachine(RuleBasedStateMachine):
    """Drives one channel; a model of plain numbers says what must come out."""

    def __init__(self) -> None:
        super().__init__()
        self.state = channel(b"\x07" * 32)
        self.paid = 0
        self.nonce = -1
        self.past: list[Propose | CounterSign] = []

    def refused(self, change, *errors):
        with pytest.raises(errors):
            apply(self.state, change)

    def signed(self, update: ChannelUpdate, key: EthKey = PAYER_KEY) -> Propose:
        digest = state_digest(self.state.terms, update)
        return Propose(update, recover(digest, key.sign(digest).signature))

    def counter(self, key: EthKey = PAYEE_KEY) -> CounterSign:
        digest = state_digest(self.state.terms, self.state.proposed.update)
        return CounterSign(recover(digest, key.sign(digest).signature))

    def next_update(self, amount: int, *others: int) -> ChannelUpdate:
        return payment_update(
            self.state,
            Minor(amount),
            task_id=task(self.nonce + 1),
            receipt_sha256=RECEIPT,
            others=tuple(
                TaskPayment(task(1000 * (number + 1)), RECEIPT, Minor(other))
                for number, other in enumerate(others)
            ),
        )

    def accept(self, change):
        transition = apply(self.state, change)
        self.state = transition.state
        self.past.append(change)
        again = apply(self.state, change)
        assert (again.state, again.events) == (self.state, ())
        return transition.events

    @initialize()
    def open(self):
        self.accept(self.signed(OPENING))
        self.refused(self.counter(PAYER_KEY), SignatureError)
        self.accept(self.counter())
        self.nonce = 0

    @precondition(lambda self: self.state.proposed is None)
    @rule(amount=st.integers(min_value=1, max_value=DEPOSIT * 2))
    def propose(self, amount):
        change = self.signed(self.next_update(amount))
        if amount > DEPOSIT - self.paid:
            self.refused(change, InsufficientBalanceError)
        else:
            (event,) = self.accept(change)
            assert event.update.amount == amount

    @precondition(lambda self: self.state.proposed is None)
    @rule(amounts=st.lists(st.integers(1, DEPOSIT // 3), min_size=2, max_size=16))
    def propose_for_several(self, amounts):
        change = self.signed(self.next_update(*amounts))
        if sum(amounts) > DEPOSIT - self.paid:
            self.refused(change, InsufficientBalanceError)
        else:
            (event,) = self.accept(change)
            assert [one.amount for one in event.update.payments] == amounts

    @precondition(lambda self: self.state.proposed is None and self.paid < DEPOSIT - 2)
    @rule(amount=st.integers(max_value=0), is_first=st.booleans())
    def propose_nothing_or_less_for_one_of_several(self, amount, is_first):
        update = self.next_update(*((amount, 2) if is_first else (2, amount)))
        self.refused(Propose(update, PAYER_KEY.sign(b"\0" * 32)), PriceError)

    @precondition(lambda self: self.state.proposed is None and self.paid < DEPOSIT - 6)
    @rule(data=st.data())
    def propose_what_was_signed_otherwise(self, data):
        """Signed for the same sum, other tasks or another order: not signed at all."""
        signed = self.next_update(1, 2, 3)
        _one, two, three = signed.payments
        shown = data.draw(
            st.sampled_from(
                [
                    replace(signed, others=(three, two)),
                    replace(signed, others=(), amount=signed.total),
                    replace(signed, others=(replace(two, amount=Minor(5)),)),
                    replace(signed, receipt_sha256="cd" * 32),
                    replace(signed, others=(two, replace(three, task_id=task(77)))),
                ]
            )
        )
        assert (shown.total, shown.net) == (signed.total, signed.net)
        change = Propose(shown, self.signed(signed).signature)
        self.refused(change, SignatureError)

    @precondition(lambda self: self.state.proposed is None)
    @rule(amount=st.integers(max_value=0))
    def propose_nothing_or_less(self, amount):
        update = ChannelUpdate(
            self.nonce + 1,
            Minor(self.paid + amount),
            task(0),
            RECEIPT,
            Minor(amount),
        )
        change = Propose(update, PAYER_KEY.sign(b"\0" * 32))
        self.refused(change, PriceError)

    @precondition(lambda self: self.state.proposed is None and self.paid < DEPOSIT)
    @rule(skip=st.integers(min_value=-5, max_value=5).filter(bool))
    def propose_with_another_nonce(self, skip):
        good = self.next_update(1)
        nonce = max(0, good.nonce + skip)
        if nonce == good.nonce:
            return
        update = ChannelUpdate(nonce, good.net, good.task_id, RECEIPT, Minor(1))
        self.refused(self.signed(update), StaleStateError)

    @precondition(lambda self: self.state.proposed is None and self.paid < DEPOSIT)
    @rule(off=st.integers(min_value=-DEPOSIT, max_value=DEPOSIT).filter(bool))
    def propose_a_sum_that_does_not_add_up(self, off):
        good = self.next_update(1)
        net = Minor(max(0, good.net + off))
        if net == good.net:
            return
        update = ChannelUpdate(good.nonce, net, good.task_id, RECEIPT, Minor(1))
        self.refused(self.signed(update), PaymentError)

    @precondition(lambda self: self.state.proposed is None and self.paid < DEPOSIT)
    @rule(key=st.sampled_from([PAYEE_KEY, STRANGER_KEY]))
    def propose_with_anothers_signature(self, key):
        self.refused(self.signed(self.next_update(1), key), SignatureError)

    @precondition(lambda self: self.state.proposed is None and self.paid < DEPOSIT)
    @rule()
    def propose_with_a_signature_for_another_channel(self):
        update = self.next_update(1)
        digest = state_digest(channel(b"\x08" * 32).terms, update)
        self.refused(Propose(update, PAYER_KEY.sign(digest)), SignatureError)

    @precondition(lambda self: self.state.proposed is not None)
    @rule()
    def propose_a_second_one(self):
        inflight = self.state.proposed.update
        update = ChannelUpdate(
            inflight.nonce, inflight.net, task(999), RECEIPT, inflight.amount
        )
        self.refused(self.signed(update), StaleStateError)

    @precondition(lambda self: self.state.proposed is not None)
    @rule()
    def counter_sign(self):
        update = self.state.proposed.update
        assert self.accept(self.counter()) == (PaymentAgreed(update),)
        self.paid += sum(one.amount for one in update.payments)
        self.nonce += 1

    @precondition(lambda self: self.state.proposed is not None)
    @rule(key=st.sampled_from([PAYER_KEY, STRANGER_KEY]))
    def counter_sign_with_anothers_key(self, key):
        self.refused(self.counter(key), SignatureError)

    @precondition(lambda self: len(self.past) > 4)
    @rule(data=st.data())
    def replay(self, data):
        change = data.draw(st.sampled_from(self.past[:-2]))
        self.refused(change, StaleStateError, SignatureError)

    @rule()
    def store_and_load(self):
        loaded = restore(self.state.terms, self.state.agreed, self.state.proposed)
        assert loaded == self.state

    @invariant()
    def money_is_neither_made_nor_lost(self):
        assert self.state.balance_payer + self.state.balance_payee == DEPOSIT
        assert min(self.state.balance_payer, self.state.balance_payee) >= 0
        assert self.state.balance_payee == self.paid

    @invariant()
    def the_nonce_counts_agreed_states(self):
        assert self.state.nonce == self.nonce

    @invariant()
    def what_is_agreed_carries_both_signatures(self):
        agreed = self.state.agreed
        if agreed is None:
            return
        digest = state_digest(self.state.terms, agreed.update)
        signers = [
            recover(digest, part.signature).signer
            for part in (agreed.payer, agreed.payee)
        ]
        assert signers == [PAYER_KEY.address, PAYEE_KEY.address]


TestChannelMachine = ChannelMachine.TestCase
TestChannelMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None
)
