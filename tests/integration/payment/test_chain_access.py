"""Reaching a chain: nodes that fail, restarts, and a chain that goes back."""

import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import trio

from chain_world import config
from devchain_process import Client
from held_ports import held_ports
from zerostate.clock import SystemClock
from zerostate.errors import (
    ChainError,
    ChainUnreachableError,
    InsufficientGasError,
    ReorganisedError,
    StoreLockedError,
)
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.payment.chains import open_chain
from zerostate.payment.devchain import Genesis, serve_devchain
from zerostate.units import Minor

KEY = EthKey(b"\x0c" * 32)
NOBODY = EthAddress("0x" + "44" * 20)


@pytest.fixture
def port():
    with held_ports(1) as [port]:
        yield port


@contextmanager
def embedded_chain(db, port):
    server = serve_devchain(
        db,
        genesis=Genesis(balances={KEY.address: 10**18}),
        host="127.0.0.1",
        port=port,
        clock=SystemClock(),
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.url
    finally:
        server.close()
        thread.join()


@contextmanager
def answering(status, body, *, silent=False):
    """Run a server that answers everything the same, or nothing."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if silent:
                ended.wait(20)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/key-of-mine"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


async def open_and_leave(url, folder, **changes):
    async with open_chain(config(url, folder, **changes), KEY):
        pass


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"oops"),
        (429, b"slow down"),
        (200, b"<html>"),
        (200, b""),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"jsonrpc": "2.0", "id": 0, "result": "nonsense"}'),
    ],
)
async def test_what_is_not_a_node_is_unreachable(tmp_path, status, body):
    with answering(status, body) as url:
        with pytest.raises(ChainUnreachableError) as caught:
            await open_and_leave(url, tmp_path)

    assert "key-of-mine" not in str(caught.value)


async def test_a_node_that_is_not_there_is_unreachable(tmp_path, port):
    with pytest.raises(ChainUnreachableError, match="ConnectionError"):
        await open_and_leave(f"http://127.0.0.1:{port}", tmp_path)


async def test_a_node_that_does_not_answer_is_given_up(tmp_path):
    with answering(200, b"", silent=True) as url:
        with trio.fail_after(10), pytest.raises(ChainUnreachableError):
            await open_and_leave(url, tmp_path, request_timeout_s=0.2)


async def test_a_node_that_refuses_for_good_is_told_so(tmp_path):
    body = b'{"jsonrpc": "2.0", "id": 0, "error": {"code": -1, "message": "banned"}}'
    with answering(200, body) as url:
        with pytest.raises(ChainError, match="banned") as caught:
            await open_and_leave(url, tmp_path)

    assert not isinstance(caught.value, ChainUnreachableError)


async def test_another_contract_than_ours_is_refused(world):
    with pytest.raises(ChainError, match="is not the channel contract"):
        await world.payer.chain.use_contract(NOBODY)
    with pytest.raises(ChainError, match="is not the channel contract"):
        await world.payer.chain.use_contract(world.tower.address)


async def test_without_a_contract_channels_are_refused(world, tmp_path):
    key = await trio.to_thread.run_sync(next, world.backend.keys)
    async with open_chain(config(world.backend.url, tmp_path / "new"), key) as chain:
        with pytest.raises(ChainError, match="no channel contract yet"):
            await chain.settle(world.terms(5).channel_id)


async def test_an_account_without_money_can_send_nothing(world, tmp_path):
    terms = await world.open()
    poor = EthKey.generate()
    async with open_chain(config(world.backend.url, tmp_path / "poor"), poor) as chain:
        await chain.use_contract(terms.contract)
        with pytest.raises(InsufficientGasError):
            await chain.transfer(NOBODY, Minor(1))
        await world.payer.done(world.close(world.payer, terms, 1, 0))


async def test_a_second_process_with_the_same_account_is_refused(world, tmp_path):
    with pytest.raises(StoreLockedError):
        await open_and_leave(world.backend.url, tmp_path / "payer")


async def test_a_deposit_is_trusted_only_when_it_is_deep_enough(world, tmp_path):
    terms = await world.open(deposit=1000, payees=0)
    reader = world.tower.chain

    assert (await reader.channel(terms.channel_id, depth=2)).deposit_payer == 0
    await world.travel(1)
    assert (await reader.channel(terms.channel_id, depth=2)).deposit_payer == 1000


async def test_a_chain_that_went_back_is_noticed(tmp_path, port):
    db, saved = tmp_path / "chain.db", tmp_path / "saved.db"
    with embedded_chain(db, port) as url:
        async with open_chain(config(url, tmp_path / "peer"), KEY) as chain:
            first = await chain.transfer(NOBODY, Minor(1))
            await chain.confirm(first)
    shutil.copy(db, saved)
    with embedded_chain(db, port) as url:
        async with open_chain(config(url, tmp_path / "peer"), KEY) as chain:
            await chain.use_contract(await deployed(chain))
            gone = await chain.transfer(NOBODY, Minor(2))
            block = (await chain.confirm(gone)).block
            assert await chain.vanished() == ()
            assert (await chain.events()).until == block
    shutil.copy(saved, db)

    with embedded_chain(db, port) as url:
        # Otherwise the blocks that come would be the same, to the second.
        client = Client(url)
        client.ask("evm_mine")
        client.close()
        async with open_chain(config(url, tmp_path / "peer"), KEY) as chain:
            vanished = await chain.vanished()
            assert first not in vanished
            assert vanished[-1] == gone
            assert (await chain.confirm(gone)).succeeded
            await chain.use_contract((await chain.confirm(vanished[0])).contract)
            with pytest.raises(ReorganisedError, match="not what it was"):
                await chain.events(block)
            assert await chain.balance(NOBODY) == 3


async def deployed(chain):
    receipt = await chain.confirm(await chain.deploy())
    assert receipt.contract is not None
    return receipt.contract


def test_web3_is_loaded_only_when_a_chain_is_opened():
    check = (
        "import sys, zerostate.payment, zerostate.payment.chains; "
        "assert not {'web3', 'eth', 'eth_abi', 'requests'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
