"""What a watchtower answers, on a chain that the test controls."""

from contextlib import asynccontextmanager

import pytest
import trio

from memory_chain import CHAIN_ID, CONTRACT
from tower_parties import SIGNERS, WINDOW_S, Ground, Signers
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.tracing import PaymentTracer
from zerostate.payment.watchtower.config import WatchtowerConfig
from zerostate.payment.watchtower.intake import Intake, Refusal
from zerostate.payment.watchtower.store import TowerStore
from zerostate.payment.watchtower.watching import Watcher
from zerostate.semconv import attributes as attr
from zerostate.testing import SpanRecorder


class Tower:
    """A tower on `chain`, without its HTTP server."""

    def __init__(self, chain, store, **bounds):
        self.recorder = SpanRecorder()
        self.watcher = Watcher(
            chain, store, PaymentTracer(self.recorder.provider), poll_s=0.001
        )
        config = WatchtowerConfig(
            data_dir="/nowhere",
            chain={"url": "http://127.0.0.1:1", "contract": CONTRACT},
            **bounds,
        )
        self.intake = Intake(chain, store, config, self.watcher.look_at)

    async def take(self, data):
        """Hand in a state that is to be taken."""
        answer = await self.intake.accept(data)
        assert answer.refusal is None, answer

    async def refused(self, data):
        """Hand in a state that is to be refused; return why."""
        return (await self.intake.accept(data)).refusal


@asynccontextmanager
async def tower(ground, folder, **bounds):
    store = await TowerStore.open(folder / "watchtower.db")
    try:
        opened = Tower(ground.tower, store, **bounds)
        opened.store = store
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.watcher.run)
            yield opened
            nursery.cancel_scope.cancel()
    finally:
        await store.close()


@pytest.fixture
def ground():
    return Ground()


async def until(happened):
    with trio.fail_after(10):
        while not happened():  # noqa: ASYNC110  # the fake chain tells nobody
            await trio.sleep(0.002)


async def a_while(ground):
    """Wait until the tower has looked at the chain again and again."""
    calls = ground.calls
    await until(lambda: ground.calls > calls + 30)


async def test_a_close_by_an_old_state_is_answered_by_the_newest_once(tmp_path, ground):
    terms = await ground.open()
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 3))
        await ours.take(SIGNERS.state(terms, 7))
        await ground.close(terms, 3)
        await until(lambda: ours.watcher.counts.answered)
        await a_while(ground)

        assert (ground.answers, ground.now(terms).nonce) == ([7], 7)
        transaction, dispute = ours.recorder.spans
        assert transaction.name == "payment.chain.challenge"
        assert dispute.name == "payment.dispute"
        assert dispute.parent is None
        assert dispute.attributes[attr.PAYMENT_CLOSING_NONCE] == 3
        assert transaction.parent.span_id == dispute.context.span_id
        (noted,) = ground.tower.journal
        assert transaction.attributes[attr.PAYMENT_TX_HASH] == noted.tx_hash


async def test_a_close_by_the_newest_state_is_left_alone(tmp_path, ground):
    terms = await ground.open()
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 7))
        await ground.close(terms, 7)
        await a_while(ground)

        assert (ground.answers, ours.recorder.spans) == ([], ())


async def test_a_state_that_comes_while_somebody_closes_is_used(tmp_path, ground):
    terms = await ground.open()
    await ground.close(terms, 1)
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 2))
        await until(lambda: ground.answers == [2])
        await ours.take(SIGNERS.state(terms, 4))
        await until(lambda: ground.answers == [2, 4])


async def test_a_close_while_the_tower_was_away_is_answered_after_its_start(
    tmp_path, ground
):
    terms = await ground.open()
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        await a_while(ground)
    await ground.close(terms, 1)
    # More blocks than one page of events has.
    for _ in range(20):
        ground.blocks.mine()
    async with tower(ground, tmp_path):
        await until(lambda: ground.answers == [5])


async def test_a_tower_that_restarts_with_its_answer_on_the_way_sends_no_second(
    tmp_path, ground
):
    terms = await ground.open()
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        await ground.close(terms, 1)
        ground.blocks.is_mining = False
        await until(lambda: ground.answers == [5])
    async with tower(ground, tmp_path):
        await a_while(ground)
        assert (ground.answers, ground.now(terms).nonce) == ([5], 1)
        ground.blocks.is_mining = True
        ground.blocks.mine()
        await a_while(ground)

    assert (ground.answers, ground.now(terms).nonce) == ([5], 5)


async def test_without_the_chain_the_answer_waits_for_it(tmp_path, ground):
    terms = await ground.open()
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        await a_while(ground)
        ground.tower.is_reachable = False
        await ground.close(terms, 1)
        await until(lambda: ours.watcher.counts.failures > 3)
        ground.tower.is_reachable = True
        await until(lambda: ground.answers == [5])


