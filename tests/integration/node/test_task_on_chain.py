"""A whole task whose payment is real: channel, settlement and claims on a chain."""

import threading
from contextlib import contextmanager

import pytest
import trio

from task_world import open_world
from zerostate.clock import SystemClock
from zerostate.errors import RemoteError
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.execution.examples import sha256_module
from zerostate.payment.chain import ChainConfig
from zerostate.payment.chains import open_chain
from zerostate.payment.contract import channel_contract
from zerostate.payment.devchain import Genesis, serve_devchain
from zerostate.testing import assert_trace
from zerostate.units import Minor

RICH = EthKey(b"\x07" * 32)
CONTRACT = EthAddress("0x" + "c0" * 20)
FUNDS = Minor(10**17)
DEPOSIT = 10**9
PAID_BY = ("p2p.message.channel_", "p2p.message.payment_")
"""Beginnings of the names of the messages that a payment takes."""


@contextmanager
def running_chain(folder):
    server = serve_devchain(
        folder / "chain.db",
        genesis=Genesis(
            balances={RICH.address: 10**18},
            code={CONTRACT: channel_contract().runtime_bytecode},
        ),
        host="127.0.0.1",
        port=0,
        clock=SystemClock(),
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.url
        assert server.failed_calls == 0
    finally:
        server.close()
        thread.join()


@pytest.fixture
async def world(tmp_path):
    """Two peers with money and one that is on no chain, and a third account's view."""
    (tmp_path / "rich").mkdir()
    with running_chain(tmp_path) as url:
        node = {"url": url, "contract": CONTRACT, "confirmations": 1, "poll_s": 0.05}
        settings = {
            "chain": node,
            "channel_window_s": 10,
            "channel_deposit": DEPOSIT,
        }
        config = ChainConfig(
            data_dir=tmp_path / "rich",
            url=url,
            contract=CONTRACT,
            confirmations=1,
            poll_s=0.02,
        )
        async with (
            open_chain(config, RICH) as chain,
            open_world(tmp_path, requester=settings, executor=settings) as world,
        ):
            world.chain = chain
            for name in ("requester", "executor"):
                address = channels(world, name).address
                await chain.confirm(await chain.transfer(address, FUNDS))
            yield world


def channels(world, name):
    return world.layers[name].payments.channels


async def settled(world, name, channel_id):
    """Wait until a peer has its share; return how the channel ended for it."""
    with trio.fail_after(20):
        while True:
            view = await channels(world, name).view(channel_id)
            if view.settlement is not None:
                return view.settlement
            await trio.sleep(0.05)


def spans_of(world, trace_id):
    member = set(world.recorders["member"].spans)
    return [span for span in world.spans(trace_id) if span not in member]


async def test_a_task_is_paid_on_a_funded_channel_and_settled(world):
    report = await world.run(sha256_module())
    assert report.error_code is None, report.error_message
    channel_id, price = report.payment.channel_id, report.payment.amount

    on_chain = await world.chain.channel(channel_id)
    assert on_chain.deposit_payer == DEPOSIT
    assert (on_chain.payer, on_chain.payee) == (
        channels(world, "requester").address,
        channels(world, "executor").address,
    )

    settlement = await channels(world, "requester").close(channel_id)
    claim = await settled(world, "executor", channel_id)

    assert settlement.cooperative
    assert settlement.net == claim.net == price
    assert (settlement.claimed, claim.claimed) == (DEPOSIT - price, price)
    assert settlement.tx_hash == claim.tx_hash
    assert await world.chain.balance(CONTRACT) == 0


async def test_its_traces_are_one_of_the_task_and_one_of_each_settlement(world):
    report = await world.run(sha256_module())
    channel_id = report.payment.channel_id
    settlement = await channels(world, "requester").close(channel_id)
    claim = await settled(world, "executor", channel_id)

    assert_trace(
        [
            span
            for span in spans_of(world, report.trace_id)
            if span.name.startswith(("payment.", *PAID_BY))
        ],
        """
        payment.flow remote-parent
          payment.channel.open
            payment.signature.sign
            p2p.message.channel_open CLIENT
              p2p.message.channel_open SERVER
                payment.signature.sign
            payment.chain.open_channel CLIENT
            p2p.message.channel_funded CLIENT
              p2p.message.channel_funded SERVER
          payment.transaction
            payment.signature.sign
            p2p.message.payment_update CLIENT
              p2p.message.payment_update SERVER
                payment.verify
                  payment.signature.verify
                  payment.channel.update
                    payment.signature.sign
          payment.verify
            payment.signature.verify
        """,
    )
    assert len({report.trace_id, settlement.trace_id, claim.trace_id}) == 3
    assert_trace(
        world.spans(settlement.trace_id),
        """
        payment.channel.settle links=1
          payment.chain.close CLIENT
          payment.chain.claim CLIENT
        """,
    )
    assert_trace(
        world.spans(claim.trace_id),
        """
        payment.channel.settle links=1
          payment.chain.claim CLIENT
        """,
    )
    for trace_id in (settlement.trace_id, claim.trace_id):
        (root,) = [span for span in world.spans(trace_id) if span.parent is None]
        (link,) = root.links
        assert f"{link.context.trace_id:032x}" == report.trace_id


async def test_nobody_works_for_a_requester_who_could_not_pay(world):
    price = {"base": 1, "per_gigafuel": 1, "max_total": FUNDS + 1}
    report = await world.run(sha256_module(), manifest={"price": price})

    assert report.error_code == "insufficient_balance"
    assert f"has {FUNDS} wei" in report.error_message
    names = {span.name for span in world.spans(report.trace_id)}
    assert "guild.create" in names
    assert not {name for name in names if name.startswith("execution.")}


async def test_a_second_task_is_paid_on_the_same_channel(world):
    first = await world.run(sha256_module())
    second = await world.run(sha256_module(), task_input=b"again")

    assert first.payment.channel_id == second.payment.channel_id
    assert second.payment.nonce == 2
    settlement = await channels(world, "requester").close(second.payment.channel_id)
    (root,) = [span for span in world.spans(settlement.trace_id) if span.parent is None]
    linked = {f"{link.context.trace_id:032x}" for link in root.links}
    assert linked == {first.trace_id, second.trace_id}


async def test_a_peer_on_no_chain_is_not_paid_by_one_that_is(world):
    executor = channels(world, "executor")
    member = world.layers["member"].peers.peer_id

    with pytest.raises(RemoteError, match="a channel on chain 31337"):
        await executor.open_channel(member, Minor(5))
