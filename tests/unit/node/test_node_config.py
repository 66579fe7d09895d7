"""node.config: one JSON file, every problem at once."""

import json

import pytest

from zerostate.errors import ConfigError
from zerostate.evidence.identity import Identity
from zerostate.node.config import MAX_CONFIG_BYTES, NodeConfig
from zerostate.telemetry.trust import Treatment


def load(tmp_path, fields):
    path = tmp_path / "node.json"
    path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return NodeConfig.load(path)


def test_a_minimal_file_is_enough(tmp_path):
    config = load(tmp_path, {"service_name": "a", "data_dir": str(tmp_path)})

    assert config.control_socket == tmp_path / "control.sock"
    assert config.listen == ("/ip4/127.0.0.1/tcp/0",)


def test_known_peers_are_checked(tmp_path):
    peer_id = Identity.generate().peer_id
    fields = {"service_name": "a", "data_dir": str(tmp_path)}

    assert load(tmp_path, {**fields, "known": [peer_id]}).known == (peer_id,)
    with pytest.raises(ConfigError, match=r"known"):
        load(tmp_path, {**fields, "known": ["nobody"]})


def test_every_problem_is_reported_at_once(tmp_path):
    fields = {"service_name": "", "export_delay_s": 0, "unknown": 1}
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, fields)

    places = {problem.split(":")[0] for problem in caught.value.problems}
    assert places == {"service_name", "data_dir", "export_delay_s", "unknown"}


@pytest.mark.parametrize("text", ["", "{", "[]", " " * (MAX_CONFIG_BYTES + 1)])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, text):
    with pytest.raises(ConfigError):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.json"):
        NodeConfig.load(tmp_path / "missing.json")


def test_a_directory_too_deep_for_a_socket_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="shorter directory"):
        load(tmp_path, {"service_name": "a", "data_dir": str(tmp_path / ("x" * 120))})


def test_a_trust_policy_is_read_and_checked(tmp_path):
    fields = {"service_name": "a", "data_dir": str(tmp_path)}
    trust = {"known": "continue", "stranger": "ignore"}
    config = load(tmp_path, {**fields, "trust": trust})

    assert config.trust_policy.stranger is Treatment.IGNORE
    with pytest.raises(ConfigError, match=r"trust.nobody: unknown"):
        load(tmp_path, {**fields, "trust": {"banned": "continue", "nobody": 1}})
