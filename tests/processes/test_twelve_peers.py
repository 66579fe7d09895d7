"""Twelve peers as twelve processes, three guilds at a time (`make test-slow`)."""

import math
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest

from processes.accounting import (
    EXECUTION,
    assert_gossip_arrived,
    assert_report_agrees,
    assert_reported_well,
    assert_requests_arrived,
)
from processes.network_of_processes import ProcessNetwork, TaskResult, network_of
from processes.peer_process import PeerPlan
from processes.stored_traces import StoredTrace, StoredTraces, links_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

TASKS = 200
WARM_UP_TASKS = 50
REQUESTERS = 3

MEMBERS = 4
"""One more than there are witnesses, so that each guild has an executor, whoever joins
first."""

PLANS = (
    *(PeerPlan(f"requester-{number}") for number in range(1, REQUESTERS + 1)),
    *(PeerPlan(f"executor-{number}", ("wasm",)) for number in range(1, 7)),
    *(PeerPlan(f"witness-{number}", ("witness",)) for number in range(1, 4)),
)

MAX_GROWTH_BYTES = 6 << 20
"""What a peer may grow from the 50th task to the 200th, 40 kB a task.

Some of it is owed: a message's id is remembered for 240 s (some 240 bytes, and about 50
messages a task come by), a payment that is expected and a channel's state stay. That is
below 20 kB a task, and stops growing when ids begin to be forgotten. The rest is room
for the allocator. What leaks a task's module, input or stream exceeds it.
"""


FORGOTTEN_AFTER_S = 260.0
"""After this, message ids are forgotten as fast as new ones come: they are kept for
240 s."""

STEADY_TASKS = 100

MAX_STEADY_GROWTH_BYTES = 2 << 20
"""What a peer may grow by `STEADY_TASKS` once it forgets as much as it learns. What is
kept of a task for good (its record with the requester, 10 kB; a payment's row, 2 kB) is
below 0.4 MiB for the third of them that one requester submits."""


def test_twelve_peers_run_two_hundred_tasks_and_account_for_everything(tmp_path):
    with network_of(PLANS, tmp_path) as network:
        began_s = time.monotonic()
        results = run_tasks(network)
        # Now: the stack keeps so many spans, and forgets the oldest of those to come.
        stored = network.stored_traces()
        stats = network.stats()
        assert_memory_is_flat(network, began_s + FORGOTTEN_AFTER_S)
        assert_nobody_was_lost(network.stats())

    assert_reported_well(results)
    stored.assert_whole()
    for result in results:
        trace = stored[result.trace_id]
        assert_report_agrees(result, trace, network.names, members=MEMBERS)
    for name in EXECUTION:
        assert stored.names()[name] == TASKS
    assert_requests_arrived(stored)
    assert_gossip_arrived(stored, stats)


def test_strangers_work_stands_in_linked_roots_found_from_either_end(tmp_path):
    with network_of(PLANS, tmp_path, all_known=False) as network:
        results = run_tasks(network)
        stored = network.stored_traces()
        stats = network.stats()

        assert_reported_well(results)
        stored.assert_whole()
        paid = paid_by_requester(stored, results)
        found = 0
        for result in results:
            trace = stored[result.trace_id]
            linked = [
                other
                for other in stored.linked_to(result.trace_id)
                if other.named("guild.join")
            ]
            apart = {service for other in linked for service in joined(other)}
            together = {span.service for span in trace.named("guild.join")}
            # Whom the requester has a channel with is no stranger any more, nor is who
            # has not heard yet that its guild of the task before is over.
            for service in together - paid[requester_of(trace)]:
                began_us = min(s.start_us for s in trace.spans if s.service == service)
                assert any(
                    began_us <= member_until_us(stored, other).get(service, 0)
                    for other in results
                    if other.requester == result.requester and other is not result
                ), trace.drawn()
            assert not apart & together, trace.drawn()
            assert len(apart | joined(trace)) == MEMBERS, trace.drawn()
            ids = {other.trace_id for other in linked}
            assert ids <= links_of(network.stack, result.trace_id, "in")
            for trace_id in ids:
                assert result.trace_id in links_of(network.stack, trace_id, "out")
            found += len(apart)
    # Three of the nine candidates are witnesses, who are never paid.
    assert found >= TASKS
    for name in EXECUTION:
        assert stored.names()[name] == TASKS
    assert_requests_arrived(stored)
    assert_gossip_arrived(stored, stats)
    assert_nobody_was_lost(stats)


