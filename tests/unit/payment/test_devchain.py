"""The embedded chain, in this process, with a clock of its own."""

import pytest

from devchain_process import FEES, signed
from zerostate.errors import ConfigError, StoreCorruptError, StoreLockedError
from zerostate.evidence.ethereum import EthAddress, EthKey, keccak256
from zerostate.payment._web3.abi import ContractAbi
from zerostate.payment.chain.fees import Fees
from zerostate.payment.contract import channel_contract
from zerostate.payment.devchain import DevChain, Genesis
from zerostate.payment.devchain.keyvalue import KeyValueFile
from zerostate.payment.devchain.methods import answer
from zerostate.payment.devchain.windows import CLOSING_TOPIC, SETTLED_TOPIC
from zerostate.payment.devchain.wire import RpcError
from zerostate.testing import FakeClock
from zerostate.units import NS_PER_S

KEY, OTHER = EthKey(b"\x05" * 32), EthKey(b"\x06" * 32)
GENESIS = Genesis(balances={KEY.address: 10**19})
NOBODY = EthAddress("0x" + "99" * 20)
START_S = 1_800_000_000
WINDOW_S = 60
ABI = ContractAbi()


@pytest.fixture
def clock():
    return FakeClock(wall_ns=START_S * NS_PER_S)


@pytest.fixture
def chain(tmp_path, clock):
    opened = DevChain(KeyValueFile.open(tmp_path / "chain.db"), GENESIS, clock)
    yield opened
    opened.close()


def ask(chain, method, *params):
    return answer(chain, method, params)


def refusal(chain, method, *params):
    with pytest.raises(RpcError) as caught:
        answer(chain, method, params)
    return caught.value


def send(chain, nonce, to, wei=0, **of):
    tx_hash = ask(chain, "eth_sendRawTransaction", signed(KEY, nonce, to, wei, **of))
    return ask(chain, "eth_getTransactionReceipt", tx_hash)


def deploy(chain):
    code = channel_contract().bytecode
    receipt = send(chain, 0, None, data=code, gas=3_000_000)
    assert receipt["status"] == "0x1"
    return receipt["contractAddress"]


def start_close(chain, contract):
    """Open a channel and start to close it; return its id."""
    salt = bytes(32)
    words = (31337, int(contract, 16), int(KEY.address, 16))
    channel_type = keccak256(
        b"Channel(uint256 chainId,address verifyingContract,address payer,"
        b"string payee,uint256 deposit,bytes32 salt)"
    )
    cid = keccak256(
        channel_type
        + b"".join(word.to_bytes(32) for word in words)
        + bytes(32)
        + (7).to_bytes(32)
        + salt
    )
    opening = ABI.call("open", cid, OTHER.address, bytes(32), salt, WINDOW_S)
    assert send(chain, 1, contract, 7, data=opening, gas=300_000)["status"] == "0x1"
    closing = ABI.call("start_close", cid, 0, 0, bytes(32), b"", b"")
    assert send(chain, 2, contract, data=closing, gas=300_000)["status"] == "0x1"
    return cid


def time_of(chain):
    return chain.head().timestamp - START_S


def test_each_transaction_has_a_block_of_its_own(chain):
    for nonce in range(3):
        receipt = send(chain, nonce, NOBODY, 5)
        assert receipt["blockNumber"] == hex(nonce + 1)
        assert (receipt["gasUsed"], receipt["status"]) == (hex(21_000), "0x1")

    assert ask(chain, "eth_getBalance", NOBODY) == hex(15)
    assert ask(chain, "eth_getBalance", NOBODY, "0x1") == hex(5)
    assert ask(chain, "eth_getBalance", NOBODY, "earliest") == hex(0)


def test_a_block_is_later_than_its_parent_and_no_earlier_than_the_clock(chain, clock):
    times = []
    for step_s in (0, 0, 0, 10, -20, 0):
        clock.advance(step_s)
        chain.mine()
        times.append(time_of(chain))

    assert times == [0, 1, 2, 10, 11, 12]


