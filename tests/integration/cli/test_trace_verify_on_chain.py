"""`zerostate trace verify --chain`: a task paid on a real channel of the embedded chain."""

import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
import trio

from chain_backends import running_backend
from chain_world import WINDOW_S, config
from stack_spans import of_service
from stored_story import Story
from task_world import IDENTITIES
from zerostate.errors import ChainUnreachableError, InvalidQueryError
from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import ChannelTerms, with_payee
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.chain import TxHash
from zerostate.payment.chains import open_chain
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    close_digest,
    peer_hash,
)
from zerostate.semconv import attributes as attr
from zerostate.stack.otlp import Link, ResourceSpans, Span
from zerostate.units import Minor

DEPOSIT = Minor(10_000)
GAS_MONEY = Minor(10**16)
STATE = attr.EVENT_PAYMENT_STATE
SETTLEMENT_TRACE = 77


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    with running_backend("embedded", tmp_path_factory.mktemp("chain")) as running:
        yield running


@dataclass
class Ended:
    """A task that is paid on a channel of the chain, and how the channel ended."""

    story: Story
    url: str
    tx_hash: TxHash | None
    block_number: int | None

    def settlement(self, **changed: object) -> ResourceSpans:
        """Return the trace in which the requester tells of the settlement."""
        said = {
            attr.CHANNEL_ID: self.story.terms.channel_id,
            attr.PAYMENT_TX_HASH: self.tx_hash,
            attr.PAYMENT_BLOCK_NUMBER: self.block_number,
            attr.PAYMENT_NONCE: self.story.state.update.nonce + 1,
        } | {key.replace("__", "."): value for key, value in changed.items()}
        paid = self.story.named("payment.transaction")
        root = Span(
            trace_id=SETTLEMENT_TRACE.to_bytes(16),
            span_id=b"\1" * 8,
            name="payment.channel.settle",
            start_ns=paid.end_ns,
            end_ns=paid.end_ns + 1,
            attributes=tuple(said.items()),
            links=(Link(paid.trace_id, paid.span_id),),
        )
        return of_service("requester", root)

    def verify(self, *more: ResourceSpans):
        return self.story.verify(*more, chain=self.url).found


@pytest.fixture
def ended(backend, story, tmp_path):
    """Open a channel, pay the task on it and end it in one of several ways."""

    def end(how: str) -> Ended:
        return trio.run(_end, backend, story, tmp_path, how)

    return end


async def _end(backend, recorded, folder, how):
    payer_key, payee_key = EthKey.generate(), EthKey.generate()
    keys = {"requester": payer_key, "executor": payee_key}
    async with AsyncExitStack() as stack:

        async def reach(key, name):
            opened = open_chain(config(backend.url, folder / name), key)
            return await stack.enter_async_context(opened)

        bank = await reach(next(backend.keys), "bank")
        if backend.contract is None:
            receipt = await bank.confirm(await bank.deploy())
            backend.contract = receipt.contract
        await bank.confirm(await bank.transfer(payer_key.address, GAS_MONEY))
        await bank.use_contract(backend.contract)
        payer = await reach(payer_key, "payer")
        await payer.use_contract(backend.contract)

        terms = _terms(payer, payer_key, payee_key)
        story = replace(recorded, keys=keys)
        paid = story.signed(recorded.state.update, terms)
        story = story.with_evidence(STATE, paid)
        for name in ("payment.transaction", "payment.verify", "payment.channel.update"):
            story = story.claiming(name, channel__id=terms.channel_id)
        receipt = None
        if how != "never opened":
            await _open(payer, terms)
        if how == "together":
            receipt = await _close(payer, story)
        elif how == "stale":
            receipt = await _close_stale(payer, terms, backend)
        tx_hash = receipt and receipt.tx_hash
        return Ended(story, backend.url, tx_hash, receipt and receipt.block.number)


def _terms(chain, payer_key, payee_key) -> ChannelTerms:
    requester, executor = IDENTITIES["requester"], IDENTITIES["executor"]
    terms = ChannelTerms(
        chain_id=chain.chain_id,
        contract=chain.contract,
        payer=requester.peer_id,
        payer_address=payer_key.address,
        payer_binding=make_binding(requester, payer_key),
        payee=executor.peer_id,
        deposit=DEPOSIT,
        salt=secrets.token_bytes(32),
    )
    return with_payee(terms, make_binding(executor, payee_key))


async def _open(chain, terms):
    sending = chain.open_channel(
        terms.channel_id,
        payee=terms.payee_address,
        payee_peer_hash=peer_hash(terms.payee),
        deposit=terms.deposit,
        salt=terms.salt,
        window_s=WINDOW_S,
    )
    await chain.confirm(await sending)


async def _close(chain, story):
    terms, update = story.terms, story.state.update
    final = FinalState(update.nonce + 1, update.net)
    digest = close_digest(terms.chain_id, terms.contract, terms.channel_id, final)
    sending = chain.close(
        terms.channel_id,
        final,
        payer_signature=story.keys["requester"].sign(digest).signature,
        payee_signature=story.keys["executor"].sign(digest).signature,
    )
    return await chain.confirm(await sending)


