"""Peers that are killed or frozen: who notices, how soon, and what goes on."""

import time

import pytest

from processes.network_of_processes import LOOP, ProcessNetwork, network_of, wait_until
from processes.peer_process import PeerPlan
from zerostate.guild.liveness import AWAY_AT_WORK_S, MAX_FAILED_HEARTBEATS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

FOUND_WITHIN_S = 5.0
"""A frozen peer is found within this. A killed one closes its connections, which is
noticed at once: the rest is for a busy machine."""

SLACK_S = 1.5
"""A report may be half a second old, and this machine busy."""

LONG_TASK = {"limits": {"wall_s": 12.0}}
"""A task that goes on until it is stopped, after this at the latest."""

HEARTBEAT_S = 4.0
"""Shorter than by default: after two without an answer a member that has no work gives
its guild up."""

PACE = {"heartbeat_interval_s": HEARTBEAT_S}

PLANS = (
    PeerPlan("bootstrap"),
    PeerPlan("requester-1", settings=PACE),
    PeerPlan("requester-2", settings=PACE),
    PeerPlan("executor", ("wasm",)),
    PeerPlan("witness", ("witness",)),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One network for all of the module; each test gets it whole."""
    with network_of(PLANS, tmp_path_factory.mktemp("net"), kept=True) as network:
        yield network


@pytest.fixture
def network(running) -> ProcessNetwork:
    running.make_whole()
    return running


def begin_long_task(network, requester):
    """Submit a task that goes on by itself; return it once it has been accepted."""
    stages = []
    task = network.submit_soon(
        requester,
        members=2,
        module=LOOP,
        manifest=LONG_TASK,
        tell=lambda stage, _text: stages.append(stage),
    )
    wait_until(lambda: "task.accepted" in stages or task.done(), "the task accepted")
    assert not task.done(), task.result()
    return task


def run_one_task(network, requester):
    """Assert that a task is done; return how long it took, in seconds."""
    result = network.submit(requester, members=2)
    assert result.error_code is None, result.error_message
    assert result.report["payment"]["verified"]
    return result.took_s


def ended_guilds(peer):
    return peer.guild_counts().get("guild.ended.creator_lost", 0)


def executions(network):
    """Return how many executions have ended and been stored."""
    answer = network.stack.get(
        "/api/traces", service="executor", operation="execution.task", limit="1500"
    )
    return sum(
        span["operationName"] == "execution.task"
        for trace in answer["data"]
        for span in trace["spans"]
    )


def test_a_killed_member_fails_its_task_at_once_and_may_come_back(network):
    requester, executor = network["requester-1"], network["executor"]
    task = begin_long_task(network, requester)
    killed_at_s = time.monotonic()
    executor.kill()
    result = task.result(30)
    took_s = time.monotonic() - killed_at_s

    assert result.error_code == "peer_lost"
    assert took_s < FOUND_WITHIN_S
    network.make_whole()
    run_one_task(network, requester)

    stored = network.stored_traces()
    stored.assert_whole(network.killed)
    trace = stored[result.trace_id]
    [root] = trace.roots
    [waiting] = trace.named("task.result")
    assert root.tags["error.type"] == waiting.tags["error.type"] == "peer_lost"


def test_members_of_a_killed_creator_end_its_guild_with_a_reason(network):
    patience_s = {
        network["executor"]: AWAY_AT_WORK_S,
        network["witness"]: MAX_FAILED_HEARTBEATS * HEARTBEAT_S,
    }
    before = {member: ended_guilds(member) for member in patience_s}
    task = begin_long_task(network, network["requester-1"])
    killed_at_s = time.monotonic()
    network["requester-1"].kill()

    for member, waits_s in patience_s.items():
        wait_until(
            lambda member=member: ended_guilds(member) == before[member] + 1,
            f"{member.name} has ended the guild",
            timeout_s=killed_at_s + waits_s + SLACK_S - time.monotonic(),
        )
    assert task.result(30).error_code == "no_answer"
    assert all(member.is_running for member in patience_s)


@pytest.mark.slow
def test_an_executor_works_no_longer_for_a_creator_who_is_gone(network):
    executed = executions(network)
    before = ended_guilds(network["executor"])
    begin_long_task(network, network["requester-1"])
    network["requester-1"].kill()
    wait_until(lambda: ended_guilds(network["executor"]) > before, "the guild's end")

    wait_until(
        lambda: executions(network) > executed,
        "the execution's end",
        timeout_s=LONG_TASK["limits"]["wall_s"] / 3,
    )


@pytest.mark.slow
def test_a_killed_bootstrap_peer_is_missed_by_nobody_and_found_again(network):
    bootstrap = network["bootstrap"]
    others = [peer for peer in network.peers if peer is not bootstrap]
    bootstrap.kill()
    network.wait_connected(others, timeout_s=FOUND_WITHIN_S + SLACK_S)

    run_one_task(network, network["requester-2"])
    network.start(bootstrap)
    network.wait_connected(network.peers)
    assert all(peer.stats()["redial.losses"] >= 1 for peer in others)


@pytest.mark.slow
def test_a_frozen_peer_is_found_and_taken_back_when_it_goes_on(network):
    requester, executor = network["requester-1"], network["executor"]
    lost_before = requester.stats().get("peers.lost", 0)
    task = begin_long_task(network, requester)
    frozen_at_s = time.monotonic()
    executor.freeze()
    result = task.result(30)
    took_s = time.monotonic() - frozen_at_s

    assert result.error_code == "peer_lost"
    assert took_s < FOUND_WITHIN_S + SLACK_S
    assert requester.stats()["peers.lost"] == lost_before + 1
    executor.thaw()
    network.wait_connected(network.peers)
    run_one_task(network, requester)
