"""A network that falls into two halves for ten seconds, and heals (`make test-slow`)."""

import time
from contextlib import contextmanager

import pytest

from held_ports import held_ports
from processes.network_of_processes import network_of, wait_until
from processes.partition import may_use_namespaces, namespaces, proxies
from processes.peer_process import PeerPlan

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

PARTED_S = 10.0
FOUND_WITHIN_S = 5.0
"""As for a frozen peer: nothing tells either side but that the other is silent."""

SLACK_S = 2.0
"""Two looks at a report that is half a second old, and a busy machine."""

HALVES = (0, 0, 1, 1)
CAPABILITIES = ((), ("wasm",), (), ("wasm",))


@contextmanager
def made(kind):
    if kind == "proxies":
        with proxies() as halves:
            yield halves
        return
    if not may_use_namespaces():
        pytest.skip("network namespaces need root and ip(8); the proxies' test runs")
    with namespaces() as halves:
        yield halves


def plans_for(halves, ports):
    """Return plans of peers that stay connected with all others by themselves.

    Each dials those before it, through whatever lies between the halves.
    """
    return [
        PeerPlan(
            f"{'executor' if capabilities else 'requester'}-{half}",
            capabilities,
            {
                "listen": [f"/ip4/{halves.listen_ip(half)}/tcp/{ports[number]}"],
                # What others say of addresses would lead around the proxies.
                "dht": False,
            },
            halves.prefix(half),
        )
        for number, (half, capabilities) in enumerate(
            zip(HALVES, CAPABILITIES, strict=True)
        )
    ]


def bootstrap_of(number, peers, halves, ports):
    addresses = []
    for other in range(number):
        ip, port = halves.endpoint(HALVES[number], HALVES[other], ports[other])
        addresses.append(f"/ip4/{ip}/tcp/{port}/p2p/{peers[other].peer_id}")
    return {"bootstrap": addresses}


@pytest.mark.parametrize("kind", ["namespaces", "proxies"])
def test_two_halves_work_on_alone_and_together_again_once_healed(tmp_path, kind):
    with (
        made(kind) as halves,
        held_ports(len(HALVES)) as ports,
        network_of(
            plans_for(halves, ports),
            tmp_path,
            with_stack=False,
            kept=True,
            settings_of=lambda number, peers: bootstrap_of(
                number, peers, halves, ports
            ),
        ) as network,
    ):
        run_across_the_halves(network, halves)


def run_across_the_halves(network, halves):
    left, right = network.peers[:2], network.peers[2:]
    requesters = (network["requester-0"], network["requester-1"])
    for requester in requesters:
        assert network.submit(requester, members=2).error_code is None
    lost_before = network.totals()["peers.lost"]

    halves.part()
    parted_at_s = time.monotonic()
    for half in (left, right):
        network.wait_connected(half, timeout_s=FOUND_WITHIN_S + SLACK_S)
    # Each of the four connections across was given up at one end at least.
    assert network.totals()["peers.lost"] - lost_before >= 4
    for requester, own in zip(requesters, ("executor-0", "executor-1"), strict=True):
        result = network.submit(requester, members=1)
        assert result.error_code is None, result.error_message
        assert result.report["task"]["executor"] == network[own].peer_id
    alone = network.submit_soon(requesters[0], members=2)
    time.sleep(max(0.0, PARTED_S - (time.monotonic() - parted_at_s)))

    halves.join()
    network.wait_connected(network.peers)
    # It asked for two members while there was but one: done after all, or it says why.
    assert alone.result(60).error_code in {None, "guild_not_formed"}
    for requester in requesters:
        result = network.submit(requester, members=2)
        assert result.error_code is None, result.error_message
    wait_until(
        lambda: network.totals()["redial.losses"] >= 4, "the losses counted by redial"
    )
