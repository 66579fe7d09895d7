"""A requester that ends between a kept receipt and its payment pays after the restart."""

from dataclasses import replace

import pytest
import trio

from task_world import IDENTITIES, TASKS, open_world
from zerostate.clock import SystemClock
from zerostate.node.archive import DEBT_NAME, RECEIPT_NAME
from zerostate.node.debts import Debts
from zerostate.node.history import ExecutorHistory
from zerostate.node.paying import TaskPayments
from zerostate.node.task import Requester
from zerostate.node.tracing import NodeTracer
from zerostate.payment import PaymentTracer
from zerostate.units import Minor

PRICE = {"base": 10, "per_gigafuel": 0, "max_total": 10}
ASKING = {"price": PRICE | {"on_failure": {"trap": "base"}}}


class LastArchive:
    """Keeps a task's proof, which is the last that its requester does."""

    def __init__(self, archive):
        self.archive = archive
        self.crash = trio.CancelScope()

    async def keep(self, *args):
        try:
            return await self.archive.keep(*args)
        finally:
            self.crash.cancel()

    async def add(self, *args):
        await self.archive.add(*args)


async def run_until_kept(world, module, manifest):
    """Run a task of a requester that ends in the moment when the receipt is kept."""
    layers, clock = world.layers["requester"], SystemClock()
    archive, peers = LastArchive(layers.archive), layers.peers
    provider = world.recorders["requester"].provider
    channels, tracer = layers.payments.channels, PaymentTracer(provider)
    payments = TaskPayments(channels, tracer=tracer, deposit=Minor(1000))
    requester = Requester(
        peers,
        layers.guilds,
        IDENTITIES["requester"],
        payments=payments,
        debts=Debts(payments, archive, peers, clock),
        history=ExecutorHistory(),
        archive=archive,
        clock=clock,
        tracer=NodeTracer(provider),
    )
    world.layers["requester"] = replace(layers, requester=requester)
    with archive.crash:
        await world.run((TASKS / module).read_bytes(), manifest=manifest)
    assert archive.crash.cancelled_caught
    assert await layers.archive.having(RECEIPT_NAME)
    assert await paid_by(world) == 0


async def paid_by(world):
    views = await world.layers["requester"].payments.channels.views()
    return sum(view.paid for view in views)


async def pay_debts(layers):
    """Do what a node does after its start, until no debt is left."""
    paid = []

    async def paid_later(task_id, payment):
        paid.append((task_id, payment.amount))

    layers.debts.paid_later = paid_later
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(layers.debts.run)
            while await layers.archive.having(DEBT_NAME):
                pass  # it waits for the archive
            nursery.cancel_scope.cancel()
    return paid


@pytest.mark.parametrize("module", ["word_count.wasm", "trap.wasm"])
async def test_a_task_cut_short_before_its_payment_is_paid_once_afterwards(
    tmp_path, module
):
    async with open_world(tmp_path) as world:
        await run_until_kept(world, module, ASKING)
        layers = world.layers["requester"]
        (task_id,) = await layers.archive.having(DEBT_NAME)

        assert await pay_debts(layers) == [(task_id, 10)]
        assert await layers.archive.having(DEBT_NAME) == ()
        assert await paid_by(world) == 10


async def test_a_failure_that_costs_nothing_leaves_no_debt_when_cut_short(tmp_path):
    async with open_world(tmp_path) as world:
        await run_until_kept(world, "trap.wasm", {"price": PRICE})
        assert await world.layers["requester"].archive.having(DEBT_NAME) == ()