def test_the_chain_is_the_same_after_it_was_opened_again(tmp_path, chain, clock):
    contract = deploy(chain)
    send(chain, 1, NOBODY, 5)
    head = chain.head()
    chain.close()

    again = DevChain(KeyValueFile.open(tmp_path / "chain.db"), GENESIS, clock)

    assert again.head().hash == head.hash
    code = channel_contract().runtime_bytecode
    assert ask(again, "eth_getCode", contract) == "0x" + code.hex()
    assert ask(again, "eth_getTransactionCount", KEY.address) == "0x2"
    assert send(again, 2, NOBODY, 5)["blockNumber"] == "0x3"
    again.close()


def test_a_failed_block_leaves_nothing_behind(chain):
    head = chain.head()

    too_dear = signed(KEY, 0, NOBODY, 1, fees=Fees(1, 0))
    assert "fee" in str(refusal(chain, "eth_sendRawTransaction", too_dear))

    assert chain.head() == head
    assert send(chain, 0, NOBODY, 1)["blockNumber"] == "0x1"


def test_a_window_keeps_the_chain_awake_until_it_is_over(tmp_path, chain, clock):
    start_close(chain, deploy(chain))
    deadline_s = time_of(chain) + WINDOW_S
    chain.close()
    chain = DevChain(KeyValueFile.open(tmp_path / "chain.db"), GENESIS, clock)

    blocks = 0
    while chain.keep_awake() is not None:
        blocks += 1
        clock.advance(10)

    assert time_of(chain) >= deadline_s
    assert 5 <= blocks <= 8
    chain.close()


def test_a_settled_channel_lets_the_chain_sleep(chain):
    contract = deploy(chain)
    cid = start_close(chain, contract)
    ask(chain, "evm_increaseTime", WINDOW_S)
    settling = ABI.call("settle", cid)
    assert send(chain, 3, contract, data=settling, gas=300_000)["status"] == "0x1"

    assert chain.keep_awake() is None


def test_without_a_window_no_block_is_added(chain):
    send(chain, 0, NOBODY, 1)

    assert chain.keep_awake() is None
    assert chain.head().block_number == 1


def test_the_events_that_are_watched_are_the_contracts(chain):
    topics = {
        entry["name"]: keccak256(
            f"{entry['name']}({','.join(i['type'] for i in entry['inputs'])})".encode()
        )
        for entry in channel_contract().abi
        if entry["type"] == "event"
    }

    assert topics["Closing"] == CLOSING_TOPIC
    assert topics["Settled"] == SETTLED_TOPIC


def test_turning_the_clock_counts_from_the_newest_block(chain):
    for _ in range(20):
        chain.mine()  # now 19 s ahead of the clock

    ask(chain, "evm_increaseTime", 60)
    ask(chain, "evm_mine")

    assert time_of(chain) == 19 + 60


@pytest.mark.parametrize(
    ("nonce", "of", "words"),
    [
        (1, {}, "nonce too high"),
        (0, {"chain_id": 1}, "invalid chain id"),
        (0, {"fees": Fees(10**30, 0)}, "insufficient funds"),
        (0, {"gas": 30_000_001}, "exceeds block gas limit"),
    ],
    ids=["nonce", "chain", "funds", "gas"],
)
def test_a_transaction_is_refused_in_the_words_of_geth(chain, nonce, of, words):
    exc = refusal(chain, "eth_sendRawTransaction", signed(KEY, nonce, NOBODY, 1, **of))

    assert words in str(exc)
    assert chain.head().block_number == 0


def test_a_transaction_that_was_sent_is_known(chain):
    raw = signed(KEY, 0, NOBODY, 1)
    ask(chain, "eth_sendRawTransaction", raw)

    assert str(refusal(chain, "eth_sendRawTransaction", raw)) == "already known"
    other = signed(KEY, 0, NOBODY, 2)
    assert "nonce too low" in str(refusal(chain, "eth_sendRawTransaction", other))


@pytest.mark.parametrize("raw", ["0x", "0x02", "0x02c0", "0xff" * 1, "0x" + "c0" * 99])
def test_bytes_that_are_no_transaction_are_refused(chain, raw):
    assert "not a signed transaction" in str(
        refusal(chain, "eth_sendRawTransaction", raw)
    )


def test_a_revert_tells_its_reason_and_what_it_returned(chain):
    contract = deploy(chain)
    call = {
        "from": KEY.address,
        "to": contract,
        "data": "0x" + ABI.call("settle", bytes(32)).hex(),
    }

    for method in ("eth_call", "eth_estimateGas"):
        exc = refusal(chain, method, call)
        assert (exc.code, str(exc)) == (3, "execution reverted: status")
        assert exc.data is not None
        assert exc.data.startswith("0x08c379a0")


