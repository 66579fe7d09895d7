"""A requester whom nobody can dial finds who runs its task through the DHT."""

import pytest

from held_ports import held_ports
from processes.network_of_processes import network_of, wait_until
from processes.peer_process import PeerPlan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

OPS = {"ops_listen": "127.0.0.1:0"}

PLANS = (
    PeerPlan("relay", settings={**OPS, "relay_service": True}),
    PeerPlan("executor", ("wasm",), settings={**OPS, "listen": []}),
    PeerPlan("requester", settings={**OPS, "listen": []}),
)


def settings_on(port):
    """Return settings with which all know the relay, and nobody else can be dialled."""
    listen = f"/ip4/127.0.0.1/tcp/{port}"

    def settings(number, peers):
        relay = f"{listen}/p2p/{peers[0].peer_id}"
        return ({"listen": [listen]}, {"relays": [relay]}, {"bootstrap": [relay]})[
            number
        ]

    return settings


def is_listed(network):
    """Return whether the relay lists the executor for what it offers."""
    answer = network.stack.get(
        "/api/traces", service="executor", operation="p2p.dht.put", limit="20"
    )
    tags = [
        {tag["key"]: tag["value"] for tag in span["tags"]}
        for trace in answer["data"]
        for span in trace["spans"]
    ]
    return any(each.get("dht.peers") for each in tags)


def test_the_executor_is_looked_up_dialled_and_paid(tmp_path):
    with (
        held_ports(1) as [port],
        network_of(
            PLANS, tmp_path, topology="none", settings_of=settings_on(port)
        ) as network,
    ):
        executor, requester = network["executor"], network["requester"]
        wait_until(lambda: requester.connected() == 1, "the requester knows the relay")
        wait_until(lambda: is_listed(network), "the executor listed", timeout_s=30.0)
        assert executor.connected() == requester.connected() == 1
        result = network.submit(requester, members=1)
        stored = network.stored_traces()

    assert result.error_code is None, result.error_message
    assert result.report["task"]["executor"] == executor.peer_id
    assert result.report["payment"]["verified"]
    stored.assert_whole()
    trace = stored[result.trace_id]
    [forming] = trace.named("guild.create")
    looked_up = trace.named("p2p.dht.get")
    assert {each.parent_id for each in looked_up} == {forming.span_id}
    assert looked_up[0].tags["dht.key"].endswith("/wasm")
    assert trace.named("p2p.relay"), "the executor was dialled through the relay"
