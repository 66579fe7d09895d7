"""An executor works on credit only up to a bound, and knows who has paid."""

from task_world import TASKS, open_world
from zerostate.node.config import NodeConfig
from zerostate.node.earnings import Unpaid
from zerostate.node.task import UNPAID_YET
from zerostate.node.vitals import take_vitals
from zerostate.testing import FakeClock

WORD_COUNT = (TASKS / "word_count.wasm").read_bytes()
ASKING = {"price": {"base": 10, "per_gigafuel": 0, "max_total": 10}}


def seen(world, name):
    """Return what a peer tells its operator of tasks that are not paid."""
    config = NodeConfig(service_name=name, data_dir=world.directory / name)
    return take_vitals(config, world.layers[name], FakeClock()).unpaid


async def test_who_pays_each_task_may_always_have_the_next_one(tmp_path):
    async with open_world(tmp_path, executor={"max_unpaid_tasks": 1}) as world:
        for _ in range(3):
            report = await world.run(WORD_COUNT, manifest=ASKING)
            assert (report.outcome, report.payment.verified) == ("ok", True)


async def test_who_leaves_tasks_unpaid_gets_no_further_one_until_it_has_paid(tmp_path):
    async with open_world(tmp_path, executor={"max_unpaid_tasks": 2}) as world:
        theirs = world.layers["executor"].payments.channels
        earned, theirs.expects = theirs.expects, lambda _task_id: None
        unpaid = [await world.run(WORD_COUNT, manifest=ASKING) for _ in range(2)]
        assert [one.payment for one in unpaid] == [None, None]
        for one in unpaid:
            assert one.outcome == "ok"
            assert one.error_message.startswith(f"{UNPAID_YET}: ")
            assert (one.error_code, one.receipt_verified) == ("price", True)
        refused = await world.run(WORD_COUNT, manifest=ASKING)

        assert refused.error_code == "unpaid_tasks"
        assert "2 tasks of yours are under way or not paid" in refused.error_message
        assert refused.receipt is None
        requester = world.layers["requester"].peers.peer_id
        assert seen(world, "executor") == Unpaid(2, 1, ((requester, 2),))
        assert seen(world, "requester") is None

        theirs.expects = earned
        ours = world.layers["requester"].payments.channels
        # It is finished where it was begun, whichever channel is named.
        channel, *_ = await ours.views()
        kept = unpaid[0].kept_in / "receipt"
        await ours.pay(
            channel.channel_id,
            unpaid[0].receipt.price,
            task_id=unpaid[0].task_id,
            receipt=kept.read_bytes(),
        )
        report = await world.run(WORD_COUNT, manifest=ASKING)
        assert report.outcome == "ok"
