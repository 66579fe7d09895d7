"""A watchtower's settings, as they stand in its file."""

import json

import pytest

from architecture.markdown import blocks
from architecture.repository import ROOT
from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import EthAddress
from zerostate.payment.watchtower.config import WatchtowerConfig

CONTRACT = EthAddress("0x" + "c0" * 20)
CHAIN = {"url": "http://127.0.0.1:8545", "contract": CONTRACT}


def load(folder, **content):
    path = folder / "tower.json"
    path.write_text(json.dumps({"data_dir": str(folder), "chain": CHAIN, **content}))
    return WatchtowerConfig.load(path)


def test_what_is_said_of_the_chain_goes_to_the_chain(tmp_path):
    config = load(tmp_path, chain={**CHAIN, "confirmations": 3}, listen="[::1]:0")

    assert config.address == ("::1", 0)
    chain = config.chain_config
    assert (chain.data_dir, chain.url) == (tmp_path, CHAIN["url"])
    assert (chain.contract, chain.confirmations) == (CONTRACT, 3)
    assert config.chain_id == 31337


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"lisen": "127.0.0.1:1"}, "lisen: there is no such setting; did you mean"),
        ({"listen": "0.0.0.0:8480"}, "listen: 0.0.0.0 is not a loopback address"),
        ({"listen": "127.0.0.1:99999"}, "listen: '99999' is no port"),
        ({"listen": "here"}, "listen: 'here' is no IP address and port"),
        ({"max_channels": 0}, "max_channels: "),
        ({"poll_s": 0}, "poll_s: "),
        ({"chain": {}}, "chain: url: missing; contract: missing"),
        (
            {"chain": {**CHAIN, "confirmation": 1}},
            "chain: confirmation: there is no such setting; did you mean confirmations",
        ),
        ({"chain": {**CHAIN, "confirmations": 0}}, "chain: confirmations: 0 is not"),
        ({"chain": {**CHAIN, "confirmations": "1"}}, "'1' is not a whole number"),
        ({"chain": {**CHAIN, "data_dir": "/"}}, "data_dir: there is no such setting"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, problem):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **content)

    assert problem in str(caught.value)


def test_a_node_s_address_with_its_secret_is_not_shown(tmp_path):
    config = load(tmp_path, chain={**CHAIN, "url": "http://x:secret@127.0.0.1:1"})

    assert "secret" not in repr(config)
    assert "secret" not in repr(config.chain_config)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.json: cannot be read"):
        WatchtowerConfig.load(tmp_path / "missing.json")


def test_the_settings_that_the_document_shows_are_taken(tmp_path):
    (text,) = (
        block.text
        for block in blocks(ROOT / "docs" / "payment.md")
        if block.language == "json" and '"listen"' in block.text
    )
    config = load(tmp_path, **json.loads(text))

    assert config.chain_config.confirmations == 12
    assert config.chain_id == 31337
