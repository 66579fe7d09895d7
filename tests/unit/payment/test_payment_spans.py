"""How the payment layer's spans hang together."""

import pytest

from zerostate.ids import ChannelId, PeerId, new_task_id
from zerostate.payment.tracing import MAX_LINKS, PaidTask, PaymentTracer
from zerostate.semconv import attributes as attr
from zerostate.telemetry.propagation import TraceCarrier
from zerostate.testing import SpanRecorder
from zerostate.units import Minor

CHANNEL = ChannelId("0x" + "ab" * 32)
PEER = PeerId("12D3KooWPeer")


@pytest.fixture
def recorder():
    return SpanRecorder()


@pytest.fixture
def tracer(recorder):
    return PaymentTracer(recorder.provider)


def paid(tracer, count):
    """Return tasks that were each paid in a trace of its own."""
    tasks = []
    for nonce in range(count):
        task_id = new_task_id()
        with tracer.trace_payment(CHANNEL, Minor(1), nonce, task_id):
            tasks.append(PaidTask(task_id, TraceCarrier.inject().traceparent))
    return tasks


def linked(span):
    return [
        (link.attributes[attr.TASK_ID], link.context.trace_id, link.context.span_id)
        for link in span.links
    ]


def test_a_settlement_is_a_trace_of_its_own_that_links_to_every_payment(
    tracer, recorder
):
    tasks = paid(tracer, MAX_LINKS + 2)
    payments = [
        (s.attributes[attr.TASK_ID], s.context.trace_id, s.context.span_id)
        for s in recorder.spans
    ]
    recorder.clear()

    with (
        tracer.trace_withdrawal(CHANNEL, PEER),
        tracer.trace_settlement(CHANNEL, PEER, tasks),
        tracer.trace_settled_batch(CHANNEL, tasks[MAX_LINKS:]),
    ):
        pass

    rest, settlement, around = recorder.spans
    assert settlement.parent is None
    assert settlement.context.trace_id != around.context.trace_id
    assert rest.parent.span_id == settlement.context.span_id
    assert linked(settlement) + linked(rest) == payments
    assert {
        span.name: span.attributes[attr.PAYMENT_SETTLED_PAYMENTS]
        for span in (settlement, rest)
    } == {"payment.channel.settle": MAX_LINKS, "payment.batch.settle": 2}


def test_a_payment_of_unknown_or_garbled_origin_gets_no_link(tracer, recorder):
    tasks = [PaidTask(new_task_id(), ""), PaidTask(new_task_id(), "00-zz-11-01")]

    with tracer.trace_settlement(CHANNEL, PEER, tasks):
        pass

    (span,) = recorder.spans
    assert span.links == ()
    assert span.attributes[attr.PAYMENT_SETTLED_PAYMENTS] == len(tasks)


def test_a_batch_beyond_a_spans_links_is_refused(tracer, recorder):
    tasks = [PaidTask(new_task_id(), "")] * (MAX_LINKS + 1)

    with pytest.raises(ValueError, match="129 payments; a span links to 128"):
        tracer.trace_settled_batch(CHANNEL, tasks)
    assert recorder.spans == ()


def test_a_dispute_is_a_trace_of_its_own_with_its_transaction_inside(tracer, recorder):
    with (
        tracer.trace_close_channel(CHANNEL, PEER),
        tracer.trace_dispute(CHANNEL, closing_nonce=2, nonce=5),
        tracer.trace_chain_operation("challenge", chain_id=1, channel_id=CHANNEL),
    ):
        pass

    transaction, dispute, _close = recorder.spans
    assert dispute.parent is None
    assert transaction.parent.span_id == dispute.context.span_id
    assert dict(dispute.attributes) == {
        "channel.id": CHANNEL,
        "payment.closing_nonce": 2,
        "payment.nonce": 5,
    }
