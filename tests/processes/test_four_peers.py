"""Four peers as four processes: what `make test` can afford of the many-process runs."""

import pytest

from processes.accounting import (
    EXECUTION,
    assert_gossip_arrived,
    assert_report_agrees,
    assert_reported_well,
    assert_requests_arrived,
)
from processes.network_of_processes import network_of
from processes.peer_process import PeerPlan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TASKS = 20
MEMBERS = 2

PLANS = (
    PeerPlan("requester-1"),
    PeerPlan("requester-2"),
    PeerPlan("executor", ("wasm",)),
    PeerPlan("member", ("witness",)),
)


def test_four_peers_run_twenty_tasks_and_account_for_everything(tmp_path):
    with network_of(PLANS, tmp_path) as network:
        results = network.submit_many(network.peers[:2], TASKS, members=MEMBERS)
        stored = network.stored_traces()
        stats = network.stats()

    assert_reported_well(results)
    stored.assert_whole()
    for result in results:
        trace = stored[result.trace_id]
        assert_report_agrees(result, trace, network.names, members=MEMBERS)
    for name in EXECUTION:
        assert stored.names()[name] == TASKS
    assert_requests_arrived(stored)
    assert_gossip_arrived(stored, stats)
    assert {name: counts.get("peers.lost", 0) for name, counts in stats.items()} == (
        dict.fromkeys(stats, 0)
    )
