"""The embedded chain's HTTP server: what it takes, and from whom."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from devchain_process import Client, write_genesis
from zerostate.clock import SystemClock
from zerostate.errors import ConfigError, PortInUseError, StoreUnavailableError
from zerostate.evidence.ethereum import EthAddress
from zerostate.payment.devchain import (
    DevChain,
    DevChainServer,
    Genesis,
    load_genesis,
    serve_devchain,
)
from zerostate.payment.devchain.genesis import MAX_CODE_BYTES
from zerostate.payment.devchain.keyvalue import KeyValueFile
from zerostate.units import NS_PER_S

JSON = {"Content-Type": "application/json"}
ASK_ID = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).encode()
RICH = EthAddress("0x" + "ab" * 20)


def serve(path, host="127.0.0.1", port=0):
    return serve_devchain(
        path, genesis=Genesis(), host=host, port=port, clock=SystemClock()
    )


@contextmanager
def running(server):
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
    assert server.failed_calls == 0


@pytest.fixture
def server(tmp_path):
    with running(serve(tmp_path / "chain.db")) as server:
        yield server


@pytest.fixture
def client(server):
    opened = Client(server.url)
    yield opened
    opened.close()


def test_several_calls_may_come_in_one_request(client):
    calls = [
        {"jsonrpc": "2.0", "id": 7, "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "id": 8, "method": "eth_nonsense", "params": []},
    ]

    first, second = client.post(json.dumps(calls).encode())

    assert first == {"jsonrpc": "2.0", "id": 7, "result": "0x7a69"}
    assert (second["id"], second["error"]["code"]) == (8, -32601)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b"[" + b",".join([ASK_ID] * 101) + b"]", -32600),
        (b'{"id": 1, "method": 5}', -32600),
        (b'{"id": 1, "method": "eth_chainId", "params": {}}', -32600),
        (b'{"id": 1, "method": "eth_chainId", "params": [1]}', -32602),
    ],
)
def test_what_is_no_request_is_answered_with_an_error(client, body, code):
    assert client.post(body)["error"]["code"] == code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        (JSON | {"Host": "evil.example"}, 403),
        (JSON | {"Host": "evil.example:80"}, 403),
        (JSON | {"Host": "localhost:80"}, 200),
        (JSON | {"Content-Length": "1048577"}, 413),
        (JSON | {"Content-Length": "9" * 30}, 413),
        (JSON | {"Content-Length": "-1"}, 411),
    ],
)
def test_requests_that_a_web_page_could_make_are_refused(client, headers, status):
    assert client.raw(ASK_ID, headers)[0] == status


def test_other_methods_than_post_do_not_exist(server):
    client = Client(server.url)
    client._connection.request("GET", "/")

    assert client._connection.getresponse().status == 501
    client.close()


def test_it_listens_on_loopback_only(tmp_path):
    for host in ("0.0.0.0", "example.org", "10.0.0.1"):
        with pytest.raises(ConfigError, match="not a loopback address"):
            serve(tmp_path / "chain.db", host=host)


class Told:
    """A chain that tells when it was kept awake, and may fail at that."""

    def __init__(self, path):
        self.file = KeyValueFile.open(path)
        self.chain = DevChain(self.file, Genesis(), SystemClock())
        self.looked, self.added = threading.Semaphore(0), threading.Semaphore(0)
        self.failures = []

    def __getattr__(self, name):
        return getattr(self.chain, name)

    def open_window(self):
        """Let a close be open to challenges for another hour."""
        deadline_s = SystemClock().wall_ns() // NS_PER_S + 3600
        self.file.set_window("c0" * 20, "1d" * 32, deadline_s)

    def keep_awake(self):
        if self.failures:
            raise self.failures.pop()
        if self.chain.keep_awake() is not None:
            self.added.release()
        self.looked.release()


def wait_for(happened, times):
    for _ in range(times):
        assert happened.acquire(timeout=20)


def head_of(server):
    client = Client(server.url)
    try:
        return client.number("eth_blockNumber")
    finally:
        client.close()


@pytest.fixture
def chain(tmp_path):
    return Told(tmp_path / "chain.db")


def test_empty_blocks_come_by_themselves_while_a_window_is_open(chain):
    with running(DevChainServer(chain, "127.0.0.1", 0, idle_block_s=0.01)) as server:
        wait_for(chain.looked, 2)
        assert head_of(server) == 0
        chain.open_window()
        wait_for(chain.added, 2)
        assert head_of(server) >= 2
        assert server.failed_idle_blocks == 0


@pytest.mark.parametrize(
    "failure", [StoreUnavailableError("the disk is full"), RuntimeError("unforeseen")]
)
def test_after_an_empty_block_that_failed_the_next_one_comes(chain, failure):
    chain.open_window()
    chain.failures.append(failure)
    with running(DevChainServer(chain, "127.0.0.1", 0, idle_block_s=0.01)) as server:
        wait_for(chain.added, 1)
        assert head_of(server) >= 1
        assert server.failed_idle_blocks == 1


def test_a_taken_port_is_told(server, tmp_path):
    with pytest.raises(PortInUseError, match="in use"):
        serve(tmp_path / "other.db", port=server.server_address[1])


def test_a_genesis_file_says_who_has_how_much(tmp_path):
    path = write_genesis(tmp_path / "genesis.json", {RICH: 2**100})

    assert load_genesis(path) == Genesis(chain_id=31337, balances={RICH: 2**100})


def test_a_genesis_file_says_what_code_is_where(tmp_path):
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps({"code": {RICH.upper().replace("X", "x"): "0x60Ff"}}))

    assert load_genesis(path) == Genesis(code={RICH: b"\x60\xff"})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "not an object"),
        ("{", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ('{"money": 1}', "money: unknown"),
        ('{"chain_id": 0}', "chain_id: 0"),
        ('{"chain_id": true}', "chain_id: True"),
        ('{"balances": []}', "balances: not an object"),
        ('{"balances": {"0x12": "5"}}', "'0x12' is not an address"),
        ('{"balances": {"0x%s": "1.5"}}' % ("ab" * 20), "'1.5' is not in wei"),
        ('{"balances": {"0x%s": -5}}' % ("ab" * 20), "-5 is not in wei"),
        ('{"code": []}', "code: not an object"),
        ('{"code": {"0x%s": "60ff"}}' % ("ab" * 20), "'60ff' is not code in hex"),
        ('{"code": {"0x%s": "0x6"}}' % ("ab" * 20), "'0x6' is not code in hex"),
        ('{"code": {"0x%s": "0x"}}' % ("ab" * 20), "'0x' is not code in hex"),
        (
            json.dumps({"code": {RICH: "0x" + "60" * (MAX_CODE_BYTES + 1)}}),
            "is not code in hex",
        ),
    ],
)
def test_a_wrong_genesis_file_is_refused(tmp_path, content, problem):
    path = tmp_path / "genesis.json"
    path.write_text(content)

    with pytest.raises(ConfigError, match=problem.replace(".", r"\.")):
        load_genesis(path)


def test_all_that_is_wrong_with_a_genesis_file_is_told_at_once(tmp_path):
    path = tmp_path / "genesis.json"
    path.write_text('{"money": 1, "chain_id": 0, "balances": [], "code": {"a": 1}}')

    with pytest.raises(ConfigError) as caught:
        load_genesis(path)

    assert len(caught.value.problems) == 4


def test_a_missing_genesis_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_genesis(tmp_path / "nowhere.json")


def test_loading_py_evm_leaves_the_recursion_limit_as_it_was():
    check = (
        "import sys; before = sys.getrecursionlimit(); "
        "import zerostate.payment.devchain; "
        "assert sys.getrecursionlimit() == before"
    )

    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
