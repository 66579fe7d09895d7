"""Peers in a circle: a requester and an executor that have only neighbours in common."""

import pytest

from processes.accounting import (
    assert_gossip_arrived,
    assert_report_agrees,
    assert_reported_well,
    assert_requests_arrived,
)
from processes.network_of_processes import network_of
from processes.peer_process import PeerPlan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PLANS = (
    PeerPlan("requester"),
    PeerPlan("left"),
    PeerPlan("executor", ("wasm",)),
    PeerPlan("right"),
)


def test_a_guild_comes_together_across_a_ring_by_what_neighbours_hand_on(tmp_path):
    with network_of(PLANS, tmp_path, topology="ring") as network:
        requester, executor = network["requester"], network["executor"]
        neighbours = {network[name].peer_id for name in ("left", "right")}
        assert connected(executor) == neighbours
        assert connected(requester) == neighbours
        result = network.submit(requester, members=1)
        stored = network.stored_traces()
        stats = network.stats()
        names = network.names
        now = connected(executor)

    assert_reported_well([result])
    stored.assert_whole()
    trace = stored[result.trace_id]
    assert_report_agrees(result, trace, names, members=1)
    heard = [
        span
        for span in trace.named("p2p.gossip.deliver")
        if span.service == "executor" and span.tags["message.type"] == "guild_announce"
    ]
    assert heard
    assert heard[0].tags["peer.id"] == requester.peer_id
    assert heard[0].tags["gossip.forwarder.peer.id"] in neighbours
    # It has dialled the creator: a guild's members talk to it directly.
    assert now == neighbours | {requester.peer_id}
    assert_requests_arrived(stored)
    assert_gossip_arrived(stored, stats)


def connected(peer):
    """Return who is connected with `peer`, by id."""
    return {one["peer_id"] for one in peer.call("peer_list")["peers"]}
