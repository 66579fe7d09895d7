"""`zerostate trace verify` on a channel state that pays for several tasks."""

from dataclasses import replace

import pytest

from zerostate.evidence.channel import decode_state, encode_state
from zerostate.evidence.channel_update import ChannelUpdate, TaskPayment
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import new_task_id
from zerostate.semconv import attributes as attr
from zerostate.units import Minor

STATE = attr.EVENT_PAYMENT_STATE
PRICE = attr.PAYMENT_AMOUNT.replace(".", "__")


def part_of(story, **changes):
    """Return what pays for a story's task as it should be, or otherwise."""
    receipt = story.receipt
    part = TaskPayment(
        receipt.task_id, receipt_sha256(story.sealed_receipt), receipt.price
    )
    return replace(part, **changes)


def stranger(amount=7):
    return TaskPayment(new_task_id(), "5e" * 32, Minor(amount))


def shared(*parts, nonce=1, before=0):
    """Return the state that pays for `parts` together."""
    first, *others = parts
    total = sum(one.amount for one in parts)
    return ChannelUpdate(
        nonce,
        Minor(before + total),
        first.task_id,
        first.receipt_sha256,
        first.amount,
        tuple(others),
    )


def paid_by(story, *parts):
    """Return the story with a state that pays for `parts` in place of its own."""
    return story.with_evidence(STATE, story.signed(shared(*parts)))


def rows(found):
    return {row.name: row for row in found.rows}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_shared_state_verifies_wherever_the_task_stands_in_it(story, place):
    parts = [stranger(), stranger(9)]
    parts.insert(place, part_of(story))

    verified = paid_by(story, *parts).verify()

    found = verified.found
    assert (found.verdict, found.reasons) == ("verified", ())
    price = str(story.receipt.price)
    assert (rows(found)["price"].claimed, rows(found)["price"].paid) == (
        (price,),
        price,
    )
    assert rows(found)["task_id"].paid == story.receipt.task_id
    told = verified.as_json()["payment"]
    assert (told["amount"], told["net"]) == (
        story.receipt.price,
        story.receipt.price + 16,
    )


def test_two_tasks_of_one_state_verify_each_in_its_own_trace(story, other_story):
    both = story.signed(shared(part_of(story), part_of(other_story)))
    channel_id = story.terms.channel_id
    # The other task's spans, as if it had been paid on the same channel.
    other = other_story.with_evidence(STATE, both)
    for name in ("payment.transaction", "payment.channel.update", "payment.verify"):
        other = other.claiming(name, channel__id=channel_id)

    found = [one.verify().found for one in (story.with_evidence(STATE, both), other)]

    assert [(one.verdict, one.reasons) for one in found] == [("verified", ())] * 2
    assert {one.payment.update.task_id for one in found} == {
        story.receipt.task_id,
        other_story.receipt.task_id,
    }


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"receipt_sha256": "1" * 64}, "receipt_sha256"),
        ({"amount": Minor(1)}, "price"),
        ({"amount": Minor(10_000)}, "price"),
    ],
    ids=["another receipt", "too little", "too much"],
)
def test_a_part_that_is_not_the_tasks_differs(story, changes, row, is_first):
    parts = [part_of(story, **changes), stranger()]

    found = paid_by(story, *parts[:: 1 if is_first else -1]).verify().found

    assert found.verdict == "differs"
    assert rows(found)[row].paid == str(next(iter(changes.values())))
    assert rows(found)[row].verdict == "differs"


def test_another_tasks_part_does_not_pay_for_the_task(story):
    """A right amount and receipt under another task's id are not the task's."""
    moved = part_of(story, task_id=new_task_id())

    found = paid_by(story, stranger(), moved).verify().found

    assert found.verdict == "differs"
    assert found.payment is None
    assert any("for another task" in reason for reason in found.reasons)
    assert any("signed states pay 0" in reason for reason in found.reasons)


def test_a_shared_state_of_strangers_beside_the_right_one_differs(story):
    later = shared(stranger(), stranger(), nonce=2, before=story.state.update.net)
    added = story.and_evidence(STATE, story.signed(later), payment__nonce=2)

    found = added.verify().found

    assert found.verdict == "differs"
    assert any("and 1 more" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda others: (),
        lambda others: others[::-1],
        lambda others: (*others, stranger()),
        lambda others: (replace(others[0], amount=Minor(8)), others[1]),
        lambda others: (replace(others[0], receipt_sha256="5f" * 32), others[1]),
        lambda others: (replace(others[0], task_id=new_task_id()), others[1]),
    ],
    ids=["dropped", "turned round", "added", "amount", "receipt", "task"],
)
def test_a_list_that_was_changed_after_signing_is_forged(story, tamper):
    parts = part_of(story), stranger(), stranger(9)
    state = decode_state(story.signed(shared(*parts)))
    changed = replace(state.update, others=tamper(state.update.others))
    forged = encode_state(replace(state, update=changed))

    found = story.with_evidence(STATE, forged).verify().found

    assert found.verdict == "forged"
    assert found.payment is None


@pytest.mark.parametrize(
    ("claim", "value"),
    [("payment__amount", "sum"), ("task__id", "other")],
)
def test_a_span_that_claims_the_whole_or_another_part_differs(story, claim, value):
    parts = stranger(), part_of(story)
    said = {"sum": shared(*parts).total, "other": parts[0].task_id}[value]
    told = paid_by(story, *parts).claiming("payment.transaction", **{claim: said})

    found = told.verify().found

    assert found.verdict == "differs"
    assert any(
        str(said) in reason and "the state that it carries" in reason
        for reason in found.reasons
    )


def test_two_states_of_one_number_conflict_though_both_pay_the_task_alike(story):
    mine = part_of(story)
    one, two = (story.signed(shared(mine, stranger())) for _ in range(2))

    found = story.with_evidence(STATE, one).and_evidence(STATE, two).verify().found

    assert found.verdict == "conflicting"
    assert "two states with nonce 1" in found.reasons[0]


def test_a_state_whose_number_is_next_moves_what_all_its_tasks_are_paid(story):
    mine = part_of(story)
    before = ChannelUpdate(
        1, Minor(50), story.receipt.task_id, story.receipt.manifest_sha256, Minor(50)
    )

    def followed_by(moved):
        after = shared(mine, stranger(7), nonce=2)
        last = replace(after, net=Minor(50 + moved))
        added = story.with_evidence(STATE, story.signed(before))
        return added.and_evidence(STATE, story.signed(last), payment__nonce=2)

    right = mine.amount - 50 + 7
    found = followed_by(right).verify().found
    assert not any("moves" in reason for reason in found.reasons)
    found = followed_by(right + 1).verify().found
    assert found.verdict == "conflicting"
    assert f"says that it pays {right}" in found.reasons[0]
