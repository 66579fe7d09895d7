"""node.config: one JSON file, every problem at once."""

import json
from pathlib import Path

import pytest

from architecture.markdown import blocks
from architecture.repository import ROOT
from zerostate.cli.demo_chain import CONTRACT
from zerostate.errors import ConfigError
from zerostate.evidence.identity import Identity
from zerostate.node.config import MAX_CONFIG_BYTES, NodeConfig
from zerostate.payment import PaymentConfig
from zerostate.payment.chain import ChainConfig
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


def test_the_network_is_configured_as_the_file_says(tmp_path):
    known, denied = (Identity.generate().peer_id for _ in range(2))
    address = f"/ip4/127.0.0.1/tcp/4001/p2p/{known}"
    config = load(
        tmp_path,
        {
            "service_name": "a",
            "data_dir": str(tmp_path),
            "listen": ["/ip4/127.0.0.1/tcp/4002"],
            "bootstrap": [address],
            "relays": [address],
            "relay_service": True,
            "deny": [denied],
            "known": [known],
            "max_connections": 7,
            "health_interval_s": 5,
            "p2p": {"request_timeout_s": 3, "ping_misses": 4},
        },
    ).p2p_config

    assert config.listen == ("/ip4/127.0.0.1/tcp/4002",)
    assert config.bootstrap == config.relays == (address,)
    assert config.relay_service is True
    assert (config.deny, config.known) == ({denied}, {known})
    assert (config.max_connections, config.health_interval_s) == (7, 5)
    assert (config.request_timeout_s, config.ping_misses) == (3, 4)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"request_timout_s": 1}, "no such setting; did you mean request_timeout_s"),
        ({"max_connections": 1}, "is set beside p2p"),
        ({"trust": {}}, "is set beside p2p"),
        ({"ping_misses": 1.5}, "1.5 is not a whole number"),
        ({"ping_misses": True}, "True is not a whole number"),
        ({"ping_timeout_s": "1"}, "'1' is not a number"),
        ({"ping_timeout_s": 1e9}, "not between"),
    ],
)
def test_what_is_wrong_with_the_networks_other_settings_is_told(
    tmp_path, settings, problem
):
    fields = {"service_name": "a", "data_dir": str(tmp_path), "p2p": settings}
    with pytest.raises(ConfigError, match="p2p: ") as caught:
        load(tmp_path, fields)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", ["/ip4/127.0.0.1"]),
        ("bootstrap", ["/ip4/127.0.0.1/tcp/1"]),
        ("relays", ["nowhere"]),
        ("allow", ["nobody"]),
        ("deny", ["nobody"]),
        ("max_connections", 0),
        ("ops_listen", "127.0.0.1"),
        ("loop_stuck_after_s", 0),
        ("loop_stuck_after_s", 1e9),
        ("export_delay_s", 1e9),
        ("heartbeat_interval_s", 1e9),
        ("capabilities", ["wasm", "x" * 999]),
        ("data_dir", "a\0b"),
        ("health_interval_s", -1),
        ("background_sampling_rate", 2),
        ("servce_name", "a"),
        ("workers", 0),
        ("workers", 65),
        ("compile_timeout_s", 0),
        ("compile_timeout_s", 601),
        ("max_task_wall_s", 0),
        ("max_task_wall_s", 601),
        ("max_task_memory_bytes", 1000),
        ("max_unpaid_tasks", 0),
        ("max_unpaid_tasks", 10_001),
        ("max_task_memory_bytes", (1 << 30) + 1),
    ],
)
def test_each_setting_of_the_service_is_checked(tmp_path, name, value):
    fields = {"service_name": "a", "data_dir": str(tmp_path), name: value}
    with pytest.raises(ConfigError, match=f"^{name}: "):
        load(tmp_path, fields)


@pytest.mark.parametrize(
    "name", ["loop_stuck_after_s", "export_delay_s", "heartbeat_interval_s"]
)
@pytest.mark.parametrize("number", ["1e400", "NaN", "-Infinity"])
def test_a_time_without_end_is_refused(tmp_path, name, number):
    text = f'{{"service_name": "a", "data_dir": "x", "{name}": {number}}}'
    with pytest.raises(ConfigError, match=f"^{name}: "):
        load(tmp_path, text)


def test_what_a_layer_refuses_is_told_by_the_key_in_the_file(tmp_path):
    fields = {"service_name": "a", "data_dir": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"^price_base, price_per_gigafuel: "):
        load(tmp_path, {**fields, "price_base": 5})


def test_what_a_peer_is_to_its_guilds_is_configured_as_the_file_says(tmp_path):
    fields = {"service_name": "a", "data_dir": str(tmp_path)}
    offer = {"capabilities": ["wasm"], "price_base": 5, "price_per_gigafuel": 0}
    config = load(tmp_path, {**fields, **offer}).guild_config

    assert (config.price_base, config.price_per_gigafuel) == (5, 0)
    assert load(tmp_path, {**fields, "observes": True}).guild_config.observes
    with pytest.raises(ConfigError, match="give both or neither"):
        load(tmp_path, {**fields, "price_base": 5})
    with pytest.raises(ConfigError, match="an observer offers nothing"):
        load(tmp_path, {**fields, **offer, "observes": True})


