"""`zerostate trace verify` on states that do not go together, and on no evidence."""

from dataclasses import replace

import pytest

from zerostate.cli.trace_evidence import MAX_TOLD
from zerostate.evidence.channel_update import OPENING, ChannelUpdate
from zerostate.evidence.receipt import MAX_RECEIPT_BYTES
from zerostate.semconv import attributes as attr
from zerostate.units import Minor

RECEIPT, STATE = attr.EVENT_RECEIPT_ISSUED, attr.EVENT_PAYMENT_STATE


def verdict(story, *more):
    return story.verify(*more).found.verdict


def rows(found):
    return {row.name: row for row in found.rows}


def test_two_states_with_one_nonce_conflict(story):
    update = story.state.update
    other = replace(update, net=Minor(update.net + 5), amount=Minor(update.amount + 5))

    found = story.and_evidence(STATE, story.signed(other)).verify().found

    assert found.verdict == "conflicting"
    assert "two states with nonce 1" in found.reasons[0]


def test_a_state_that_takes_money_back_conflicts(story):
    update = story.state.update
    later = replace(update, nonce=update.nonce + 1, net=Minor(1), amount=Minor(1))
    added = story.and_evidence(STATE, story.signed(later), payment__nonce=2)

    found = added.verify().found

    assert found.verdict == "conflicting"
    assert "takes back" in found.reasons[0]


def test_a_task_that_is_paid_on_two_channels_conflicts(story):
    terms = replace(story.terms, salt=b"\7" * 32)
    twice = story.signed(story.state.update, terms)

    found = story.and_evidence(STATE, twice).verify().found

    assert found.verdict == "conflicting"
    assert "2 channels" in found.reasons[0]


def streamed(story, *amounts):
    """Return the story with a state for each amount before the one it has."""
    last = story.state.update
    added = story.without_events(STATE)
    updates = [
        ChannelUpdate(
            number,
            Minor(amount),
            last.task_id,
            story.receipt.manifest_sha256,
            Minor(amount),
        )
        for number, amount in enumerate(amounts, 1)
    ]
    nonce = len(updates) + 1
    final = replace(last, nonce=nonce)
    added = story.with_evidence(STATE, story.signed(final))
    for name in ("payment.transaction", "payment.channel.update"):
        added = added.claiming(name, payment__nonce=nonce)
    added = added.with_events(
        lambda event: (
            event
            if event.name != STATE
            else replace(
                event,
                attributes=tuple(
                    (dict(event.attributes) | {"payment.nonce": nonce}).items()
                ),
            )
        )
    )
    for update in updates:
        # Interim states stand on spans of their own; what those claim is their own.
        added = added.map(_beside(story, added, update))
    return added


def _beside(story, added, update):
    transaction = added.named("payment.transaction")
    done = []

    def change(span):
        if span.name != "payment.verify" or done:
            return span
        done.append(span)
        event = next(e for e in transaction.events if e.name == STATE)
        said = dict(event.attributes) | {
            attr.PAYMENT_STATE_BYTES: story.signed(update),
            attr.PAYMENT_NONCE: update.nonce,
        }
        carried = replace(event, attributes=tuple(said.items()))
        return replace(span, events=(*span.events, carried))

    return change


def test_a_stream_of_payments_is_verified_by_its_last_state(story):
    found = streamed(story, 100, 700).verify().found

    assert (found.verdict, found.reasons) == ("verified", ())
    assert found.payment.update.nonce == 3
    assert rows(found)["price"].paid == str(story.receipt.price)


def test_a_stream_that_never_names_the_receipt_is_unpaid(story):
    manifest = story.receipt.manifest_sha256
    update = replace(
        story.state.update, amount=Minor(9), net=Minor(9), receipt_sha256=manifest
    )
    partly = story.with_evidence(STATE, story.signed(update)).claiming(
        "payment.transaction", payment__amount=9
    )

    found = partly.verify().found

    assert found.verdict == "unpaid"
    assert any("signed states pay 9" in reason for reason in found.reasons)


def test_a_stream_whose_states_do_not_add_up_conflicts(story):
    update = story.state.update
    more = replace(
        update, nonce=2, net=Minor(update.net + 50), amount=Minor(update.amount + 1)
    )

    found = (
        story.and_evidence(STATE, story.signed(more), payment__nonce=2).verify().found
    )

    assert found.verdict == "conflicting"


def test_the_opening_state_of_the_channel_is_no_payment(story):
    added = story.and_evidence(STATE, story.signed(OPENING), payment__nonce=0)

    assert verdict(added) == "differs"  # its span claims nonce 1


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 10, b"\xff" * MAX_RECEIPT_BYTES, b"\0" * 100_000],
    ids=["empty", "zeros", "garbage", "oversized"],
)
@pytest.mark.parametrize("event", [RECEIPT, STATE])
def test_bytes_that_are_no_evidence_are_forged(story, event, data):
    found = story.with_evidence(event, data).verify().found

    assert found.verdict == "forged"
    assert event in found.reasons[0]


def test_evidence_that_grew_beyond_its_bound_is_not_looked_at(story):
    padded = story.sealed_receipt + b"\0" * MAX_RECEIPT_BYTES

    found = story.with_evidence(RECEIPT, padded).verify().found

    assert found.verdict == "forged"
    assert "4096" in found.reasons[0]


def test_evidence_of_another_type_than_bytes_is_forged(story):
    def number(event):
        if event.name != RECEIPT:
            return event
        return replace(event, attributes=((attr.RECEIPT_ENVELOPE, 5),))

    assert verdict(story.with_events(number)) == "forged"


def test_reasons_stay_few_however_much_is_forged(story):
    added = story
    for number in range(3 * MAX_TOLD):
        added = added.and_evidence(RECEIPT, bytes([number]))

    found = added.verify().found

    assert found.verdict == "forged"
    assert len(found.reasons) <= MAX_TOLD + 2