async def _close_stale(chain, terms, backend):
    nothing_paid = CosignedState.known(0, Minor(0))
    sending = chain.start_close(terms.channel_id, nothing_paid)
    await chain.confirm(await sending)
    await trio.to_thread.run_sync(backend.travel, WINDOW_S + 1)
    return await chain.confirm(await chain.settle(terms.channel_id))


def rows(found):
    return {row.name: row for row in found.rows}


def test_a_channel_that_was_closed_by_both_is_settled_as_paid(ended):
    channel = ended("together")

    found = channel.verify(channel.settlement())

    assert (found.verdict, found.reasons) == ("verified", ())
    by_name = rows(found)
    assert by_name["settlement_tx"].claimed == (channel.tx_hash,)
    assert by_name["settlement_tx"].settled == channel.tx_hash
    assert by_name["settlement_block"].settled == str(channel.block_number)
    assert by_name["settled_net"].settled == str(channel.story.state.update.net)
    assert {by_name[name].verdict for name in by_name if "settle" in name} == {"agrees"}
    assert found.settlement.answer.status == "settled"
    assert found.settlement.trace_ids == (f"{SETTLEMENT_TRACE:032x}",)


def test_without_the_chain_the_settlement_is_only_claimed(ended):
    channel = ended("together")

    shown = channel.story.verify(channel.settlement())

    assert shown.found.verdict == "verified"
    assert rows(shown.found)["settlement_tx"].verdict == "not signed"
    assert "was not asked there" in [line for line, _ in shown.lines()][-1]


def test_the_chain_is_asked_also_where_no_span_tells_of_a_settlement(ended):
    found = ended("together").verify()

    assert found.verdict == "verified"
    assert rows(found)["settlement_tx"].settled


def test_an_open_channel_with_its_deposit_is_verified_and_not_settled(ended):
    found = ended("left open").verify()

    assert found.verdict == "verified"
    assert found.settlement.answer.status == "open"
    assert "settled_net" not in rows(found)


def test_a_channel_that_was_settled_by_an_older_state_differs(ended):
    channel = ended("stale")

    found = channel.verify(channel.settlement(payment__nonce=0))

    assert found.verdict == "differs"
    assert rows(found)["settled_nonce"].settled == "0"
    assert any("older than the payment's" in reason for reason in found.reasons)


def test_a_settlement_that_never_was_differs(ended):
    channel = ended("left open")
    claimed = channel.settlement(
        payment__tx_hash="0x" + "1" * 64, payment__block_number=3
    )

    found = channel.verify(claimed)

    assert found.verdict == "differs"
    assert any("no such transaction" in reason for reason in found.reasons)
    assert any("not settled, but open" in reason for reason in found.reasons)


def test_a_channel_without_money_behind_it_differs(ended):
    found = ended("never opened").verify()

    assert found.verdict == "differs"
    assert any("nothing is locked" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("changed", "row"),
    [
        ({"payment__tx_hash": "0x" + "1" * 64}, "settlement_tx"),
        ({"payment__block_number": 1}, "settlement_block"),
        ({"payment__nonce": 0}, "settled_nonce"),
        ({"payment__nonce": "9" * 5000}, "settled_nonce"),
    ],
    ids=["transaction", "block", "nonce", "endless nonce"],
)
def test_an_altered_claim_of_the_settlement_differs(ended, changed, row):
    channel = ended("together")

    found = channel.verify(channel.settlement(**changed))

    assert found.verdict == "differs"
    assert rows(found)[row].verdict == "differs"


def test_the_settlement_of_another_channel_differs(ended):
    channel = ended("together")
    other = channel.settlement(channel__id="0x" + "1" * 64)

    found = channel.story.verify(other).found

    assert found.verdict == "differs"
    assert "another channel" in found.reasons[0]


def test_a_chain_that_does_not_answer_is_no_verdict(ended):
    channel = ended("left open")

    with pytest.raises(ChainUnreachableError):
        channel.story.verify(chain="http://127.0.0.1:1")


def test_the_channel_of_another_chain_is_not_looked_for_here(ended):
    channel = ended("left open")
    terms = replace(channel.story.terms, chain_id=1)
    signed = channel.story.signed(channel.story.state.update, terms)

    with pytest.raises(InvalidQueryError, match="the channel is on 1"):
        channel.story.with_evidence(STATE, signed).verify(chain=channel.url)


def test_a_trace_without_a_signed_state_is_judged_though_no_chain_can_be_asked(story):
    shown = story.without_events(STATE).verify(chain="http://127.0.0.1:1")

    assert (shown.found.verdict, shown.exit_code) == ("unpaid", 6)
    assert "No chain was asked" in [line for line, _ in shown.lines()][-1]
