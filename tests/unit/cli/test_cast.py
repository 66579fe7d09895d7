"""Who is who in the demo's network."""

import json

import pytest

from zerostate.cli.cast import (
    MAX_PEERS,
    NetworkPlan,
    make_identity,
    peer_spec,
    roles,
)
from zerostate.cli.ports import DemoPorts


def test_three_peers_are_a_requester_an_executor_and_a_member():
    cast = roles(3)

    assert [role.service for role in cast] == ["requester", "executor", "member"]
    assert [role.capabilities for role in cast] == [(), ("wasm",), ("witness",)]


@pytest.mark.parametrize("peers", [4, MAX_PEERS])
def test_further_peers_are_numbered_members(peers):
    cast = roles(peers)

    assert len({role.service for role in cast}) == peers
    assert cast[3].service == "member-2"
    assert {role.role for role in cast[2:]} == {"member"}


def test_each_peers_config_names_the_others_and_the_stack(tmp_path):
    cast = roles(3)
    peer_ids = {role: make_identity(tmp_path / role.service) for role in cast}
    plan = NetworkPlan(
        peers=3, data_dir=tmp_path, data_dir_is_wanted=False, run_dir=tmp_path
    )

    spec = peer_spec(plan, DemoPorts(otlp_http=1), cast[1], peer_ids)

    config = json.loads((tmp_path / "executor" / "config.json").read_text())
    assert spec.arguments == ("--config", str(tmp_path / "executor" / "config.json"))
    assert config["known"] == [peer_ids[cast[0]], peer_ids[cast[2]]]
    assert config["otlp_endpoint"] == "http://127.0.0.1:1"
    assert config["capabilities"] == ["wasm"]
    assert (tmp_path / "executor" / "identity.key").stat().st_mode & 0o777 == 0o600


def test_the_node_takes_the_config(tmp_path):
    from zerostate.node.config import NodeConfig

    cast = roles(3)
    peer_ids = {role: make_identity(tmp_path / role.service) for role in cast}
    plan = NetworkPlan(
        peers=3, data_dir=tmp_path, data_dir_is_wanted=False, run_dir=tmp_path
    )
    peer_spec(plan, DemoPorts(), cast[0], peer_ids)

    config = NodeConfig.load(tmp_path / "requester" / "config.json")

    assert config.service_name == "requester"
    assert config.die_with_parent