async def test_a_reorganisation_that_loses_the_answer_has_it_sent_again(
    tmp_path, ground
):
    terms = await ground.open()
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        await ground.close(terms, 1)
        await until(lambda: ours.watcher.counts.answered == 1)
        await a_while(ground)
        ground.blocks.reorganise(1, forget=True)
        assert ground.now(terms).nonce == 1
        await until(lambda: ground.now(terms).nonce == 5)

        assert ours.watcher.counts.reorganisations == 1
        assert ground.answers == [5]


async def test_a_close_that_comes_by_a_reorganisation_is_answered(tmp_path, ground):
    terms = await ground.open()
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        for _ in range(20):
            ground.blocks.mine()
            await trio.lowlevel.checkpoint()
        await a_while(ground)
        ground.blocks.is_mining = False
        await ground.close(terms, 1)
        ground.blocks.is_mining = True
        ground.blocks.reorganise(15)
        await until(lambda: ground.answers == [5])

        assert ours.watcher.counts.reorganisations == 1


async def test_a_close_that_is_seen_too_late_is_counted_once(tmp_path, ground):
    terms = await ground.open()
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
    await ground.close(terms, 1)
    ground.blocks.pass_time(WINDOW_S + 1)
    async with tower(ground, tmp_path) as ours:
        await until(lambda: ours.watcher.counts.missed)
        ours.watcher.look_at(terms.channel_id)
        await a_while(ground)

        assert (ours.watcher.counts.missed, ground.answers) == (1, [])


async def test_a_settled_channel_is_forgotten_when_that_is_confirmed(tmp_path, ground):
    terms = await ground.open()
    ground.tower.confirmations = 3
    async with tower(ground, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        await ground.close(terms, 5)
        await ground.settle(terms)
        await a_while(ground)
        assert await ours.store.get(terms.channel_id) is not None
        for _ in range(3):
            ground.blocks.mine()
        ours.watcher.look_at(terms.channel_id)
        await a_while(ground)

        assert await ours.store.get(terms.channel_id) is None
        assert await ours.refused(SIGNERS.state(terms, 6)) is Refusal.SETTLED


@pytest.mark.parametrize(
    ("bounds", "refusal"),
    [
        ({"max_channels": 2}, Refusal.FULL),
        ({"max_channels_per_owner": 2}, Refusal.OWNER_FULL),
    ],
)
async def test_channels_are_bounded_and_those_within_still_take_newer_states(
    tmp_path, ground, bounds, refusal
):
    terms = [await ground.open() for _ in range(3)]
    async with tower(ground, tmp_path, **bounds) as ours:
        for each in terms[:2]:
            await ours.take(SIGNERS.state(each, 1))

        assert await ours.refused(SIGNERS.state(terms[2], 1)) is refusal
        await ours.take(SIGNERS.state(terms[0], 2))
        assert ours.intake.refused == {refusal: 1}


async def test_what_proves_nothing_is_refused_with_its_reason(tmp_path, ground):
    terms = await ground.open()
    newest = SIGNERS.state(terms, 5)
    elsewhere = Signers(1, CONTRACT, SIGNERS.payer, SIGNERS.payee)
    others = Signers(CHAIN_ID, CONTRACT, SIGNERS.payer, EthKey(b"\x23" * 32))
    foreign = await ground.open(others)
    async with tower(ground, tmp_path) as ours:
        await ours.take(newest)
        await ours.take(newest)
        refusals = [
            await ours.refused(data)
            for data in (
                b"",
                b"garbage" * 100,
                bytes(5000),
                newest[:-1] + bytes((newest[-1] ^ 1,)),
                elsewhere.state(elsewhere.terms(), 1),
                SIGNERS.state(SIGNERS.terms(), 1),
                others.state(foreign, 1),
                SIGNERS.state(terms, 4),
                SIGNERS.state(terms, 5),
            )
        ]
        ground.tower.is_reachable = False
        refusals.append(await ours.refused(SIGNERS.state(SIGNERS.terms(), 1)))

        assert refusals == [
            *[Refusal.NOT_PROVEN] * 4,
            Refusal.OTHER_CHAIN,
            Refusal.UNKNOWN_CHANNEL,
            Refusal.OTHER_PARTIES,
            *[Refusal.STALE] * 2,
            Refusal.UNAVAILABLE,
        ]
        assert ours.intake.kept == 1
        assert ours.intake.refused.total() == len(refusals)
        kept = await ours.store.get(terms.channel_id)
        assert (kept.nonce, kept.state) == (5, newest)
