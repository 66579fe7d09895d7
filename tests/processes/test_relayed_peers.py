"""Peers that nobody can dial, who work together through a relay."""

import pytest

from held_ports import held_ports
from processes.network_of_processes import ProcessNetwork, network_of, wait_until
from processes.peer_process import PeerPlan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

OPS = {"ops_listen": "127.0.0.1:0"}

BEHIND = {**OPS, "listen": [], "p2p": {"redial_cap_s": 1.0}}
"""Listens nowhere: it has no address but its place at the relay."""

PLANS = (
    PeerPlan("relay", settings={**OPS, "relay_service": True}),
    PeerPlan("requester", settings=BEHIND),
    PeerPlan("executor", ("wasm",), settings=BEHIND),
)

HEARD_WITHIN_S = 6.0
"""Until peers behind a relay that is killed have noticed, on a busy machine."""


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> ProcessNetwork:
    """A relay with a port of its own, and two peers that are reached only through it."""
    directory = tmp_path_factory.mktemp("net")
    with held_ports(1) as [port]:
        listen = f"/ip4/127.0.0.1/tcp/{port}"

        def settings(number, peers):
            relay = f"{listen}/p2p/{peers[0].peer_id}"
            return {"relays": [relay]} if number else {"listen": [listen]}

        with network_of(
            PLANS, directory, topology="none", settings_of=settings
        ) as network:
            wait_reachable(network)
            yield network


def wait_reachable(network):
    """Wait until both peers have a place at the relay and are advertised there."""
    relay = network["relay"].peer_id
    for name in ("requester", "executor"):
        peer = network[name]
        expected = f"/p2p/{relay}/p2p-circuit/p2p/{peer.peer_id}"
        wait_until(
            lambda peer=peer, expected=expected: [
                one for one in peer.call("info")["addresses"] if one.endswith(expected)
            ],
            f"{name} has a place at the relay",
            timeout_s=20.0,
        )


def run_one_task(network):
    result = network.submit(network["requester"], members=1)
    assert result.error_code is None, result.error_message
    assert result.report["task"]["executor"] == network["executor"].peer_id
    assert result.report["payment"]["verified"]
    return result


def paths(network, name):
    """Return through whom the peers that are connected with `name` are, by their id."""
    listed = network[name].call("peer_list")["peers"]
    return {one["peer_id"]: one["relay"] for one in listed}


def ends(span):
    """Return who the ends of a relayed connection are, and who is between."""
    keys = ("relay.src_peer", "relay.dst_peer", "relay.peer.id")
    return tuple(span.tags[key] for key in keys)


def test_a_task_goes_through_a_relay_and_the_path_is_in_its_trace(network):
    relay, requester, executor = (
        network[name].peer_id for name in ("relay", "requester", "executor")
    )
    result = run_one_task(network)
    assert paths(network, "requester") == {relay: None, executor: relay}
    assert paths(network, "executor") == {relay: None, requester: relay}

    stored = network.stored_traces()
    stored.assert_whole()
    through = (executor, requester, relay)
    trace = stored[result.trace_id]
    # Whoever hears the announcement dials who made it.
    [dial] = trace.named("p2p.relay")
    assert dial.service == "executor"
    assert (dial.tags["relay.direction"], ends(dial)) == ("dial", through)
    assert trace.services == {"requester", "executor"}
    told = {
        (span.service, span.tags["relay.direction"]): span
        for span in stored.spans
        if span.name == "p2p.relay" and ends(span) == through
    }
    assert set(told) == {
        ("executor", "dial"),
        ("relay", "forward"),
        ("requester", "accept"),
    }
    # No trace context goes through the relay's own protocol.
    assert len({span.trace_id for span in told.values()}) == 3
    assert not any(span.is_error for span in told.values())
    for name in ("requester", "executor"):
        own = network[name].peer_id
        [reserved] = [
            span
            for span in stored.spans
            if span.name == "p2p.relay"
            and ends(span) == (own, relay, relay)
            and not span.tags.get("zerostate.background")
        ]
        assert (reserved.service, reserved.parent_id) == (name, None)
    counts = network["relay"].stats()
    assert (counts["relay.circuits.asked"], counts["relay.reservations.granted"]) == (
        1,
        2,
    )


def test_peers_lose_each_other_with_their_relay_and_find_each_other_with_it(network):
    relay, requester = network["relay"], network["requester"]
    relay.kill()
    for name in ("requester", "executor"):
        wait_until(
            lambda name=name: not paths(network, name),
            f"{name} has lost relay and peer",
            timeout_s=HEARD_WITHIN_S,
        )
        assert network[name].call("info")["addresses"] == []
    alone = network.submit(requester, members=1)
    assert alone.error_code == "guild_not_formed"
    assert alone.error_message.endswith("; no peers connected")

    network.start(relay)
    wait_reachable(network)
    run_one_task(network)
    assert paths(network, "requester")[network["executor"].peer_id] == relay.peer_id
    stored = network.stored_traces()
    stored.assert_whole(network.killed)
