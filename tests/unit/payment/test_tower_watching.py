"""What a watchtower answers, on a chain that the test controls."""

from contextlib import asynccontextmanager

import pytest
import trio

from tower_chain import CHAIN_ID, CONTRACT, FakeChain
from tower_parties import Signers
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.tracing import PaymentTracer
from zerostate.payment.watchtower.config import WatchtowerConfig
from zerostate.payment.watchtower.intake import Intake, Refusal
from zerostate.payment.watchtower.store import TowerStore
from zerostate.payment.watchtower.watching import Watcher
from zerostate.semconv import attributes as attr
from zerostate.testing import SpanRecorder

SIGNERS = Signers(CHAIN_ID, CONTRACT, EthKey(b"\x21" * 32), EthKey(b"\x22" * 32))


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
async def tower(chain, folder, **bounds):
    store = await TowerStore.open(folder / "watchtower.db")
    try:
        opened = Tower(chain, store, **bounds)
        opened.store = store
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.watcher.run)
            yield opened
            nursery.cancel_scope.cancel()
    finally:
        await store.close()


def opened(chain):
    """Open a channel on `chain`; return its terms."""
    terms = SIGNERS.terms()
    chain.open(terms.channel_id, SIGNERS.payer.address, SIGNERS.payee.address)
    return terms


async def until(happened):
    with trio.fail_after(10):
        while not happened():  # noqa: ASYNC110  # the fake chain tells nobody
            await trio.sleep(0.002)


async def a_while(chain):
    """Wait until the tower has looked at the chain again and again."""
    calls = chain.calls
    await until(lambda: chain.calls > calls + 30)


def nonces(chain):
    return [state.nonce for _, _, state in chain.sent]


async def test_a_close_by_an_old_state_is_answered_by_the_newest_once(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 3))
        await ours.take(SIGNERS.state(terms, 7))
        chain.close(terms.channel_id, 3)
        await until(lambda: ours.watcher.counts.answered)
        await a_while(chain)

        assert nonces(chain) == [7]
        assert chain.now(terms.channel_id).nonce == 7
        transaction, dispute = ours.recorder.spans
        assert transaction.name == "payment.chain.challenge"
        assert dispute.name == "payment.dispute"
        assert dispute.parent is None
        assert dispute.attributes[attr.PAYMENT_CLOSING_NONCE] == 3
        assert transaction.parent.span_id == dispute.context.span_id
        assert transaction.attributes[attr.PAYMENT_TX_HASH] == chain.sent[0][0]


async def test_a_close_by_the_newest_state_is_left_alone(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 7))
        chain.close(terms.channel_id, 7)
        await a_while(chain)

        assert (nonces(chain), ours.recorder.spans) == ([], ())


async def test_a_state_that_comes_while_somebody_closes_is_used(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    chain.close(terms.channel_id, 1)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 2))
        await until(lambda: nonces(chain) == [2])
        await ours.take(SIGNERS.state(terms, 4))
        await until(lambda: nonces(chain) == [2, 4])


async def test_a_close_while_the_tower_was_away_is_answered_after_its_start(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        await until(lambda: ours.watcher.counts.failures == 0 and chain.calls > 5)
    chain.close(terms.channel_id, 1)
    async with tower(chain, tmp_path):
        await until(lambda: nonces(chain) == [5])


async def test_a_tower_that_restarts_with_its_answer_on_the_way_sends_no_second(
    tmp_path,
):
    chain = FakeChain(mines=False)
    terms = opened(chain)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        chain.close(terms.channel_id, 1)
        await until(lambda: nonces(chain) == [5])
    async with tower(chain, tmp_path) as ours:
        await a_while(chain)
        chain.mine()
        await until(lambda: ours.watcher.counts.answered == 1)

    assert nonces(chain) == [5]


async def test_without_the_chain_the_answer_waits_for_it(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        await a_while(chain)
        chain.reachable = False
        chain.close(terms.channel_id, 1)
        await until(lambda: ours.watcher.counts.failures > 3)
        chain.reachable = True
        await until(lambda: nonces(chain) == [5])


async def test_a_reorganisation_that_drops_the_answer_has_it_given_again(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        chain.close(terms.channel_id, 1)
        await until(lambda: ours.watcher.counts.answered == 1)
        await a_while(chain)
        chain.drop()
        chain.waiting.clear()
        chain.mine()
        await until(lambda: nonces(chain) == [5, 5])

        assert ours.watcher.counts.reorganisations == 1
        assert chain.now(terms.channel_id).nonce == 5


async def test_a_close_that_moves_to_another_block_is_answered_there(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    chain.mine(3)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        await a_while(chain)
        chain.drop(2)
        chain.close(terms.channel_id, 1)
        chain.mine(4)
        await until(lambda: nonces(chain) == [5])

        assert ours.watcher.counts.reorganisations == 1


async def test_a_close_that_is_seen_too_late_is_counted_once(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    async with tower(chain, tmp_path) as ours:
        await ours.take(SIGNERS.state(terms, 5))
    chain.close(terms.channel_id, 1)
    chain.mine(6)
    async with tower(chain, tmp_path) as ours:
        await until(lambda: ours.watcher.counts.missed)
        ours.watcher.look_at(terms.channel_id)
        await a_while(chain)

        assert (ours.watcher.counts.missed, nonces(chain)) == (1, [])


async def test_a_settled_channel_is_forgotten_when_that_is_confirmed(tmp_path):
    chain = FakeChain(confirmations=3)
    terms = opened(chain)
    chain.mine(3)
    async with tower(chain, tmp_path, max_channels=1) as ours:
        await ours.take(SIGNERS.state(terms, 5))
        chain.close(terms.channel_id, 5)
        chain.settle(terms.channel_id)
        await a_while(chain)
        assert await ours.store.get(terms.channel_id) is not None
        chain.mine(3)
        ours.watcher.look_at(terms.channel_id)
        await a_while(chain)

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
    tmp_path, bounds, refusal
):
    chain = FakeChain()
    terms = [opened(chain) for _ in range(3)]
    async with tower(chain, tmp_path, **bounds) as ours:
        for each in terms[:2]:
            await ours.take(SIGNERS.state(each, 1))

        assert await ours.refused(SIGNERS.state(terms[2], 1)) is refusal
        await ours.take(SIGNERS.state(terms[0], 2))
        assert ours.intake.refused == {refusal: 1}


async def test_what_proves_nothing_is_refused_with_its_reason(tmp_path):
    chain = FakeChain()
    terms = opened(chain)
    newest = SIGNERS.state(terms, 5)
    elsewhere = Signers(1, CONTRACT, SIGNERS.payer, SIGNERS.payee)
    others = Signers(CHAIN_ID, CONTRACT, SIGNERS.payer, EthKey(b"\x23" * 32))
    foreign = others.terms()
    chain.open(foreign.channel_id, SIGNERS.payer.address, SIGNERS.payee.address)
    async with tower(chain, tmp_path) as ours:
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
        chain.reachable = False
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
