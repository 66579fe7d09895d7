"""Channels on a chain, as `tests/e2e/test_registry_gate.py` wants to see them emitted."""

from contextlib import asynccontextmanager

import trio

from chain_backends import running_backend
from chain_world import config
from payment_parties import sealed_receipt
from task_world import IDENTITIES, open_world
from zerostate.evidence.receipt import receipt_sha256
from zerostate.execution.examples import sha256_module
from zerostate.ids import new_task_id
from zerostate.payment import ExpectedPayment, PaymentTracer
from zerostate.payment.chains import open_chain
from zerostate.payment.contract import CosignedState
from zerostate.payment.onchain import OnChain
from zerostate.payment.tracing import MAX_LINKS
from zerostate.units import Minor

FUNDS = 10**17
DEPOSIT = 10**9
WINDOW_S = 60
TIMEOUT_S = 60


@asynccontextmanager
async def open_world_on_chain(directory):
    """Run the three peers with an embedded chain, and money for two of them."""
    (directory / "chain").mkdir()
    with running_backend("embedded", directory / "chain") as backend:
        key = next(backend.keys)
        settings = config(backend.url, directory / "bank")
        async with open_chain(settings, key) as bank:
            contract = (await bank.confirm(await bank.deploy())).contract
            chain = {
                "url": backend.url,
                "contract": contract,
                "confirmations": 1,
                "poll_s": 0.02,
            }
            peers = {
                "chain": chain,
                "channel_window_s": WINDOW_S,
                "channel_deposit": DEPOSIT,
                "max_own_deposit": DEPOSIT,
            }
            async with open_world(directory, requester=peers, executor=peers) as world:
                world.backend = backend
                for name in ("requester", "executor"):
                    address = channels(world, name).address
                    await bank.confirm(await bank.transfer(address, Minor(FUNDS)))
                with trio.fail_after(TIMEOUT_S):
                    yield world


def channels(world, name):
    return world.layers[name].payments.channels


async def channels_scenario(world):
    await a_channel_pays_more_tasks_than_a_span_has_links(world)
    await a_close_by_an_old_state_is_answered(world)
    await the_other_end_does_not_answer(world)


async def a_channel_pays_more_tasks_than_a_span_has_links(world):
    requester, executor = (channels(world, name) for name in ("requester", "executor"))
    channel_id = await requester.open_channel(
        IDENTITIES["executor"].peer_id, Minor(DEPOSIT), Minor(1000)
    )
    report = await world.run(sha256_module())
    assert report.payment.channel_id == channel_id
    for _ in range(MAX_LINKS):
        await pay(requester, executor, channel_id)
    await executor.withdraw(channel_id, to_payee=Minor(50))
    await requester.synchronise(IDENTITIES["executor"].peer_id)
    settlement = await requester.close(channel_id)
    assert settlement.cooperative
    await until_settled(executor, channel_id)


async def a_close_by_an_old_state_is_answered(world):
    requester, executor = (channels(world, name) for name in ("requester", "executor"))
    channel_id = await requester.open_channel(
        IDENTITIES["executor"].peer_id, Minor(DEPOSIT)
    )
    await pay(requester, executor, channel_id)
    tracer = PaymentTracer(world.recorders["requester"].provider)
    cheat = OnChain(requester._means.onchain.chain, tracer)
    await cheat.start_close(channel_id, CosignedState.known(0))
    while (await executor.view(channel_id)).phase != "disputed":  # noqa: ASYNC110  # what `watch` does has no event
        await trio.sleep(0.01)
    while (await cheat.chain.channel(channel_id)).nonce != 1:  # noqa: ASYNC110  # nor has the chain
        await trio.sleep(0.01)
    await trio.to_thread.run_sync(world.backend.travel, WINDOW_S + 1)
    for each in (requester, executor):
        await until_settled(each, channel_id)


async def the_other_end_does_not_answer(world):
    requester = channels(world, "requester")
    channel_id = await requester.open_channel(
        IDENTITIES["executor"].peer_id, Minor(DEPOSIT)
    )
    assert await requester.close(channel_id, force=True) is None
    await trio.to_thread.run_sync(world.backend.travel, WINDOW_S + 1)
    await until_settled(requester, channel_id)


async def pay(requester, executor, channel_id):
    """Pay for a task whose receipt the executor has just issued."""
    task_id = new_task_id()
    receipt = sealed_receipt(
        task_id, 1, requester=IDENTITIES["requester"], executor=IDENTITIES["executor"]
    )
    earned, due = executor.expects, ExpectedPayment(receipt_sha256(receipt), Minor(1))
    executor.expects = {task_id: due}.get
    await requester.pay(channel_id, Minor(1), task_id=task_id, receipt=receipt)
    executor.expects = earned


async def until_settled(manager, channel_id):
    while (await manager.view(channel_id)).phase != "settled":  # noqa: ASYNC110  # what `watch` does has no event
        await trio.sleep(0.01)
