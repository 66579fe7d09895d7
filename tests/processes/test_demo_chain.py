"""The demo's chain process: money and contract are there from the start."""

import asyncio
import secrets
from contextlib import asynccontextmanager

import pytest
import trio

from held_ports import held_ports
from zerostate.cli.chain_process import FUNDS_WEI
from zerostate.cli.demo_chain import WINDOW_S, chain_settings, chain_spec
from zerostate.cli.failures import ReportedError
from zerostate.cli.processes import Supervisor
from zerostate.evidence.channel import ChannelTerms
from zerostate.ids import PeerId
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.chain.settings import chain_config, chain_id
from zerostate.payment.config import KEY_FILE
from zerostate.payment.contract import peer_hash
from zerostate.payment.deferred import defer_chain
from zerostate.payment.keys import load_or_create_key
from zerostate.units import Minor

PAYEE = PeerId("12D3KooWPayee")


@asynccontextmanager
async def supervised():
    supervisor = Supervisor()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


def peer_dirs(tmp_path):
    dirs = [tmp_path / name for name in ("payer", "payee")]
    for each in dirs:
        each.mkdir()
    return dirs


def test_a_peer_opens_a_channel_at_once_with_the_settings_it_is_given(tmp_path):
    payer, payee = peer_dirs(tmp_path)
    # One key is there before the chain, and one is made by it.
    early = load_or_create_key(payer / KEY_FILE)

    async def open_channel(port):
        settings = chain_settings(port)["chain"]
        config, key = (
            chain_config(settings, payer),
            load_or_create_key(payer / KEY_FILE),
        )
        assert key.address == early.address
        other = load_or_create_key(payee / KEY_FILE)
        number = chain_id(settings)
        async with defer_chain(config, key, chain_id=number) as chain:
            for address in (key.address, other.address):
                assert await chain.balance(address) == FUNDS_WEI
            terms = ChannelTerms(
                chain_id=number,
                contract=chain.contract,
                payer=PeerId("12D3KooWPayer"),
                payer_address=key.address,
                payer_binding=b"",
                payee=PAYEE,
                deposit=Minor(10**9),
                salt=secrets.token_bytes(32),
            )
            sent = await chain.open_channel(
                terms.channel_id,
                payee=other.address,
                payee_peer_hash=peer_hash(PAYEE),
                deposit=terms.deposit,
                salt=terms.salt,
                window_s=WINDOW_S,
            )
            await chain.confirm(sent)
            return await chain.channel(terms.channel_id)

    async def story(port):
        async with supervised() as supervisor:
            process = await supervisor.start(chain_spec(tmp_path, port, [payer, payee]))
            assert process.ready["url"] == f"http://127.0.0.1:{port}"
            return await asyncio.to_thread(trio.run, open_channel, port)

    with held_ports(1) as [port]:
        channel = asyncio.run(story(port))

    assert channel.status is ChannelStatus.OPEN
    assert channel.deposit_payer == 10**9
    assert channel.window_s == WINDOW_S


def test_a_taken_port_is_told_so_that_the_demo_can_take_another(tmp_path):
    async def story():
        async with supervised() as supervisor:
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server:
                with pytest.raises(ReportedError) as caught:
                    await supervisor.start(chain_spec(tmp_path, port, []))
            return caught.value

    assert asyncio.run(story()).reported.code == "port_in_use"
