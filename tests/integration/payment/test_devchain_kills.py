"""The embedded chain is killed with kill -9, again and again."""

import random
import signal
import threading
from http.client import HTTPException

import pytest

from devchain_process import devchain, signed, write_genesis
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.payment.contract import channel_contract

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

KEY = EthKey(b"\x07" * 32)
RECEIVER = EthAddress("0x" + "12" * 20)
CHECKED_BLOCKS = 20


def send_until_killed(client, nonce, heads, after, process):
    """Send transfers; kill the chain while one is under way. Returns the next nonce."""
    killer = threading.Timer(after, lambda: process.send_signal(signal.SIGKILL))
    killer.start()
    try:
        while True:
            client.transfer(KEY, nonce, RECEIVER)
            nonce += 1
            block = client.ask("eth_getBlockByNumber", "latest", False)
            heads[int(block["number"], 16)] = block["hash"]
    except (OSError, HTTPException):
        return nonce
    finally:
        killer.join()


def check_all(client, nonce, heads, contract):
    """Assert that all that was acknowledged is there, and return the next nonce."""
    # One more may have become durable while its answer was lost.
    found = client.number("eth_getTransactionCount", KEY.address, "latest")
    assert found in {nonce, nonce + 1}
    assert client.number("eth_getBalance", RECEIVER, "latest") == found - 1
    for number in sorted(heads)[-CHECKED_BLOCKS:]:
        block = client.ask("eth_getBlockByNumber", hex(number), False)
        assert block["hash"] == heads[number]
    code = client.ask("eth_getCode", contract, "latest")
    assert code == "0x" + channel_contract().runtime_bytecode.hex()
    return found


def survive(tmp_path, kills, seed):
    chance = random.Random(seed)
    genesis = write_genesis(tmp_path / "genesis.json", {KEY.address: 10**20})
    db = tmp_path / "chain.db"
    with devchain(db, genesis) as (_, client):
        deploying = signed(
            KEY, 0, None, 0, data=channel_contract().bytecode, gas=3_000_000
        )
        tx_hash = client.ask("eth_sendRawTransaction", deploying)
        contract = client.ask("eth_getTransactionReceipt", tx_hash)["contractAddress"]
    nonce, heads = 1, {}
    for _ in range(kills):
        with devchain(db, genesis) as (process, client):
            nonce = check_all(client, nonce, heads, contract)
            nonce = send_until_killed(
                client, nonce, heads, chance.uniform(0.02, 0.5), process
            )
    with devchain(db, genesis) as (_, client):
        check_all(client, nonce, heads, contract)
    return len(heads)


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path):
    assert survive(tmp_path, kills=4, seed=5) > 0


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_by_many_kills(tmp_path):
    assert survive(tmp_path, kills=40, seed=55) > 40


def test_the_process_ends_when_asked_to_and_refuses_a_second_one(tmp_path):
    genesis = write_genesis(tmp_path / "genesis.json", {KEY.address: 10**18})
    with devchain(tmp_path / "chain.db", genesis) as (process, client):
        assert client.number("eth_chainId") == 31337
        with pytest.raises(ValueError, match="Expecting value"):  # it says nothing
            with devchain(tmp_path / "chain.db", genesis) as _:
                pass
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
