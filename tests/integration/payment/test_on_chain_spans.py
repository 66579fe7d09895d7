"""What `OnChain` tells of each transaction, on the embedded chain."""

import pytest
import trio

from chain_world import WINDOW_S, open_world, peer_hash
from zerostate.errors import TransactionRevertedError
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    Withdrawal,
    close_digest,
    withdrawal_digest,
)
from zerostate.payment.onchain import OnChain
from zerostate.payment.tracing import PaymentTracer
from zerostate.semconv import attributes as attr
from zerostate.testing import SpanRecorder
from zerostate.units import Minor


@pytest.fixture
async def chain(embedded, tmp_path):
    async with open_world(embedded, tmp_path) as opened:
        yield opened


@pytest.fixture
def recorder():
    return SpanRecorder()


def on_chain(party, recorder):
    return OnChain(party.chain, PaymentTracer(recorder.provider))


def opening(world, terms):
    return {
        "payee": world.payee.address,
        "payee_peer_hash": peer_hash(terms.payee),
        "deposit": terms.deposit,
        "salt": terms.salt,
        "window_s": WINDOW_S,
    }


def told(span):
    return (
        span.attributes[attr.PAYMENT_TX_HASH],
        span.attributes[attr.PAYMENT_BLOCK_NUMBER],
        span.attributes[attr.PAYMENT_GAS_USED],
    )


async def test_each_operation_is_a_client_span_of_what_it_took(chain, recorder):
    payer, payee = (on_chain(p, recorder) for p in (chain.payer, chain.payee))
    terms, lonely = chain.terms(1000), chain.terms(500)
    where = terms.chain_id, terms.contract
    with trio.fail_after(60):
        receipts = [
            await payer.open_channel(terms.channel_id, **opening(chain, terms)),
            await payee.deposit(terms.channel_id, Minor(50), total=Minor(50)),
        ]
        part = Withdrawal(1, Minor(100), Minor(0), Minor(100))
        digest = withdrawal_digest(*where, terms.channel_id, part)
        receipts.append(
            await payer.withdraw(terms.channel_id, part, **chain.signatures(digest))
        )
        final = FinalState(2, Minor(300))
        digest = close_digest(*where, terms.channel_id, final)
        receipts += [
            await payee.close(terms.channel_id, final, **chain.signatures(digest)),
            await payee.claim(),
            await payer.open_channel(lonely.channel_id, **opening(chain, lonely)),
            await payer.start_close(
                lonely.channel_id, CosignedState.known(0, Minor(0))
            ),
            await payee.challenge(lonely.channel_id, chain.state(lonely, 3, 200)),
        ]
        await chain.travel(WINDOW_S + 1)
        receipts.append(await payer.settle(lonely.channel_id))

    spans = recorder.spans
    assert [span.name for span in spans] == [
        f"payment.chain.{span.attributes[attr.PAYMENT_CHAIN_OPERATION]}"
        for span in spans
    ]
    assert [span.attributes[attr.PAYMENT_CHAIN_OPERATION] for span in spans] == [
        *("open_channel", "deposit", "withdraw", "close", "claim"),
        *("open_channel", "start_close", "challenge", "settle"),
    ]
    assert {span.kind.name for span in spans} == {"CLIENT"}
    assert list(map(told, spans)) == [
        (r.tx_hash, r.block.number, r.gas_used) for r in receipts
    ]
    assert {span.attributes[attr.PAYMENT_CHAIN_ID] for span in spans} == {31337}
    assert [span.attributes.get(attr.CHANNEL_ID) for span in spans] == [
        *[terms.channel_id] * 4,
        None,
        *[lonely.channel_id] * 4,
    ]


async def test_what_the_contract_refuses_fails_and_names_no_transaction(
    chain, recorder
):
    with pytest.raises(TransactionRevertedError):
        await on_chain(chain.payer, recorder).settle(chain.terms(1).channel_id)

    (span,) = recorder.spans
    assert span.attributes["error.type"] == "transaction_reverted"
    assert attr.PAYMENT_TX_HASH not in span.attributes
