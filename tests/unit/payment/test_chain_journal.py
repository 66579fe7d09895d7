"""The journal of sent transactions, what is offered for gas, and the configuration."""

import pytest

from zerostate.errors import (
    ChainError,
    ConfigError,
    StoreCorruptError,
    StoreLockedError,
)
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.chain import ChainConfig
from zerostate.payment.chain.config import JOURNAL_FILE
from zerostate.payment.chain.fees import Fees, first_fees, raised_fees
from zerostate.payment.chain.journal import Journal

KEY = EthKey(b"\x0b" * 32)


def config(folder, **changes):
    return ChainConfig(data_dir=folder, url="http://127.0.0.1:1", **changes)


def test_only_one_process_sends_from_a_journal(tmp_path):
    path = tmp_path / JOURNAL_FILE
    journal = Journal.open(path, chain="1:a", sender=KEY.address)

    with pytest.raises(StoreLockedError):
        Journal.open(path, chain="1:a", sender=KEY.address)

    journal.close()


def test_a_journal_that_is_not_ours_is_refused(tmp_path):
    path = tmp_path / JOURNAL_FILE
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(StoreCorruptError):
        Journal.open(path, chain="1:a", sender=KEY.address)


def test_fees_have_a_limit(tmp_path):
    settings = config(tmp_path, max_fee_wei=100, max_tip_wei=10)

    assert first_fees(20, 50, settings) == Fees(50, 10)
    assert first_fees(90, 50, settings) == Fees(100, 10)
    with pytest.raises(ChainError, match="max_fee_wei is 100"):
        first_fees(101, 5, settings)
    assert raised_fees(Fees(50, 10), 20, settings) == Fees(63, 13)
    assert raised_fees(Fees(80, 10), 20, settings) == Fees(100, 13)
    assert raised_fees(Fees(90, 10), 20, settings) is None


def test_every_wrong_field_of_the_configuration_is_told(tmp_path):
    with pytest.raises(ConfigError) as caught:
        ChainConfig(
            data_dir=tmp_path,
            url="ftp://127.0.0.1",
            confirmations=0,
            poll_s=0,
            gas_margin_ratio=9,
        )

    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "chain.confirmations",
        "chain.poll_s",
        "chain.gas_margin_ratio",
        "chain.url",
    ]


def test_the_address_of_the_node_is_not_shown(tmp_path):
    assert "secret" not in repr(
        ChainConfig(data_dir=tmp_path, url="https://node.example/secret")
    )
