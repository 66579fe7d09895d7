"""`zerostate trace verify` on what both ends record of payments that share a state."""

from dataclasses import dataclass, replace

import trio
import trio.testing
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from payment_parties import PAYEE, open_pair, sealed_receipt
from stored_story import Story
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
    """Pay for all while the channel is held, so that they wait for it together."""
    async with (
        trio.open_nursery() as nursery,
        pair.payer._ledger.locks.hold(channel_id),
    ):
        for task in tasks:
            nursery.start_soon(pay, pair, channel_id, task)
            await trio.testing.wait_all_tasks_blocked()


def verified(pair, task):
    """Return the verdict on what was recorded of one task."""
    spans = [
        span
        for span in pair.spans.spans
        if f"{span.context.trace_id:032x}" == task.trace_id
    ]
    encoded = encode_spans(spans).SerializeToString()
    groups = tuple(decode_protobuf(encoded).batch.resource_spans)
    return Story(task.trace_id, groups, {}).verify().found


async def paid_together(directory):
    async with open_pair(directory) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        tasks = [run_task(pair, 10 + number) for number in range(TASKS)]
        await pay_together(pair, channel_id, tasks)
    return pair, tasks


def test_each_task_of_a_shared_state_is_verified_by_its_own_trace(tmp_path):
    pair, tasks = trio.run(paid_together, tmp_path)

    found = [verified(pair, task) for task in tasks]

    assert [(one.verdict, one.reasons) for one in found] == [("verified", ())] * TASKS
    assert {one.payment.update.nonce for one in found} == {1}
    assert [one.payment.update.amount for one in found] == [10, 11, 12]
