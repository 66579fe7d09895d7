"""The guide's example of the payment layer, as it stands there: each span once."""

import pytest

from chain_parties import MemoryWorld
from payment_parties import PAYEE
from zerostate.errors import PaymentError, RemoteError
from zerostate.payment import PaymentTracer
from zerostate.semconv import attributes as attr
from zerostate.telemetry import record_channel_id, record_error, record_success
from zerostate.testing import assert_trace
from zerostate.units import Minor

OPENED = """
payment.channel.open
  payment.signature.sign
  payment.signature.sign
  payment.chain.open_channel CLIENT
"""
"""Both ends' signatures, in one process, and the payer's deposit."""


@pytest.fixture
async def pair(tmp_path):
    async with MemoryWorld(tmp_path).started(max_own_deposit=Minor(5)) as pair:
        yield pair


async def guides_example(pair, deposit_a, deposit_b, ttl_s):
    tracer = PaymentTracer(pair.spans.provider)
    with tracer.trace_open_channel(PAYEE.peer_id) as span:
        try:
            channel_id = await pair.payer.open_channel(
                PAYEE.peer_id, Minor(deposit_a), Minor(deposit_b), ttl_s
            )
        except (PaymentError, RemoteError) as exc:
            record_error(span, exc)
            return None
        record_channel_id(span, channel_id)
        record_success(span)
    return channel_id


def named(pair, name):
    (found,) = (span for span in pair.spans.spans if span.name == name)
    return found


async def test_the_guides_example_yields_each_span_once(pair):
    channel_id = await guides_example(pair, 10, 5, 24 * 3600)

    assert_trace(pair.spans.spans, OPENED)
    attributes = named(pair, "payment.channel.open").attributes
    assert attributes[attr.CHANNEL_ID] == channel_id
    assert attributes[attr.PEER_ID] == PAYEE.peer_id


async def test_the_guides_example_tells_of_a_refusal(pair):
    assert await guides_example(pair, 10, 6, 24 * 3600) is None

    span = named(pair, "payment.channel.open")
    assert span.attributes["error.type"] == "payment"


async def test_a_close_has_one_span_whoever_opens_it(pair):
    first = await pair.open(10)
    pair.spans.clear()
    tracer = PaymentTracer(pair.spans.provider)
    with tracer.trace_close_channel(first):
        await pair.payer.close(first)
    by_hand = named(pair, "payment.channel.close").attributes
    second = await pair.open(10)
    pair.spans.clear()
    await pair.payer.close(second)

    by_itself = named(pair, "payment.channel.close").attributes
    assert {**by_hand, attr.CHANNEL_ID: second} == by_itself
