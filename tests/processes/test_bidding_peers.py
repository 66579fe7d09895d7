"""Three executors that bid, as processes: who gets the tasks, and what if it is frozen."""

import pytest

from processes.accounting import assert_report_agrees, assert_requests_arrived
from processes.network_of_processes import network_of
from processes.peer_process import PeerPlan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MEMBERS = 3
TASKS = 4


def executor(name, base):
    price = {"price_base": base, "price_per_gigafuel": 1000}
    return PeerPlan(name, ("wasm",), settings=price)


PLANS = (
    PeerPlan("requester"),
    executor("dear", 300),
    executor("cheap", 100),
    executor("fair", 200),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with network_of(PLANS, tmp_path_factory.mktemp("net")) as network:
        yield network


def executor_of(network, result):
    assert result.error_code is None, result.error_message
    assert result.report["payment"]["verified"]
    return network.names[result.report["task"]["executor"]]


def test_the_cheapest_runs_the_tasks_and_all_bids_are_accounted_for(network):
    requester = network["requester"]
    results = [network.submit(requester, members=MEMBERS) for _ in range(TASKS)]
    stored = network.stored_traces()

    assert {executor_of(network, result) for result in results} == {"cheap"}
    assert {result.report["payment"]["amount"] for result in results} == {101}
    stored.assert_whole()
    for result in results:
        trace = stored[result.trace_id]
        assert_report_agrees(result, trace, network.names, members=MEMBERS)
        [root] = trace.roots
        counted = {name: root.tags[f"task.{name}"] for name in ("candidates", "asked")}
        assert counted == {"candidates": 3, "asked": 1}
        bids = [span.kind for span in trace.named("p2p.message.task_bid")]
        assert sorted(bids) == ["client"] * 3 + ["server"] * 3
    assert_requests_arrived(stored)


def test_when_the_chosen_one_freezes_before_it_accepts_the_next_best_runs_the_task(
    network,
):
    stages = []

    def freeze_the_best(stage, _text):
        stages.append(stage)
        if stage == "bids.received":
            network["cheap"].freeze()

    requester = network["requester"]
    try:
        result = network.submit(requester, members=MEMBERS, tell=freeze_the_best)
    finally:
        network["cheap"].thaw()

    assert executor_of(network, result) == "fair"
    assert stages[-4:] == [
        "task.declined",
        "task.accepted",
        "receipt.verified",
        "payment.done",
    ]
