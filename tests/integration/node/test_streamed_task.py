"""A task that its requester pays for while the executor works at it."""

import pytest

from task_world import TASKS, open_world
from zerostate.evidence.channel import verify_cosigned
from zerostate.evidence.receipt import receipt_sha256
from zerostate.execution.signed_manifest import manifest_sha256
from zerostate.units import Minor

LOOP = (TASKS / "loop.wasm").read_bytes()
FUEL = 1_000_000_000
"""Seconds of work: long enough to be paid for meanwhile."""

PRICE = 10 + 7
DEPOSIT = Minor(1001)
"""Enough for this task, and not for another one after it: that would get a channel of its
own, and what is left of this one is paid here all the same."""

ASKING = {
    "price": {
        "base": 10,
        "per_gigafuel": 7,
        "max_total": 1000,
        "on_failure": {"out_of_fuel": "metered"},
    },
    "limits": {"fuel": FUEL},
}


class Streaming:
    """A requester's program that pays unit by unit from when its task was taken."""

    def __init__(self, world, *totals):
        self.layers = world.layers["requester"]
        self.executor = world.layers["executor"]
        self.totals = totals
        self.task_id = None
        self.manifest = None
        self.channel_id = None
        self.paid = []
        self.seen = []

    @property
    def channels(self):
        return self.layers.payments.channels

    async def progress(self, stage, text, data=None):
        if stage == "task.started":
            self.task_id = data["task_id"]
        elif stage == "task.accepted":
            await self.stream()

    async def stream(self):
        engagement = self.layers.requester._engagements._engaged[self.task_id]
        self.manifest = manifest_sha256(engagement.manifest)
        self.channel_id = await self.channels.open_channel(engagement.executor, DEPOSIT)
        stream = self.channels.stream(
            self.channel_id, task_id=self.task_id, manifest_sha256=self.manifest
        )
        for total in self.totals:
            self.paid.append(await stream.pay(Minor(total)))
            # Nothing is earned yet: there is no receipt.
            self.seen.append(self.executor.payments.channels.expects(self.task_id))


@pytest.fixture
async def world(tmp_path):
    async with open_world(tmp_path) as world:
        yield world


async def test_a_requester_pays_while_the_executor_works_and_the_rest_at_the_end(world):
    streaming = Streaming(world, 3, 8, 14)
    world.progress = streaming.progress
    report = await world.run(LOOP, manifest=ASKING)

    assert (report.outcome, report.receipt.price) == ("out_of_fuel", PRICE)
    assert streaming.seen == [None] * 3
    for payment, total in zip(streaming.paid, streaming.totals, strict=True):
        update = verify_cosigned(payment.state).update
        assert (update.task_id, update.amount) == (report.task_id, total)
        assert update.receipt_sha256 == streaming.manifest
    paid = report.payment
    assert (paid.channel_id, paid.amount) == (streaming.channel_id, PRICE)
    assert (paid.nonce, paid.verified) == (4, True)
    for channels in (streaming.channels, streaming.executor.payments.channels):
        state = await channels.get(streaming.channel_id)
        assert (state.nonce, state.balance_payee) == (4, PRICE)
        last = state.agreed.update
        receipt = (report.kept_in / "receipt").read_bytes()
        assert (last.amount, last.receipt_sha256) == (PRICE, receipt_sha256(receipt))


async def test_no_more_is_taken_for_a_task_than_its_manifest_allows(world):
    streaming = Streaming(world, 3, 1001)
    world.progress = streaming.progress
    report = await world.run(LOOP, manifest=ASKING)

    assert report.error_code == "price"
    assert "1001 for at most 1000" in report.error_message
    assert [each.amount for each in streaming.paid] == [3]
