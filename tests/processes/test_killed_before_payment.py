"""An executor that is killed between its receipt and the payment takes it all the same."""

import pytest
import trio

from processes.network_of_processes import TASKS, network_of
from processes.peer_process import PeerPlan
from zerostate.evidence.identity import Identity
from zerostate.node.app import open_layers
from zerostate.node.config import NodeConfig
from zerostate.node.submission import TaskSubmission
from zerostate.testing import SpanRecorder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PLANS = (PeerPlan("executor", ("wasm",)),)
PAYS_TRAPS = {
    "price": {
        "base": 10,
        "per_gigafuel": 5,
        "max_total": 1000,
        "on_failure": {"trap": "metered"},
    }
}


@pytest.fixture
def network(tmp_path):
    with network_of(PLANS, tmp_path, with_stack=False, kept=True) as network:
        yield network


async def restart(network, peers):
    """Kill the executor, start it on what it has on disk, and find it again."""
    executor = network["executor"]
    executor.kill()
    await peers.wait_lost(executor.peer_id)
    network.start(executor)
    await peers.connect(executor.address)


def task_of(module, directory):
    """Return the settings of a requester, and its task."""
    config = NodeConfig(service_name="requester", data_dir=directory / "requester")
    config.data_dir.mkdir()
    (directory / "in").write_bytes(b"hello")
    submission = TaskSubmission(
        module_path=TASKS / module,
        input_path=directory / "in",
        manifest=PAYS_TRAPS,
        members=1,
        deadline_s=30,
    )
    return config, submission


@pytest.mark.parametrize(
    ("module", "error", "price"),
    [
        ("sha256.wasm", None, 11),
        # 10 and 5 for each of the ten gigafuel that are billed after a trap.
        ("trap.wasm", "trap", 60),
    ],
)
async def test_a_task_is_paid_although_its_executor_was_killed_meanwhile(
    network, tmp_path, module, error, price
):
    """The requester is in this process, so that it waits where it has to."""
    executor, pids = network["executor"], [network["executor"].pid]
    config, submission = task_of(module, tmp_path)
    async with open_layers(
        config, Identity.generate(), SpanRecorder().provider
    ) as layers:
        await layers.peers.connect(executor.address)

        async def progress(reached, _text, _data=None):
            if reached == "receipt.verified":
                await restart(network, layers.peers)
                pids.append(executor.pid)

        with trio.fail_after(60):
            report = await layers.requester.run(submission, progress)

    assert report.error_code == error, report.error_message
    assert len(set(pids)) == 2
    assert (report.payment.amount, report.payment.verified) == (price, True)


async def test_a_task_is_paid_when_both_are_back_although_both_were_gone(
    network, tmp_path
):
    executor, identity = network["executor"], Identity.generate()
    config, submission = task_of("sha256.wasm", tmp_path)
    before, after = SpanRecorder(), SpanRecorder()
    async with open_layers(config, identity, before.provider) as layers:
        await layers.peers.connect(executor.address)

        async def progress(reached, _text, _data=None):
            if reached == "receipt.verified":
                executor.kill()
                await layers.peers.wait_lost(executor.peer_id)

        with trio.fail_after(60):
            report = await layers.requester.run(submission, progress)
    assert report.error_code == "peer_unreachable"
    assert report.payment is None

    network.start(executor)
    async with open_layers(config, identity, after.provider) as layers:
        await layers.peers.connect(executor.address)
        paid = []

        async def paid_later(task_id, payment):
            paid.append((task_id, payment.amount))
            running.cancel()

        layers.debts.paid_later = paid_later
        with trio.fail_after(60), trio.CancelScope() as running:
            await layers.debts.run()
    assert paid == [(report.task_id, report.receipt.price)]
    flow = after.named("payment.flow")
    assert f"{flow.context.trace_id:032x}" == report.trace_id
