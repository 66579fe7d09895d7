"""Each task of a shared state has its payment in its own trace, at both ends."""

import pytest
import trio

from chain_parties import MemoryWorld
from payment_line import waiting_line
from zerostate.errors import PeerUnreachableError
from zerostate.evidence.channel import verify_cosigned
from zerostate.evidence.receipt import receipt_sha256
from zerostate.payment import ExpectedPayment
from zerostate.telemetry.propagation import TraceCarrier
from zerostate.testing import assert_trace
from zerostate.units import Minor

PAID_FOR_ALL = """
test.task
  payment.transaction
    payment.signature.sign
    payment.verify
      payment.signature.verify
      payment.channel.update
        payment.signature.sign
"""
TAKEN_ALONG = """
test.task
  payment.transaction
    payment.verify
"""


def transaction(line, task_id):
    (span,) = [one for one in line.trace(task_id) if one.name == "payment.transaction"]
    return span


def require_told(line, task_id, price):
    """Check what the span of one payment says."""
    span, payment = transaction(line, task_id), line.payments[task_id]
    assert dict(span.attributes) == {
        "channel.id": line.channel_id,
        "task.id": task_id,
        "payment.amount": price,
        "payment.nonce": payment.nonce,
    }
    (event,) = span.events
    assert event.name == "payment.state"
    assert dict(event.attributes) == {
        "payment.state.signed": payment.state,
        "payment.nonce": payment.nonce,
    }
    update = verify_cosigned(payment.state).for_task(task_id).update
    assert (update.task_id, update.amount) == (task_id, price)


async def test_who_pays_for_all_and_who_is_taken_along_are_traced_each_in_its_own(
    pair, channel_id
):
    async with waiting_line(pair, channel_id) as line:
        prices = {await line.join(price): price for price in (2, 3, 4)}
    first, *rest = prices
    assert_trace(line.trace(first), PAID_FOR_ALL)
    for task_id in rest:
        assert_trace(line.trace(task_id), TAKEN_ALONG)
        (verify,) = [
            span for span in line.trace(task_id) if span.name == "payment.verify"
        ]
        assert dict(verify.attributes) == {
            "channel.id": channel_id,
            "task.id": task_id,
            "payment.verified": True,
        }
    for task_id, price in prices.items():
        require_told(line, task_id, price)
    spans = pair.spans.spans
    assert len({span.context.trace_id for span in spans}) == 1 + len(prices)


async def test_one_that_is_refused_fails_the_checks_of_all(pair, channel_id):
    async with waiting_line(pair, channel_id) as line:
        first, second = await line.join(2), await line.join(3)
        bad = await line.join(4, issued=False)
    verified = [
        span
        for task_id in (first, second, bad)
        for span in line.trace(task_id)
        if span.name == "payment.verify"
    ]
    assert len(verified) >= 3
    for span in verified:
        assert span.attributes["error.type"] == "price"
        assert not span.attributes.get("payment.verified")
    for task_id in (first, second, bad):
        span = transaction(line, task_id)
        assert span.attributes["error.type"] == "price"
        assert "payment.state" not in {event.name for event in span.events}


@pytest.mark.parametrize("lost", ["request", "reply"])
async def test_sent_again_for_another_task_it_is_traced_as_that_ones(
    pair, channel_id, lost
):
    async def lose():
        raise PeerUnreachableError("gone")

    async with waiting_line(pair, channel_id) as line:
        first, second, third = [await line.join(price) for price in (2, 3, 4)]
        if lost == "request":
            line.next_request = lose
        else:
            line.next_reply = lose
    assert transaction(line, first).attributes["error.type"] == "peer_unreachable"
    for task_id, price in ((second, 3), (third, 4)):
        require_told(line, task_id, price)
        assert [span.name for span in line.trace(task_id)].count("payment.verify") >= 1
    rows = [await pair.payer._ledger.store.payment(one) for one in (second, third)]
    for task_id, row in zip((second, third), rows, strict=True):
        context = transaction(line, task_id).context
        assert row.trace_context.split("-")[1:3] == [
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
        ]


async def test_paying_again_for_one_that_was_not_the_first_names_that_one(
    pair, channel_id
):
    async with waiting_line(pair, channel_id) as line:
        await line.join(2)
        second = await line.join(3, issued=False)
    pair.spans.clear()
    receipt = line.receipts[second]
    pair.issued[second] = ExpectedPayment(receipt_sha256(receipt), Minor(3))
    await pair.payer.pay(channel_id, Minor(3), task_id=second, receipt=receipt)
    span = pair.spans.named("payment.transaction")
    assert span.attributes["task.id"] == second
    assert span.attributes["payment.amount"] == 3


async def test_a_settlement_links_to_every_task_of_a_shared_state(tmp_path):
    async with MemoryWorld(tmp_path).started() as pair:
        channel_id = await pair.open(1000)
        paid = []
        tracer = pair.spans.provider.get_tracer("test")

        async def pay(price):
            with tracer.start_as_current_span("test.task"):
                own = TraceCarrier.inject().traceparent
                paid.append((own.split("-")[1], await pair.pay(channel_id, price)))

        async with trio.open_nursery() as nursery:
            for price in (2, 3, 4):
                nursery.start_soon(pay, price)
        assert {payment.nonce for _trace, payment in paid} == {1}
        async with pair.watching():
            await pair.payer.close(channel_id, wait=True)
            await pair.until("payee", channel_id, "settled")
    settlements = [
        span for span in pair.spans.spans if span.name == "payment.channel.settle"
    ]
    assert len(settlements) == 2
    wanted = {(payment.task_id, trace_id) for trace_id, payment in paid}
    for span in settlements:
        assert span.attributes["payment.settled_payments"] == 3
        assert {
            (link.attributes["task.id"], f"{link.context.trace_id:032x}")
            for link in span.links
        } == wanted
    names = {span.context.span_id: span.name for span in pair.spans.spans}
    linked = [
        {names[link.context.span_id] for link in span.links} for span in settlements
    ]
    of_payee = {"payment.channel.update", "payment.verify"}
    assert of_payee in linked, "its own spans, not those that the payer names"
    assert {"payment.transaction"} in linked
