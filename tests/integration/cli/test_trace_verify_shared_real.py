"""`zerostate trace verify` on what both ends record of payments that share a state."""

from dataclasses import dataclass, replace

import pytest
import trio
import trio.testing
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from payment_parties import PAYEE, open_pair, sealed_receipt
from stored_story import Story
from zerostate.errors import PeerUnreachableError
from zerostate.evidence.receipt import open_receipt, receipt_sha256, seal_receipt
from zerostate.ids import TaskId, TraceIdHex, new_task_id
from zerostate.payment import ExpectedPayment, Payment, PaymentTracer
from zerostate.semconv import attributes as attr
from zerostate.stack.otlp import decode_protobuf
from zerostate.telemetry import TraceCarrier
from zerostate.units import Minor

TASKS = 3


@dataclass
class Task:
    """A task that was run, and its trace."""

    task_id: TaskId
    price: Minor
    receipt: bytes
    trace_id: str
    within: TraceCarrier


def run_task(pair, price):
    """Let the payee issue a receipt, in a trace of the task's own."""
    tracer = pair.spans.provider.get_tracer("test")
    with tracer.start_as_current_span("task") as span:
        trace_id = TraceIdHex(f"{span.get_span_context().trace_id:032x}")
        task_id = new_task_id()
        receipt = replace(
            open_receipt(sealed_receipt(task_id, price)), trace_id=trace_id
        )
        sealed = seal_receipt(PAYEE, receipt)
        otel.get_current_span().add_event(
            attr.EVENT_RECEIPT_ISSUED, {attr.RECEIPT_ENVELOPE: sealed}
        )
        carrier = TraceCarrier.inject()
    pair.issued[task_id] = ExpectedPayment(receipt_sha256(sealed), Minor(price))
    return Task(task_id, Minor(price), sealed, trace_id, carrier)


async def pay(pair, channel_id, task) -> Payment:
    """Pay as a node does, in the task's trace."""
    tracer = PaymentTracer(pair.spans.provider)
    with tracer.trace_payment_flow(task.task_id, PAYEE.peer_id, within=task.within):
        payment = await pair.payer.pay(
            channel_id, task.price, task_id=task.task_id, receipt=task.receipt
        )
        verdict = await pair.payer.verify_payment(
            payment, receipt=task.receipt, max_total=task.price
        )
        assert verdict.problems == ()
    return payment


async def pay_together(pair, channel_id, tasks):
    """Pay for all while the channel is held, so that they wait for it together.

    Returns which were not paid.
    """
    unpaid = []

    async def begin(task):
        try:
            await pay(pair, channel_id, task)
        except PeerUnreachableError:
            unpaid.append(task)

    async with (
        trio.open_nursery() as nursery,
        pair.payer._ledger.locks.hold(channel_id),
    ):
        for task in tasks:
            nursery.start_soon(begin, task)
            await trio.testing.wait_all_tasks_blocked()
    return unpaid


def verified(pair, task, *, is_recorded=lambda _span: True):
    """Return the verdict on what was recorded of one task."""
    spans = [
        span
        for span in pair.spans.spans
        if f"{span.context.trace_id:032x}" == task.trace_id and is_recorded(span)
    ]
    encoded = encode_spans(spans).SerializeToString()
    groups = tuple(decode_protobuf(encoded).batch.resource_spans)
    return Story(task.trace_id, groups, {}).verify().found


async def paid_together(directory, again=()):
    """Pay for all; if they are paid again, the first state's answer was lost."""
    async with open_pair(directory) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        tasks = [run_task(pair, 10 + number) for number in range(TASKS)]
        pair.network.after = _lost if again else None
        unpaid = await pay_together(pair, channel_id, tasks)
        pair.network.after = None
        assert len(unpaid) == (TASKS if again else 0)
        for number in again:
            await pay(pair, channel_id, tasks[number])
    return pair, tasks


async def _lost():
    raise PeerUnreachableError("the reply was lost")


def is_payees(span):
    """Whether the payee recorded it, or it has the receipt."""
    name = span.name
    return name in {"task", "payment.channel.update"} or (
        name == "payment.verify" and attr.RECEIPT_VERIFIED not in span.attributes
    )


def test_each_task_of_a_shared_state_is_verified_by_its_own_trace(tmp_path):
    pair, tasks = trio.run(paid_together, tmp_path)

    found = [verified(pair, task) for task in tasks]

    assert [(one.verdict, one.reasons) for one in found] == [("verified", ())] * TASKS
    assert {one.payment.update.nonce for one in found} == {1}
    assert [one.payment.update.amount for one in found] == [10, 11, 12]


def test_what_the_payee_alone_recorded_verifies_each_task(tmp_path):
    pair, tasks = trio.run(paid_together, tmp_path)

    found = [verified(pair, task, is_recorded=is_payees) for task in tasks]

    assert [(one.verdict, one.reasons) for one in found] == [("verified", ())] * TASKS


@pytest.mark.parametrize("again", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_tasks_are_verified_though_their_state_was_sent_again(tmp_path, again):
    pair, tasks = trio.run(paid_together, tmp_path, again)

    found = [verified(pair, task) for task in tasks]

    assert [(one.verdict, one.reasons) for one in found] == [("verified", ())] * TASKS