def requester_of(trace: StoredTrace) -> str:
    """Return the name of the peer whose task a trace tells of."""
    (run,) = trace.named("task.run")
    return run.service


def joined(trace: StoredTrace) -> set[str]:
    """Return the names of the peers whose way into a guild stands in `trace`."""
    return {span.service for span in trace.named("guild.join") if not span.is_error}


def member_until_us(stored: StoredTraces, result: TaskResult) -> dict[str, float]:
    """Return until when each member took the guild of a task to go on."""
    trace, linked = stored[result.trace_id], stored.linked_to(result.trace_id)
    heard_us = {
        span.service: span.end_us
        for other in linked
        for span in other.named("p2p.message.guild_dissolve")
    }
    members = joined(trace).union(*map(joined, linked))
    return {name: heard_us.get(name, math.inf) for name in members}


def paid_by_requester(
    stored: StoredTraces, results: Sequence[TaskResult]
) -> dict[str, set[str]]:
    """Return whom each requester has opened a channel with, by name."""
    paid = defaultdict(set)
    for result in results:
        trace = stored[result.trace_id]
        executors = {span.service for span in trace.named("execution.task")}
        for other in stored.linked_to(result.trace_id):
            executors |= {span.service for span in other.named("execution.task")}
        paid[requester_of(trace)] |= executors
    return paid


def run_tasks(network: ProcessNetwork) -> list[TaskResult]:
    """Run all tasks, and hold each peer's memory to `MAX_GROWTH_BYTES`."""
    requesters = network.peers[:REQUESTERS]
    results = network.submit_many(requesters, WARM_UP_TASKS, members=MEMBERS)
    warm_bytes = network.rss_bytes()
    results += network.submit_many(requesters, TASKS - WARM_UP_TASKS, members=MEMBERS)
    grown_bytes = growth(network, warm_bytes)
    told(results, grown_bytes.values())
    assert max(grown_bytes.values()) <= MAX_GROWTH_BYTES, grown_bytes
    return results


def assert_memory_is_flat(network: ProcessNetwork, from_s: float) -> None:
    """Hold each peer's memory to `MAX_STEADY_GROWTH_BYTES` once it forgets, too."""
    results = run_until(network, from_s)
    steady_bytes = network.rss_bytes()
    requesters = network.peers[:REQUESTERS]
    results += network.submit_many(requesters, STEADY_TASKS, members=MEMBERS)
    grown_bytes = growth(network, steady_bytes)
    told(results, grown_bytes.values())
    assert_reported_well(results)
    assert max(grown_bytes.values()) <= MAX_STEADY_GROWTH_BYTES, grown_bytes


def run_until(network: ProcessNetwork, end_s: float) -> list[TaskResult]:
    """Run tasks until a moment of the monotonic clock."""
    requesters, results = network.peers[:REQUESTERS], []
    while time.monotonic() < end_s:
        results += network.submit_many(requesters, 4 * REQUESTERS, members=MEMBERS)
    return results


def growth(network: ProcessNetwork, before: Mapping[str, int]) -> dict[str, int]:
    """Return by how many bytes each peer has grown since."""
    return {name: now - before[name] for name, now in network.rss_bytes().items()}


def told(results: Sequence[TaskResult], grown_bytes) -> None:
    """Write the run's figures; pytest shows them with ``-rP``."""
    took_s = sorted(result.took_s for result in results)
    sys.stdout.write(
        f"{len(results)} tasks, median {took_s[len(took_s) // 2]:.2f} s, longest"
        f" {took_s[-1]:.2f} s; memory grew by {min(grown_bytes) >> 10} to"
        f" {max(grown_bytes) >> 10} KiB\n"
    )


def assert_nobody_was_lost(stats) -> None:
    """Assert that no watchdog took a peer that worked for dead."""
    lost = {name: counts.get("peers.lost", 0) for name, counts in stats.items()}
    assert lost == dict.fromkeys(stats, 0)