NODE = {"url": "http://127.0.0.1:8545", "contract": "0x" + "Ab" * 20}


def test_without_a_chain_channels_are_promises(tmp_path):
    config = load(tmp_path, {"service_name": "a", "data_dir": str(tmp_path)})

    assert config.payment_config == PaymentConfig(data_dir=tmp_path)


def test_the_chain_is_configured_as_the_file_says(tmp_path):
    fields = {
        "service_name": "a",
        "data_dir": str(tmp_path),
        "chain": {**NODE, "confirmations": 1, "poll_s": 1, "chain_id": 5},
        "channel_window_s": 30 * 86_400,
        "channel_ttl_s": 60,
        "max_exposure": 7,
        "max_own_deposit": 8,
        "watchtowers": ["http://127.0.0.1:8480"],
        "payment_passphrase_file": "/secret",
    }
    config = load(tmp_path, fields)
    payment = config.payment_config

    assert payment.chain == ChainConfig(
        data_dir=tmp_path,
        url="http://127.0.0.1:8545",
        contract="0x" + "ab" * 20,
        confirmations=1,
        poll_s=1,
    )
    assert (payment.chain_id, payment.contract) == (5, "0x" + "ab" * 20)
    assert (payment.window_s, payment.ttl_s) == (30 * 86_400, 60)
    assert payment.max_window_s == payment.window_s
    assert (payment.max_exposure, payment.max_own_deposit) == (7, 8)
    assert payment.watchtowers == ("http://127.0.0.1:8480",)
    assert payment.passphrase_file == Path("/secret")


def test_a_chain_of_no_id_is_the_embedded_one(tmp_path):
    fields = {"service_name": "a", "data_dir": str(tmp_path), "chain": NODE}

    assert load(tmp_path, fields).payment_config.chain_id == 31337


@pytest.mark.parametrize(
    ("chain", "problems"),
    [
        ({}, ["url: missing", "contract: missing"]),
        ({**NODE, "ur": 1}, ["ur: there is no such setting; did you mean url?"]),
        (
            {"url": 1, "contract": "0x12", "chain_id": 0, "poll_s": "1"},
            [
                "url: not a text",
                "contract: not the address",
                "chain_id: 0 is",
                "poll_s",
            ],
        ),
        ({**NODE, "contract": "0x" + "00" * 20}, ["contract: not the address"]),
        ({**NODE, "confirmations": 1.5}, ["1.5 is not a whole number"]),
        ({**NODE, "chain_id": True}, ["chain_id: True is not"]),
        (
            {**NODE, "confirmations": 0, "poll_s": 0},
            ["confirmations: 0 is not within", "poll_s: 0 is not within"],
        ),
        ({**NODE, "data_dir": "/"}, ["data_dir: there is no such setting"]),
    ],
)
def test_all_that_is_wrong_with_a_chain_is_told_at_once(tmp_path, chain, problems):
    fields = {"service_name": "a", "data_dir": str(tmp_path), "chain": chain}
    with pytest.raises(ConfigError, match=r"^chain: ") as caught:
        load(tmp_path, fields)

    (told,) = caught.value.problems
    assert [problem in told for problem in problems] == [True] * len(problems)
    assert told.count("; ") >= len(problems) - 1


def test_a_chains_address_may_be_a_secret_and_is_never_shown(tmp_path):
    secret = {**NODE, "url": "ftp://token@node"}
    fields = {"service_name": "a", "data_dir": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"chain: url: not an http") as caught:
        load(tmp_path, {**fields, "chain": secret})
    config = load(tmp_path, {**fields, "chain": {**NODE, "url": "https://token@node"}})

    assert "token" not in str(caught.value)
    assert "token" not in repr(config)
    assert "token" not in repr(config.payment_config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channel_window_s", 9),
        ("channel_window_s", 30 * 86_400 + 1),
        ("channel_ttl_s", 59),
        ("max_exposure", 0),
        ("max_own_deposit", -1),
        ("watchtowers", ["http://127.0.0.1:8480"]),
        ("payment_passphrase_file", "a\0b"),
        ("chain", "http://127.0.0.1:8545"),
    ],
)
def test_each_setting_of_the_channels_is_checked(tmp_path, name, value):
    fields = {"service_name": "a", "data_dir": str(tmp_path), name: value}
    with pytest.raises(ConfigError, match=f"^{name}: "):
        load(tmp_path, fields)


def test_the_settings_that_the_document_shows_are_taken(tmp_path):
    shown = [
        block.text
        for block in blocks(ROOT / "docs" / "payment.md")
        if block.language == "json" and '"channel_deposit"' in block.text
    ]
    (text,) = shown
    fields = {"service_name": "a", "data_dir": str(tmp_path), **json.loads(text)}

    assert load(tmp_path, fields).payment_config.chain.contract == CONTRACT