def test_logs_are_found_by_contract_topic_and_block(chain):
    contract = deploy(chain)
    cid = "0x" + start_close(chain, contract).hex()
    everything = {"fromBlock": "0x0"}

    assert len(ask(chain, "eth_getLogs", everything)) == 2
    (closing,) = ask(
        chain,
        "eth_getLogs",
        everything | {"address": contract, "topics": ["0x" + CLOSING_TOPIC.hex(), cid]},
    )
    assert closing["blockNumber"] == "0x3"
    assert ask(chain, "eth_getLogs", everything | {"address": NOBODY}) == []
    assert ask(chain, "eth_getLogs", everything | {"topics": [None, [cid]]}) != []
    assert ask(chain, "eth_getLogs", everything | {"toBlock": "0x1"}) == []
    assert ask(chain, "eth_getLogs", {"fromBlock": "0x9", "toBlock": "0xa"}) == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBalance", []),
        ("eth_getBalance", ["0x12"]),
        ("eth_getBalance", [NOBODY, "0x99"]),
        ("eth_getBalance", [NOBODY, "soon"]),
        ("eth_getBalance", [NOBODY, {}]),
        ("eth_call", ["not an object"]),
        ("eth_call", [{"value": -1}]),
        ("eth_call", [{"data": "0xabc"}]),
        ("eth_getTransactionReceipt", ["0x00"]),
        ("eth_getLogs", ["nothing"]),
        ("eth_getLogs", [{"topics": [None] * 5}]),
        ("eth_getLogs", [{"address": [NOBODY] * 101}]),
        ("evm_increaseTime", [-1]),
        ("evm_increaseTime", [True]),
        ("eth_sendRawTransaction", ["0x" + "00" * 300_000]),
    ],
)
def test_wrong_parameters_are_refused(chain, method, params):
    assert refusal(chain, method, *params).code == -32602


def test_what_is_not_there_is_null(chain):
    nothing = "0x" + "00" * 32

    assert ask(chain, "eth_getBlockByNumber", "0x99", False) is None
    assert ask(chain, "eth_getBlockByHash", nothing, False) is None
    assert ask(chain, "eth_getTransactionReceipt", nothing) is None
    assert ask(chain, "eth_getCode", NOBODY) == "0x"


def test_fees_are_paid_as_offered(chain):
    receipt = send(chain, 0, NOBODY, 1)
    block = ask(chain, "eth_getBlockByHash", receipt["blockHash"], False)
    price = int(block["baseFeePerGas"], 16) + FEES.tip_wei

    assert int(receipt["effectiveGasPrice"], 16) == price
    left = int(ask(chain, "eth_getBalance", KEY.address), 16)
    assert left == 10**19 - 1 - 21_000 * price


def test_a_contract_of_the_genesis_works_as_a_deployed_one(tmp_path, clock):
    code = channel_contract().runtime_bytecode
    genesis = Genesis(balances=GENESIS.balances, code={NOBODY: code})
    chain = DevChain(KeyValueFile.open(tmp_path / "other.db"), genesis, clock)

    assert ask(chain, "eth_getCode", NOBODY, "latest") == "0x" + code.hex()
    send(chain, 0, OTHER.address)
    start_close(chain, NOBODY)
    assert chain.keep_awake() is not None
    chain.close()


def test_another_genesis_is_refused(tmp_path, chain, clock):
    chain.close()

    for other in (
        Genesis(),
        Genesis(chain_id=5, balances=GENESIS.balances),
        Genesis(balances=GENESIS.balances, code={NOBODY: b"\x00"}),
    ):
        file = KeyValueFile.open(tmp_path / "chain.db")
        with pytest.raises(ConfigError, match="another genesis"):
            DevChain(file, other, clock)
        file.close()


def test_only_one_process_opens_the_file(tmp_path, chain):
    with pytest.raises(StoreLockedError, match=r"chain\.db: .*another process"):
        KeyValueFile.open(tmp_path / "chain.db")


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "chain.db"
    path.write_text("not a database" * 1000)

    with pytest.raises(StoreCorruptError, match="move it away"):
        KeyValueFile.open(path)

    assert path.read_text().startswith("not a database")
